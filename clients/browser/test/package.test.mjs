// What is handed out: small, whole, and without effects of its own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = readdirSync(join(root, 'dist'));
const run = (...args) => promisify(execFile)(process.execPath, args, { cwd: root }).then(({ stdout }) => ({ code: 0, stdout }), ({ code, stdout }) => ({ code, stdout }));

test('no page loads more than 5 KB; a lower limit is reported', async () => {
  assert.equal((await run('scripts/size.mjs')).code, 0);
  const { code, stdout } = await run('scripts/size.mjs', '4500');
  assert.equal(code, 1);
  assert.match(stdout, /over 4500/);
});

test('README.md tells the sizes as they are', async () => {
  const { stdout } = await run('scripts/size.mjs');
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const measured = [...stdout.matchAll(/^(cookies|memory|session-storage|local-storage|worker)\b.* (\d+)$/gm)].slice(-5);
  assert.equal(measured.length, 5);
  for (const [, what, bytes] of measured) {
    assert.match(readme, new RegExp('^\\| `?' + what + '`? \\| ' + bytes + '\\b', 'm'));
    assert.doesNotMatch(readme, new RegExp('^\\| `?' + what + '`? \\| ' + (Number(bytes) + 1) + '\\b', 'm'));
  }
  assert.match(readme, new RegExp(`itself ${/itself loads (\d+)/.exec(stdout)[1]} `));
});

test('drift of dist/ is noticed', { timeout: 120_000 }, async () => {
  const { code, stdout } = await run('scripts/check-dist.mjs', '--self-test');
  assert.equal(code, 0);
  assert.match(stdout, /a changed, a missing and an additional file are noticed/);
});

test('each file is whole: it imports nothing, and needs no eval, no blob: and no source map', () => {
  const needs = /\bimport\s*[("'{*]|\bfrom\s*["']|\beval\b|\bFunction\(|blob:|createObjectURL|sourceMappingURL/;
  for (const twin of ['import"./x.js"', 'export*from"./x.js"', 'import("x")', 'eval("1")', 'new Function("1")', '//# sourceMappingURL=x']) assert.match(twin, needs);
  const scripts = dist.filter((name) => name.endsWith('.js'));
  assert.equal(scripts.length, 6);
  for (const name of scripts) assert.doesNotMatch(readFileSync(join(root, 'dist', name), 'utf8'), needs, name);
  assert.deepEqual(dist.filter((name) => name.endsWith('.map')), []);
});

test('there is no dependency at run time', () => {
  const { dependencies, peerDependencies, optionalDependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json')));
  assert.deepEqual({ ...dependencies, ...peerDependencies, ...optionalDependencies }, {});
  assert.ok(Object.keys(devDependencies).length > 0);
});

test('a bundler drops what is not used, and keeps the worker script', async () => {
  const bundled = async (contents) => (await build({ stdin: { contents, resolveDir: root }, bundle: true, minify: true, format: 'esm', write: false, logLevel: 'silent' })).outputFiles[0].text.length;
  assert.equal(await bundled("import '@sessile/client'; import { inMemory } from '@sessile/client/memory';"), 0);
  assert.ok((await bundled("import { inMemory } from '@sessile/client/memory'; inMemory();")) > 100);
  assert.ok((await bundled("import '@sessile/client/worker-script';")) > 1000);
});

test('to import it changes nothing', async () => {
  const before = Object.getOwnPropertyDescriptors(globalThis);
  for (const name of ['index', 'memory', 'local-storage', 'session-storage', 'worker']) await import(`../dist/${name}.js?fresh`);
  assert.deepEqual(Object.getOwnPropertyDescriptors(globalThis), before);
  globalThis.changed = 1;
  assert.notDeepEqual(Object.getOwnPropertyDescriptors(globalThis), before);
  delete globalThis.changed;
});
