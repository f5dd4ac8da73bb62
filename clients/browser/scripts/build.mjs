// Builds dist/, which is committed.
import { join } from 'node:path';
import { buildInto, root } from './entries.mjs';

const files = await buildInto(join(root, 'dist'));
console.log(`dist: ${files.length} files`);
