// A deployment moves from SQLite to Redis while its users are at work: nobody is signed out, nobody comes back (invariants
// I1, I8, I17; requirement R-173).
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client } from './lib/client.mjs';
import { COOKIE, PASSWORD } from './lib/names.mjs';
import { freePorts } from './lib/network.mjs';
import { Child, eventually, sleep } from './lib/process.mjs';
import { Random, chooseSeed } from './lib/random.mjs';
import { Sessile } from './lib/sessile.mjs';
import { startWorld } from './lib/world.mjs';

const ENV = { SESSILE_SESSION_ACCESS: '2s', SESSILE_SESSION_GRACE: '1s' };
const SUBJECTS = ['ada', 'grace', 'alan'];
const CLIENTS = 6;

const generationOf = (token) => Number(token.split('.')[1]);

/** Users at work. Knows of each session what was acknowledged: that it lives, and its newest token, or that it ended. */
class Workload {
  #world;
  #random;
  #stopped = false;
  #running;
  sessions = [];
  violations = [];
  postponed = 0;
  answered = 0;

  constructor(world, random) {
    this.#world = world;
    this.#random = random;
  }

  start() {
    this.#running = Array.from({ length: CLIENTS }, (_, i) => this.#user(SUBJECTS[i % SUBJECTS.length], this.#random.fork()));
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #user(subject, random) {
    const mine = [];
    while (!this.#stopped) {
      await this.#step(subject, random, mine);
      await sleep(random.below(20));
    }
  }

  async #step(subject, random, mine) {
    if (mine.length < 2 || (mine.length < 5 && random.chance(0.1))) return this.#signIn(subject, mine);
    const session = random.pick(mine);
    if (mine.length > 2 && random.chance(0.1)) return this.#signOut(session, mine);
    if (random.chance(0.5)) session.client.dropAccessToken();
    const response = await session.client.get('/work');
    if (response.status === 200) this.answered += 1;
    else if (!this.#isPostponed(response)) this.violations.push(`${session.id}: answered ${response.status} at work, and nothing ended it`);
  }

  async #signIn(subject, mine) {
    const client = this.#world.client();
    const response = await client.post('/auth/sign-in', { json: { username: subject, password: PASSWORD[subject] } });
    if (this.#isPostponed(response)) return;
    if (response.status !== 200) return void this.violations.push(`a sign-in answered ${response.status}: ${response.text}`);
    const session = { id: client.sessionToken.split('.')[0], client, fate: 'live' };
    this.sessions.push(session);
    mine.push(session);
  }

  async #signOut(session, mine) {
    const response = await session.client.steal().post('/auth/sign-out', { json: { scope: 'this' } });
    if (this.#isPostponed(response)) return;
    if (response.status >= 300) return void this.violations.push(`${session.id}: a sign-out answered ${response.status}: ${response.text}`);
    session.fate = 'dead';
    mine.splice(mine.indexOf(session), 1);
  }

  // Told to come back, with every cookie kept.
  #isPostponed(response) {
    if (response.status !== 503) return false;
    if (!response.headers['retry-after'] || response.setCookies.length > 0) this.violations.push(`a 503 without Retry-After, or with cookies: ${response.setCookies}`);
    this.postponed += 1;
    return true;
  }
}

/** What is wrong with a session at a gateway, by what was acknowledged before. */
async function judge({ id, client, fate }, gateway) {
  const holder = gateway().holding({ [COOKIE.session]: client.sessionToken });
  const { status } = await holder.get('/probe');
  if (fate === 'dead') return status === 401 ? undefined : `${id}: its end was acknowledged, and it answered ${status}`;
  if (status !== 200) return `${id}: nothing ended it, and it answered ${status}`;
  const [had, has] = [client.sessionToken, holder.sessionToken].map(generationOf);
  return has === had || has === had + 1 ? undefined : `${id}: of generation ${had}, and is at ${has}`;
}

async function startRedis(dir) {
  const [port] = await freePorts(1);
  mkdirSync(dir);
  const child = new Child('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always']);
  await child.until(() => answers(port));
  return { port, stop: () => child.stop() };
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true) ?? socket.destroy());
    socket.once('error', () => resolve(false));
  });
}

