// Prints what each entry weighs, and fails if a page would have to load more than the limit (or than its argument).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ENTRIES, TOGETHER, root } from './entries.mjs';

const LIMIT = 5 * 1024;
const limit = Number(process.argv[2] ?? LIMIT);

const weight = Object.fromEntries(
  ENTRIES.map((name) => {
    const bytes = readFileSync(join(root, 'dist', `${name}.js`));
    return [name, { minified: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length }];
  }),
);

console.log('entry             minified   gzipped');
for (const [name, { minified, gzipped }] of Object.entries(weight)) {
  console.log(`${name.padEnd(16)} ${String(minified).padStart(9)} ${String(gzipped).padStart(9)}`);
}
console.log('\na page loads                   gzipped');
for (const [what, names] of Object.entries(TOGETHER)) {
  // Each file travels by itself, so the sum is of files, not of their concatenation.
  const sum = names.reduce((total, name) => total + weight[name].gzipped, 0);
  const verdict = sum <= limit ? '' : `  over ${limit}`;
  if (verdict) process.exitCode = 1;
  console.log(`${what.padEnd(26)} ${String(sum).padStart(11)}${verdict}`);
}
console.log(`\nThe worker itself loads ${weight['worker-script'].gzipped}. The limit is ${limit} for a page.`);
