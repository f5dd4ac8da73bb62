// The entries of the package, and how each becomes one file that can be served as it is.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const ENTRIES = ['index', 'local-storage', 'session-storage', 'memory', 'worker', 'worker-script'];

/** What a page loads together: the core and one adapter. A worker loads `worker-script` for itself. */
export const TOGETHER = {
  'cookies (no adapter)': ['index'],
  'local-storage': ['index', 'local-storage'],
  'session-storage': ['index', 'session-storage'],
  memory: ['index', 'memory'],
  worker: ['index', 'worker'],
};

/** Builds everything into an empty `dist`. The same sources give the same bytes. */
export async function buildInto(dist) {
  rmSync(dist, { recursive: true, force: true });
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--emitDeclarationOnly', '--outDir', dist], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await build({
    absWorkingDir: root,
    entryPoints: ENTRIES.map((name) => `src/${name}.ts`),
    outdir: dist,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'warning',
  });
  const declared = reachable(dist);
  for (const name of readdirSync(dist)) if (name.endsWith('.d.ts') && !declared.has(name)) rmSync(join(dist, name));
  return readdirSync(dist).sort();
}

/** The declarations that those of the entries lead to. The others are of internals, which are bundled. */
function reachable(dist, names = ENTRIES.map((name) => `${name}.d.ts`), seen = new Set()) {
  for (const name of names) {
    if (seen.has(name)) continue;
    seen.add(name);
    const imports = readFileSync(join(dist, name), 'utf8').matchAll(/from '\.\/([\w-]+)\.js'/g);
    reachable(dist, [...imports].map(([, file]) => `${file}.d.ts`), seen);
  }
  return seen;
}
