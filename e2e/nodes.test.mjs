// Three nodes on one store: what held on one node holds on many (invariants I1, I3, I7, I15, I18; fault rows R1, N1, T5, S1, S2, X3).
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { COOKIE, METRIC, PASSWORD } from './lib/names.mjs';
import { startNodes, status, untilRefused } from './lib/nodes.mjs';
import { eventually, sleep } from './lib/process.mjs';

const T_MS = 3000;
const GRACE_MS = 1000;
const ENV = {
  SESSILE_SESSION_STALENESS: '3s',
  SESSILE_SESSION_GRACE: '1s',
  // A busy machine is no fault of the store: what is measured here is not its speed.
  SESSILE_STORE_READ_DEADLINE: '10s',
  SESSILE_STORE_WRITE_DEADLINE: '10s',
};
const REFRESHES = 10_000;
/** Requests under way at a time on each node: below what a node takes from one network, and far above what is honest. */
const AT_ONCE = 200;

const generationOf = (token) => Number(token.split('.')[1]);

/** As many requests as asked, spread over the ports, on connections that are kept. */
async function flood(ports, count, headers) {
  const agents = ports.map(() => new http.Agent({ keepAlive: true, maxSockets: AT_ONCE }));
  const one = (i) =>
    new Promise((resolve, reject) => {
      const which = i % ports.length;
      const outgoing = http.request({ host: '127.0.0.1', port: ports[which], agent: agents[which], path: '/data', headers, setHost: false }, (incoming) => {
        incoming.resume();
        incoming.on('error', reject);
        incoming.on('end', () => resolve({ status: incoming.statusCode, cookies: incoming.headers['set-cookie'] ?? [] }));
      });
      outgoing.on('error', reject);
      outgoing.end();
    });
  try {
    return await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
  } finally {
    for (const agent of agents) agent.destroy();
  }
}

const sessionTokensIn = (answers) => {
  const found = answers.flatMap(({ cookies }) => cookies).filter((line) => line.startsWith(`${COOKIE.session}=`));
  return new Set(found.map((line) => line.slice(COOKIE.session.length + 1, line.indexOf(';'))));
};

const tally = (values) => values.reduce((counts, value) => ({ ...counts, [value]: (counts[value] ?? 0) + 1 }), {});

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];

