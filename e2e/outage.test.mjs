// Stores that fail in ways of their own: news cut off, a flood, lost data, a failover, a wrong policy (fault rows S6 to S13; L3).
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EVENT, PASSWORD } from './lib/names.mjs';
import { startNodes, status, untilRefused } from './lib/nodes.mjs';
import { eventually, sleep } from './lib/process.mjs';

const T_MS = 3000;
const STORE_PASSWORD = 'kestrel-tundra-marble-63';
const ENV = { SESSILE_SESSION_STALENESS: '3s', SESSILE_STORE_READ_DEADLINE: '5s', SESSILE_STORE_WRITE_DEADLINE: '5s' };

/** That a session which ended on node 0 is refused on the others within T of that; gives the longest that took. */
async function endsEverywhere(world) {
  const client = await world.signedIn(0);
  const others = [1, 2].map((at) => world.at(client, at));
  for (const other of others) assert.equal(await status(other), 200);
  await world.nodes[0].revoke(client.session.id);
  const acknowledged = performance.now();
  const delays = await Promise.all(others.map((other) => untilRefused(other, acknowledged, T_MS, { every: 5 })));
  return Math.max(...delays);
}

describe('the stream of news cut, and not the commands', () => {
  test('N2, S10 on redis: every node still hears of each end within T, by asking', { timeout: 120_000 }, async (t) => {
    const world = await startNodes({ store: 'redis', env: ENV });
    try {
      const before = await endsEverywhere(world);
      await world.store.ask(['ACL', 'SETUSER', 'default', '-xread']);
      await fiveEnds(world, t, `${Math.round(before)} ms with the stream`);
    } finally {
      await world.close();
    }
  });

  test('N2, S10, S12 on postgres behind a pooler in transaction mode, through which nothing listens: the same', { timeout: 120_000 }, async (t) => {
    const world = await startNodes({ store: 'pgbouncer', env: ENV });
    try {
      await fiveEnds(world, t, 'a pooler between');
    } finally {
      await world.close();
    }
  });

  async function fiveEnds(world, t, beside) {
    const delays = [];
    for (let i = 0; i < 5; i += 1) delays.push(await endsEverywhere(world));
    t.diagnostic(`longest of each: ${delays.map(Math.round).join(', ')} ms without the stream; ${beside}; T is ${T_MS} ms`);
    for (const node of world.nodes) assert.equal(await node.isReady(), true);
  }
});

describe('a flood', () => {
  test('L3, S4, S12 ending sessions works while everything else waits in vain for a connection', { timeout: 120_000 }, async (t) => {
    const world = await startNodes({ store: 'postgres', count: 1, env: { ...ENV, SESSILE_STORE_CONNECTIONS: '1', SESSILE_STORE_READ_DEADLINE: '1s', SESSILE_STORE_WRITE_DEADLINE: '2s' } });
    try {
      const flooding = await world.signedIn();
      flooding.dropAccessToken();
      const victims = [];
      for (let i = 0; i < 5; i += 1) victims.push(await world.signedIn());
      for (const victim of victims) assert.equal(await status(victim), 200);
      await world.proxies[0].set({ delay: { reply_ms: 40 } });
      let going = true;
      const statuses = new Map();
      const flood = Array.from({ length: 200 }, async () => {
        while (going) {
          const answer = await world.at(flooding, 0).get('/data', { ms: 60_000, keepCookies: false }).then((each) => each.status, () => 'none');
          statuses.set(answer, (statuses.get(answer) ?? 0) + 1);
        }
      });
      await eventually(() => statuses.has(503), { ms: 30_000, what: 'the flood to be too much' });
      for (const victim of victims) {
        const answer = await victim.post('/auth/sign-out', { json: { scope: 'this' }, ms: 60_000 });
        assert.equal(answer.status, 200, answer.text);
      }
      going = false;
      await Promise.all(flood);
      t.diagnostic(`${victims.length} sessions ended beside ${JSON.stringify(Object.fromEntries(statuses))}`);
      assert.deepEqual([...statuses.keys()].filter((answer) => answer !== 200 && answer !== 503), [], 'and nobody was signed out by it');
      await world.proxies[0].pass();
      await eventually(async () => (await status(flooding)) === 200, { ms: 20_000, what: 'recovery' });
    } finally {
      await world.close();
    }
  });
});

describe('a store that lost its data', () => {
  let world;
  before(async () => {
    world = await startNodes({ store: 'redis', env: ENV });
  });
  after(() => world?.close());

  test('S7, I16 FLUSHALL: every token issued before is refused on every node within T, and signing in again works', { timeout: 60_000 }, async () => {
    const clients = await Promise.all([0, 1, 2].map((at) => world.signedIn(at)));
    for (const client of clients) for (const at of [0, 1, 2]) assert.equal(await status(world.at(client, at)), 200);
    await world.store.ask(['FLUSHALL']);
    const lost = performance.now();
    for (const client of clients) {
      for (const at of [0, 1, 2]) {
        await untilRefused(world.at(client, at), lost, T_MS, { isRefused: (answer) => answer !== 200, every: 20 });
      }
    }
    // The accounts went with the rest: the operator restores or makes them anew.
    for (const node of world.nodes) await eventually(() => node.isReady(), { ms: 20_000, what: 'readiness' });
    await world.nodes[0].addUser('ada', PASSWORD.ada);
    const again = await world.signedIn(1);
    for (const at of [0, 1, 2]) await eventually(async () => (await status(world.at(again, at))) === 200, { ms: 20_000, what: `service on node ${at}` });
    for (const client of clients) assert.equal(await status(world.at(client, 2)), 401);
  });

  test('negative control: nothing lost, nobody refused', async () => {
    const client = await world.signedIn(0);
    await sleep(T_MS);
    for (const at of [0, 1, 2]) assert.equal(await status(world.at(client, at)), 200);
  });
});

