// The package as it is built, and weakened twins of it: the same sources with one line changed. A test that passes with
// the twin proves nothing.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const ENTRIES = ['index', 'local-storage', 'session-storage', 'memory', 'worker'];

export const real = Object.assign({}, ...(await Promise.all(ENTRIES.map((name) => import(`../../dist/${name}.js`)))));

/** Source of one built file. */
export const built = (name) => readFileSync(join(root, 'dist', `${name}.js`), 'utf8');

/**
 * Source of the whole library, or of one entry, with changes: file name -> [from, to], or several of them.
 * A change that changes nothing is a mistake.
 */
export async function weakened(changes, entry) {
  const everything = { contents: ENTRIES.map((name) => `export * from './src/${name}.ts';`).join('\n'), resolveDir: root };
  const pending = new Set(Object.keys(changes));
  const result = await build({
    ...(entry ? { entryPoints: [join(root, 'src', `${entry}.ts`)] } : { stdin: everything }),
    bundle: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
    plugins: [
      {
        name: 'weaken',
        setup({ onLoad }) {
          onLoad({ filter: /src\/[\w-]+\.ts$/ }, ({ path }) => {
            const name = basename(path);
            let contents = readFileSync(path, 'utf8');
            if (name in changes) {
              for (const [from, to] of typeof changes[name][0] === 'string' ? [changes[name]] : changes[name]) {
                if (!contents.includes(from)) throw new Error(`${name} does not hold: ${from}`);
                contents = contents.replaceAll(from, () => to);
              }
              pending.delete(name);
            }
            return { contents, loader: 'ts' };
          });
        },
      },
    ],
  });
  if (pending.size) throw new Error(`not part of the library: ${[...pending]}`);
  return result.outputFiles[0].text;
}

const twins = mkdtempSync(join(tmpdir(), 'sessile-twins-'));
process.on('exit', () => rmSync(twins, { recursive: true, force: true }));
let count = 0;

/** A weakened twin, ready to use. */
export async function twin(changes) {
  const file = join(twins, `${(count += 1)}.mjs`);
  writeFileSync(file, await weakened(changes));
  return import(pathToFileURL(file));
}
