// Whether the committed dist/ is what the sources give. `--self-test` shows that the check can fail.
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildInto, root } from './entries.mjs';

/** What differs between two folders. */
function drift(built, committed) {
  const names = new Set([built, committed].flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : [])));
  const read = (folder, name) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : undefined);
  return [...names].sort().filter((name) => read(built, name) !== read(committed, name));
}

const work = mkdtempSync(join(tmpdir(), 'sessile-client-'));
try {
  const built = join(work, 'built');
  await buildInto(built);
  const faults = drift(built, join(root, 'dist'));
  if (faults.length) {
    console.error(`dist/ is not what src/ gives: ${faults.join(', ')}. Run "npm run build" and commit dist/.`);
    process.exitCode = 1;
  } else {
    console.log('dist/ is what src/ gives');
  }
  if (process.argv.includes('--self-test')) {
    for (const spoil of [
      (folder) => writeFileSync(join(folder, 'index.js'), `${readFileSync(join(folder, 'index.js'), 'utf8')} `),
      (folder) => rmSync(join(folder, 'memory.d.ts')),
      (folder) => writeFileSync(join(folder, 'index.js.map'), '{}'),
    ]) {
      const twin = join(work, 'twin');
      cpSync(built, twin, { recursive: true });
      spoil(twin);
      if (drift(built, twin).length !== 1) throw new Error(`not noticed: ${spoil}`);
      rmSync(twin, { recursive: true });
    }
    console.log('a changed, a missing and an additional file are noticed');
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