describe('a store that went back to an older snapshot while nodes run', () => {
  test('S7 what that un-revokes stays dead, everybody signs in again, and an event says so', { timeout: 60_000 }, async () => {
    const world = await startNodes({ store: 'redis', settings: { appendonly: 'no' }, env: ENV });
    try {
      const [revoked, live] = [await world.signedIn(0), await world.signedIn(1)];
      for (const client of [revoked, live]) assert.equal(await status(world.at(client, 2)), 200);
      await world.store.ask(['SAVE']);
      await world.nodes[0].revoke(revoked.session.id);
      await eventually(async () => (await status(world.at(revoked, 2))) === 401, { ms: 20_000, what: 'the refusal' });
      // Without an append-only file it comes back as it was saved.
      await world.store.kill();
      await world.store.restart();
      await world.allReady();
      for (const at of [0, 1, 2]) {
        await eventually(async () => (await status(world.at(live, at))) === 401, { ms: 20_000, what: `everybody signed out on node ${at}` });
        assert.equal(await status(world.at(revoked, at)), 401);
      }
      await world.nodes[0].awaitEvents(EVENT.regressed, 1);
      const again = await world.signedIn(1);
      for (const at of [0, 1, 2]) assert.equal(await status(world.at(again, at)), 200);
    } finally {
      await world.close();
    }
  });
});

describe('a failover', () => {
  test('S8 the master dies and its replica takes over: what was acknowledged with a replica holds', { timeout: 120_000 }, async () => {
    const world = await startNodes({ store: 'sentinel', env: { ...ENV, SESSILE_STORE_REPLICAS: '1' } });
    try {
      const [revoked, ended, live] = [await world.signedIn(0), await world.signedIn(1), await world.signedIn(2)];
      await world.nodes[2].revoke(revoked.session.id);
      await world.store.kill('master');
      await eventually(async () => String(await world.store.ask(['ROLE'], 'replica')).startsWith('master'), { ms: 60_000, what: 'the promotion' });
      // The new master has no replica: a promise of one cannot be kept, and is refused rather than broken.
      assert.equal((await world.at(ended, 0).post('/auth/sign-out', { json: { scope: 'this' }, ms: 60_000 })).status, 503);
      await world.store.restart('master');
      await eventually(() => world.nodes[0].isReady(), { ms: 60_000, what: 'readiness' });
      for (const at of [0, 1, 2]) {
        await eventually(async () => (await status(world.at(revoked, at))) === 401, { ms: 30_000, what: `refusal on node ${at}` });
        await eventually(async () => (await status(world.at(live, at))) === 200, { ms: 30_000, what: `service on node ${at}` });
      }
    } finally {
      await world.close();
    }
  });
});

describe('a server that must not hold sessions', () => {
  test('S9 a server that evicts is refused at the start, with the setting to change; the danger can be taken aloud', { timeout: 60_000 }, async () => {
    const world = await startNodes({ store: 'redis', count: 1, env: ENV });
    try {
      const [node] = world.nodes;
      await node.stop();
      await world.store.ask(['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru']);
      await node.start({ ready: false });
      const exit = await node.exited();
      assert.equal(exit.code, 78, node.output);
      assert.match(node.output, /maxmemory-policy noeviction/);
      node.options.env.SESSILE_STORE_DANGER_ALLOW_EVICTION = 'true';
      await node.start();
      await node.awaitEvents('sys_dangerous_setting', 1);
    } finally {
      await world.close();
    }
  });
});

describe('credentials', () => {
  test('the password comes from a file or the environment, never from the configuration, and is printed nowhere', { timeout: 60_000 }, async () => {
    const world = await startNodes({ store: 'redis', count: 1, env: ENV });
    try {
      const [node] = world.nodes;
      const { env } = node.options;
      const client = await world.signedIn(0);
      await node.stop();
      await world.store.ask(['CONFIG', 'SET', 'requirepass', STORE_PASSWORD]);

      await node.start({ ready: false });
      await eventually(() => /NOAUTH|Authentication/i.test(node.output), { ms: 20_000, what: 'word of the missing password' });
      assert.equal(await node.isReady(), false);
      await node.stop();

      env.SESSILE_STORE_PASSWORD_FILE = join(world.dir, 'store.password');
      writeFileSync(env.SESSILE_STORE_PASSWORD_FILE, `${STORE_PASSWORD}\n`, { mode: 0o644 });
      await node.start({ ready: false });
      assert.equal((await node.exited()).code, 78, 'a file that others may read is refused');
      chmodSync(env.SESSILE_STORE_PASSWORD_FILE, 0o600);
      await node.start();
      assert.equal(await status(client), 200);
      await node.stop();

      delete env.SESSILE_STORE_PASSWORD_FILE;
      const bare = env.SESSILE_STORE_URL;
      env.SESSILE_STORE_URL = bare.replace('redis://', `redis://:${STORE_PASSWORD}@`);
      await node.start();
      assert.equal(await status(client), 200);
      const shown = await node.cli(['config']);
      assert.match(shown, /\*\*\*@127/, 'the url is shown without it');
      for (const text of [shown, node.output, node.cliOutput]) assert.ok(!text.includes(STORE_PASSWORD), 'the password is printed');
    } finally {
      await world.close();
    }
  });
});
