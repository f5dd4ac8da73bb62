// H5: bodies of any size stream through; and what the idle process weighs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { ROOT } from './lib/sessile.mjs';
import { sleep } from './lib/process.mjs';
import { startWorld } from './lib/world.mjs';

const MIB = 1024 ** 2;
const BODY = 1024 * MIB;
const GROWTH_LIMIT = 64 * MIB;
const IDLE_LIMIT = 30 * MIB;
const BLOCK = Buffer.alloc(64 * 1024, 'sessile\n');

/** A line of /proc/PID/status in bytes: VmRSS is now, VmHWM the highest so far. */
function memory(pid, field) {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
}

function* blocks(bytes) {
  for (let left = bytes; left > 0; left -= BLOCK.length) yield left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
}

describe('large bodies', () => {
  let world;
  let owner;

  before(async () => {
    world = await startWorld({ notes: true });
    owner = await world.signedIn();
  });
  after(() => world?.close());

  /** Runs `work` and returns by how much the highest memory of the gateway rose over what it used before. */
  async function growth(work) {
    const before = memory(world.sessile.pid, 'VmRSS');
    let highest = 0;
    const watch = setInterval(() => (highest = Math.max(highest, memory(world.sessile.pid, 'VmRSS'))), 20);
    try {
      await work();
    } finally {
      clearInterval(watch);
    }
    return Math.max(highest, memory(world.sessile.pid, 'VmRSS')) - before;
  }

  function exchange(method, path, headers, body) {
    const url = new URL(path, `http://127.0.0.1:${world.gatewayPort}`);
    return new Promise((resolve, reject) => {
      const request = http.request(url, {
        method,
        headers: {
          host: new URL(world.origin).host,
          cookie: [...owner.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
          'sec-fetch-site': 'same-origin',
          ...headers,
        },
      });
      request.on('response', resolve);
      request.on('error', reject);
      if (body) body.pipe(request).on('error', reject);
      else request.end();
    });
  }

  test('H5 1 GiB up: counted and hashed by the app, not kept by the gateway', { timeout: 300_000 }, async (t) => {
    const expected = createHash('sha256');
    for (const block of blocks(BODY)) expected.update(block);
    let answer;
    const grown = await growth(async () => {
      const response = await exchange('POST', '/api/upload', { 'content-length': String(BODY), 'content-type': 'application/octet-stream' }, Readable.from(blocks(BODY)));
      answer = JSON.parse((await response.toArray()).join(''));
    });
    assert.deepEqual(answer, { bytes: BODY, sha256: expected.digest('hex') });
    t.diagnostic(`memory rose by ${(grown / MIB).toFixed(1)} MiB`);
    assert.ok(grown < GROWTH_LIMIT, `${grown} bytes`);
  });

  test('H5 1 GiB down, to a reader that pauses', { timeout: 300_000 }, async (t) => {
    let bytes = 0;
    const grown = await growth(async () => {
      const response = await exchange('GET', `/api/download?bytes=${BODY}`, {});
      assert.equal(response.statusCode, 200);
      for await (const chunk of response) {
        if (Math.floor(bytes / (256 * MIB)) !== Math.floor((bytes + chunk.length) / (256 * MIB))) await sleep(500);
        bytes += chunk.length;
      }
    });
    assert.equal(bytes, BODY);
    t.diagnostic(`memory rose by ${(grown / MIB).toFixed(1)} MiB`);
    assert.ok(grown < GROWTH_LIMIT, `${grown} bytes`);
  });

  test('negative control: a process that keeps what it reads is seen to grow', async () => {
    const before = memory(process.pid, 'VmRSS');
    const kept = Array.from({ length: 160 }, (_, i) => Buffer.alloc(MIB, i));
    assert.ok(memory(process.pid, 'VmRSS') - before > GROWTH_LIMIT);
    assert.equal(kept.length, 160);
  });
});

test('memory of an idle gateway', async (t) => {
  const release = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'release/sessile');
  const isRelease = existsSync(release);
  const world = await startWorld({ bin: isRelease ? release : undefined });
  try {
    // Each password takes 19 MiB to check, which is to be given back.
    for (let i = 0; i < 10; i += 1) await (await world.signedIn()).get('/');
    await sleep(1000);
    const rss = memory(world.sessile.pid, 'VmRSS');
    t.diagnostic(`${isRelease ? 'release' : 'debug'} build, idle after ten sign-ins: ${(rss / MIB).toFixed(1)} MiB`);
    if (isRelease) assert.ok(rss <= IDLE_LIMIT, `${rss} bytes`);
  } finally {
    await world.close();
  }
});
