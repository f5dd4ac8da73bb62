// scripts/demo, the README's first command: run with the binary at hand, on fresh data and on data that is there already.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Child } from './lib/process.mjs';
import { ROOT, requireBinary } from './lib/sessile.mjs';

const VISIT = fileURLToPath(new URL('./lib/visit-demo.mjs', import.meta.url));

describe('scripts/demo', () => {
  let dir;

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'sessile-demo-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  async function demo(options, command) {
    const child = new Child(join(ROOT, 'scripts/demo'), ['--bin', requireBinary(), '--data', join(dir, 'data'), ...options, '--once-ready', command], { cwd: dir, input: '' });
    const exit = await child.exited();
    return { code: exit.code, output: child.output };
  }

  const nobodyAt = (url) => fetch(url).then(() => false, () => true);

  test('makes an account, serves the app behind the gateway, and stops with the status of the command', { timeout: 120_000 }, async () => {
    const { code, output } = await demo([], `node ${VISIT}; exit $((40 + $?))`);
    assert.equal(code, 40, output);
    const url = /visited (http:\S+)/.exec(output)[1];
    assert.ok(await nobodyAt(url), 'nothing runs afterwards');
  });

  test('a second run on the same data gives the account a fresh password', { timeout: 120_000 }, async () => {
    const { code, output } = await demo([], `node ${VISIT}`);
    assert.equal(code, 0, output);
    assert.match(output, /was there already/);
  });

  test('--https', { timeout: 120_000 }, async () => {
    const { code, output } = await demo(['--https'], `node ${VISIT}`);
    assert.equal(code, 0, output);
    assert.match(output, /visited https:\/\/localhost:/);
  });

  test('negative control: a visit that fails fails the demo', { timeout: 120_000 }, async () => {
    const { code } = await demo([], `DEMO_PASSWORD=wrong-password-of-good-length node ${VISIT}`);
    assert.equal(code, 1);
  });

  test('a binary that is not there is named', async () => {
    const child = new Child(join(ROOT, 'scripts/demo'), ['--bin', '/nowhere/sessile', '--once-ready', 'true'], { cwd: dir, input: '' });
    assert.equal((await child.exited()).code, 1);
    assert.match(child.output, /no program at \/nowhere\/sessile/);
  });
});