describe('a move to another store', () => {
  let world;
  let redis;
  let next;
  let nextClient;

  before(async () => {
    world = await startWorld({ env: ENV, users: SUBJECTS });
    redis = await startRedis(join(world.dir, 'redis'));
    const [listen, ops] = await freePorts(2);
    next = new Sessile({
      ...world.sessile.options,
      data: join(world.dir, 'next'),
      listen,
      ops,
      env: {
        ...ENV,
        SESSILE_STORE_URL: `redis://127.0.0.1:${redis.port}`,
        SESSILE_MASTER_KEY: readFileSync(join(world.data, 'master.key'), 'utf8').trim(),
      },
    });
    nextClient = () => new Client({ origin: world.origin, port: listen });
  });
  after(async () => {
    await next?.stop();
    await redis?.stop();
    await world?.close();
  });

  const to = () => ['--to', `redis://127.0.0.1:${redis.port}`];
  const readiness = async (sessile) => {
    const response = await fetch(`${sessile.opsUrl}/readyz?verbose=1`);
    return { status: response.status, text: await response.text() };
  };

  test('users at work notice nothing but a moment of 503', { timeout: 180_000 }, async (t) => {
    const seed = chooseSeed();
    t.diagnostic(`seed ${seed}`);
    const workload = new Workload(world, new Random(seed));
    workload.start();
    await eventually(() => workload.sessions.length > 12 && workload.answered > 100, { ms: 60_000, what: 'some history' });

    await world.sessile.cli(['migrate', ...to(), '--prepare']);
    await next.start({ ready: false });
    await eventually(async () => (await readiness(next).catch(() => ({}))).status === 503, { ms: 20_000, what: 'the new gateway listening' });
    const waiting = await eventually(async () => {
      const now = await readiness(next);
      return now.text.includes('[-] sessions: still being moved into this store') && now;
    }, { ms: 20_000, what: 'the new gateway knowing that it waits' });
    assert.equal(waiting.status, 503);
    const early = workload.sessions.find(({ fate }) => fate === 'live');
    const asked = await nextClient().holding({ [COOKIE.session]: early.client.sessionToken }).get('/early');
    assert.ok(asked.status === 503 && asked.headers['retry-after'], `a session that is not there yet: ${asked.status}`);

    const told = (await world.sessile.cli(['migrate', ...to(), '--json'])).trim().split('\n').map((line) => JSON.parse(line));
    await workload.stop();
    const { moved } = told.at(-1);
    t.diagnostic(`${JSON.stringify(moved)}; ${workload.answered} answered, ${workload.postponed} postponed`);
    assert.deepEqual(workload.violations, []);
    const live = workload.sessions.filter(({ fate }) => fate === 'live');
    const dead = workload.sessions.filter(({ fate }) => fate === 'dead');
    assert.ok(live.length >= CLIENTS && dead.length > 0, 'there was something to check');
    assert.deepEqual([moved.sessions, moved.accounts, moved.from, moved.to], [live.length, SUBJECTS.length, 'sqlite', 'redis']);
    assert.deepEqual([...new Set(told.slice(0, -1).map(({ step }) => step))].filter((step) => step !== 'catching up'), ['copying', 'closing', 'verifying']);

    // By itself, and the old one turns away, for good.
    await eventually(() => next.isReady(), { ms: 20_000, what: 'the new gateway being ready' });
    await eventually(async () => (await readiness(world.sessile)).text.includes('[-] sessions: moved to another store'), { ms: 20_000, what: 'the old gateway knowing that it was left' });
    for (const { client } of [live[0], dead[0]]) {
      const response = await world.client().holding({ [COOKIE.session]: client.sessionToken, [COOKIE.access]: client.accessToken }).get('/late');
      assert.ok(response.status === 503 && response.headers['retry-after'], `the store that was left answered ${response.status}`);
    }
    assert.equal((await world.sessile.tryCli(['user', 'disable', 'ada'])).code, 69, 'a command that changes something');
    await world.sessile.stop();
    await world.sessile.start({ ready: false });
    assert.equal((await world.sessile.exited()).code, 69, 'a server on a store that was left');

    for (const session of workload.sessions) {
      const violation = await judge(session, nextClient);
      assert.equal(violation, undefined);
    }
    // On they go: generations, sign-outs, sign-ins by the same accounts.
    const first = nextClient().holding({ [COOKIE.session]: live[1].client.sessionToken });
    assert.equal((await first.get('/on')).status, 200);
    await sleep(1200);
    const before = generationOf(first.sessionToken);
    first.dropAccessToken();
    assert.equal((await first.get('/on')).status, 200);
    assert.equal(generationOf(first.sessionToken), before + 1);
    assert.ok((await first.post('/auth/sign-out', { json: { scope: 'this' } })).status < 300);
    await nextClient().signIn('grace', PASSWORD.grace);

    // Negative control: the judgement sees a session that was lost, and one that came back.
    const of = (status, session) => judge({ ...session, fate: status }, nextClient);
    assert.match(await of('live', dead[0]), /nothing ended it/);
    assert.match(await of('dead', live[2]), /its end was acknowledged/);

    assert.match((await world.sessile.tryCli(['migrate', ...to(), '--abandon'])).output, /the move is over/);
  });
});