for (const store of ['postgres', 'redis', 'redis-cluster']) {
  describe(`three nodes on ${store}`, () => {
    let world;

    before(async () => {
      world = await startNodes({ store, env: ENV, users: ['ada', 'grace'] });
    });
    after(() => world?.close());

    test('a session begun on one node counts on the others, and its end too', async () => {
      const client = await world.signedIn(0);
      for (const at of [1, 2]) assert.equal(await status(world.at(client, at)), 200);
      assert.equal((await world.at(client, 1).post('/auth/sign-out', { json: { scope: 'this' } })).status, 200);
      for (const at of [0, 1, 2]) {
        await eventually(async () => (await status(world.at(client, at))) === 401, { ms: 20_000, what: `refusal on node ${at}` });
      }
    });

    test(`I1, R1, F1 ${REFRESHES} renewals at once with one token: one rotation, one successor, nobody signed out`, { timeout: 300_000 }, async (t) => {
      const client = await world.signedIn(0);
      const before = generationOf(client.sessionToken);
      // Old enough to rotate; then every browser tab there ever was asks at the same time.
      await sleep(GRACE_MS + 200);
      const rotations = await world.metric(METRIC.rotations);
      const headers = { host: new URL(world.origin).host, cookie: `${COOKIE.session}=${client.sessionToken}`, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' };
      const ports = world.nodes.map(({ options }) => options.listen);
      const began = performance.now();
      const answers = await flood(ports, REFRESHES, headers);
      t.diagnostic(`${REFRESHES} answers in ${Math.round(performance.now() - began)} ms: ${JSON.stringify(tally(answers.map((answer) => answer.status)))}`);
      const odd = answers.filter((answer) => answer.status !== 200 && answer.status !== 503);
      assert.deepEqual(tally(odd.map((answer) => answer.status)), {}, 'no honest client is turned away');
      assert.ok(answers.some((answer) => answer.status === 200));
      const successors = sessionTokensIn(answers);
      const newest = [...successors].filter((token) => generationOf(token) > before);
      assert.equal(newest.length, 1, `one successor, not ${[...successors].map(generationOf)}`);
      assert.equal(generationOf(newest[0]), before + 1);
      assert.equal((await world.metric(METRIC.rotations)) - rotations, 1, 'the generation advanced once over all nodes');
      for (const at of [0, 1, 2]) assert.equal(await status(world.client(at).holding({ [COOKIE.session]: newest[0] })), 200);
    });

    test('negative control: the tally sees a second successor and a refusal', () => {
      const twins = [{ status: 200, cookies: [`${COOKIE.session}=id.1.a; Path=/`] }, { status: 401, cookies: [`${COOKIE.session}=id.1.b; Path=/`] }];
      assert.equal(sessionTokensIn(twins).size, 2);
      assert.deepEqual(tally(twins.map((answer) => answer.status)), { 200: 1, 401: 1 });
    });

    test('I7 a revocation reaches every node within T of its acknowledgement', { timeout: 120_000 }, async (t) => {
      const delays = [];
      for (let i = 0; i < 20; i += 1) {
        const client = await world.signedIn(i % 3);
        const others = [0, 1, 2].map((at) => world.at(client, at));
        for (const other of others) assert.equal(await status(other), 200);
        assert.equal((await world.at(client, i % 3).post('/auth/sign-out', { json: { scope: 'this' } })).status, 200);
        const acknowledged = performance.now();
        delays.push(...(await Promise.all(others.map((other) => untilRefused(other, acknowledged, T_MS)))));
      }
      delays.sort((a, b) => a - b);
      t.diagnostic(`acknowledged to refused over ${delays.length}: median ${quantile(delays, 0.5).toFixed(1)} ms, p99 ${quantile(delays, 0.99).toFixed(1)} ms, longest ${delays.at(-1).toFixed(1)} ms; T is ${T_MS} ms`);
    });

    test('T5 a node that slept does not serve what ended meanwhile', async () => {
      const client = await world.signedIn(0);
      const sleeper = world.at(client, 2);
      assert.equal(await status(sleeper), 200);
      process.kill(world.nodes[2].pid, 'SIGSTOP');
      try {
        await world.nodes[0].revoke(client.session.id);
        await sleep(T_MS + 500);
      } finally {
        process.kill(world.nodes[2].pid, 'SIGCONT');
      }
      const first = await status(sleeper);
      assert.ok(first === 401 || first === 503, `the first answer was ${first}`);
      await eventually(async () => (await status(sleeper)) === 401, { ms: 10_000, what: 'the refusal' });
    });

    test('X3 keys made at several nodes at once are each published by all, and none is lost', async () => {
      const published = async (at) => (await world.client(at).get('/.well-known/jwks.json')).json.keys.map(({ kid }) => kid).sort();
      const before = await published(0);
      // Whoever comes second in the same moment learns that somebody was first; whoever comes later adds one more.
      const orders = await Promise.all(world.nodes.map((node) => node.cli(['keys', 'rotate', '--json'])));
      const added = orders.map((order) => JSON.parse(order).added).filter(Boolean);
      assert.ok(added.length >= 1);
      assert.equal(new Set(added).size, added.length);
      const expected = String([...before, ...added].sort());
      for (const at of [0, 1, 2]) {
        await eventually(async () => String(await published(at)) === expected, { ms: 20_000, what: `the same set on node ${at}` });
      }
    });

    test('K6 failures at one node count at the others', async () => {
      const wrong = async (at) => (await world.client(at).post('/auth/sign-in', { json: { username: 'grace', password: `not-${PASSWORD.grace}` } })).status;
      const seen = [];
      for (let i = 0; i < 30 && seen.at(-1) !== 429; i += 1) seen.push(await wrong(i % 3));
      assert.equal(seen.at(-1), 429, `${seen}`);
      for (const at of [0, 1, 2]) assert.equal(await wrong(at), 429, `node ${at} knows of the failures at the others`);
    });

    test('nodes restarted one after the other under load: nobody is signed out', { timeout: 120_000 }, async () => {
      const clients = await Promise.all([0, 1, 2].map((at) => world.signedIn(at)));
      let going = true;
      const violations = [];
      let answered = 0;
      const work = clients.map(async (client) => {
        let holder = client;
        for (let at = 0; going; at = (at + 1) % 3) {
          holder = world.at(holder, at);
          if (answered % 3 === 0) holder.dropAccessToken();
          // A node on its way out or in takes no connection: a balancer asks the next one.
          const answer = await status(holder).catch(() => 'no connection');
          if (answer === 200) answered += 1;
          else if (answer !== 503 && answer !== 'no connection') violations.push(answer);
          await sleep(5);
        }
      });
      for (const node of world.nodes) {
        await node.stop();
        await node.start();
      }
      going = false;
      await Promise.all(work);
      assert.deepEqual(violations, []);
      assert.ok(answered > 50, `${answered} requests were answered`);
    });
  });
}

for (const store of ['postgres', 'redis']) {
  describe(`cut off from ${store}`, () => {
    let world;

    before(async () => {
      world = await startNodes({ store, env: { ...ENV, SESSILE_STORE_READ_DEADLINE: '500ms', SESSILE_STORE_WRITE_DEADLINE: '1s' } });
    });
    after(() => world?.close());

    /** What a client hears of one node, for so long: statuses and when each was asked for. */
    async function watch(client, ms) {
      const heard = [];
      for (const end = performance.now() + ms; performance.now() < end; await sleep(25)) {
        const asked = performance.now();
        heard.push({ asked, status: await status(client) });
      }
      return heard;
    }

    test('N1, I18 a node in the dark serves no longer than T, then says 503, and heals by itself', { timeout: 60_000 }, async () => {
      const [revoked, live] = [await world.signedIn(0), await world.signedIn(0)];
      const far = [world.at(revoked, 2), world.at(live, 2)];
      for (const each of far) assert.equal(await status(each), 200);
      await world.proxies[2].set('silence');
      assert.equal(await status(far[1]), 200, 'within T the node goes by what it knows');
      await world.nodes[0].revoke(revoked.session.id);
      const acknowledged = performance.now();
      const [ofRevoked, ofLive] = await Promise.all(far.map((each) => watch(each, T_MS + 3000)));
      const late = ofRevoked.filter(({ asked, status: answer }) => answer === 200 && asked > acknowledged + T_MS);
      assert.deepEqual(late, [], 'nothing revoked is accepted past T');
      assert.deepEqual(Object.keys(tally([...ofRevoked, ...ofLive].map((each) => each.status))).filter((answer) => answer !== '200' && answer !== '503'), [], 'and nobody is signed out');
      assert.equal(ofLive.at(-1).status, 503, 'past it, nobody guesses');
      assert.equal(await world.nodes[2].isReady(), false);

      await world.proxies[2].pass();
      await eventually(async () => (await status(far[1])) === 200, { ms: 20_000, what: 'healing' });
      await eventually(async () => (await status(far[0])) === 401, { ms: 20_000, what: 'the refusal' });
      await eventually(() => world.nodes[2].isReady(), { ms: 20_000, what: 'readiness' });
    });

    test('negative control: through an open proxy the watched node refuses the revoked session well within T', async () => {
      const revoked = await world.signedIn(0);
      const far = world.at(revoked, 2);
      assert.equal(await status(far), 200);
      await world.nodes[0].revoke(revoked.session.id);
      const heard = await watch(far, T_MS);
      assert.equal(heard.at(-1).status, 401, 'so 503 above came of the silence alone');
    });

    test('S2, L2 the store killed under load: 503, cookies kept, and work goes on when it is back', { timeout: 90_000 }, async () => {
      const warm = await world.signedIn(0);
      const renewing = await world.signedIn(1);
      assert.equal(await status(warm), 200);
      await world.store.kill();
      const held = renewing.sessionToken;
      renewing.dropAccessToken();
      const refused = await renewing.get('/data');
      assert.equal(refused.status, 503);
      assert.ok(refused.headers['retry-after'], 'with Retry-After');
      assert.deepEqual(refused.setCookies, [], 'no cookie is touched');
      assert.equal((await world.client(1).post('/auth/sign-in', { json: { username: 'ada', password: PASSWORD.ada } })).status, 503);
      await eventually(async () => (await status(warm)) === 503, { ms: T_MS + 5000, what: 'the end of the staleness bound' });
      await world.store.restart();
      await world.allReady();
      assert.equal(await status(warm), 200);
      assert.equal(await status(renewing), 200);
      assert.equal(renewing.sessionToken.split('.')[0], held.split('.')[0], 'the same session');
    });

    test('S1 started without its store, a node waits for it; with --require-store it does not start', { timeout: 90_000 }, async () => {
      const client = await world.signedIn(0);
      const node = world.nodes[1];
      await node.stop();
      await world.proxies[1].set('closed');
      await node.start({ ready: false });
      await eventually(async () => (await fetch(`${node.opsUrl}/livez`).catch(() => ({}))).status === 200, { ms: 20_000, what: 'the node to live' });
      assert.equal(await node.isReady(), false);
      const there = world.at(client, 1);
      assert.equal(await status(there), 503);
      assert.equal((await there.get('/.well-known/jwks.json')).status, 503, 'no empty key set is published');
      const refused = await node.tryCli(['serve', '--require-store', '--public-url', world.origin, '--listen', '127.0.0.1:0', '--ops-listen', '127.0.0.1:0', '--upstream', world.echo.url]);
      assert.equal(refused.code, 69, refused.output);
      assert.match(refused.output, /unavailable/);
      await world.proxies[1].pass();
      await eventually(() => node.isReady(), { ms: 20_000, what: 'readiness without a restart' });
      assert.equal(await status(there), 200);
    });

    /** How one write of a session is told from everything else on the way to the store. */
    const writes = {
      postgres: () => ({
        rotate: { matching: 'SET generation = generation + 1', until: 'COMMIT' },
        revoke: { matching: 'DELETE FROM sessions', until: 'COMMIT' },
      }),
      redis: (id, generation) => ({
        rotate: { matching: `${id}\r\n$${String(generation).length}\r\n${generation}\r\n$13\r\n` },
        revoke: { matching: `$7\r\nsession\r\n$32\r\n${id}` },
      }),
    };

    test('S3, P6, I1 an answer lost after the commit: the same successor, and a revocation that may be repeated', { timeout: 90_000 }, async () => {
      const [node, proxy] = [world.nodes[2], world.proxies[2]];
      const client = await world.signedIn(2);
      const generation = generationOf(client.sessionToken);
      const { rotate, revoke } = writes[store](Buffer.from(client.session.id, 'base64url').toString('hex'), generation);
      // A Redis that was started again has forgotten the scripts, and says so instead of running one: both are there after this.
      const earlier = await world.signedIn(2);
      await sleep(GRACE_MS + 200);
      earlier.dropAccessToken();
      assert.equal(await status(earlier), 200);
      assert.equal(generationOf(earlier.sessionToken), 1, 'rotated');
      await node.revoke(earlier.session.id);

      client.dropAccessToken();
      const dropped = async () => (await proxy.counters()).dropped_replies;
      const before = await dropped();
      await proxy.set({ drop_reply: rotate });
      assert.equal(await status(client), 503, 'nobody knows whether it happened');
      assert.equal(await dropped(), before + 1, 'the answer to this write was the one that was lost');
      await eventually(async () => (await status(client)) === 200, { ms: 20_000, what: 'the renewal' });
      assert.equal(generationOf(client.sessionToken), generation + 1, 'it happened, and once');

      await proxy.set({ drop_reply: revoke });
      const first = await node.tryCli(['session', 'revoke', client.session.id]);
      assert.equal(first.code, 69, first.output);
      assert.equal(await dropped(), before + 2);
      for (const at of [0, 1, 2]) await eventually(async () => (await status(world.at(client, at))) === 401, { ms: 20_000, what: `refusal on node ${at}` });
      assert.equal((await node.tryCli(['session', 'revoke', client.session.id])).code, 0, 'ended already, which is what was asked for');
      await proxy.pass();
    });
  });
}
