// kill -9, again and again, of gateways and of stores: what was acknowledged holds after every restart (fault rows X8, S7, S17,
// X14; invariants I3, I4, I8, I17). The store in memory is left out: its acknowledgements promise nothing beyond the process.
//
//   SESSILE_SOAK=200 node --test crash.test.mjs      many iterations on each store
//   node crash.test.mjs --seed 123                   the same choices again
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { COOKIE, EVENT, PASSWORD } from './lib/names.mjs';
import { Journal, fold, judge } from './lib/journal.mjs';
import { eventually, sleep } from './lib/process.mjs';
import { startNodes } from './lib/nodes.mjs';
import { Random, chooseSeed } from './lib/random.mjs';
import { readTree } from './lib/secrets.mjs';
import { startWorld } from './lib/world.mjs';

/** Iterations on each store: thirty in all, unless told otherwise. */
const ITERATIONS = { sqlite: 9, postgres: 8, redis: 8, 'redis-cluster': 5 };
if (process.env.SESSILE_SOAK) for (const store of Object.keys(ITERATIONS)) ITERATIONS[store] = Number(process.env.SESSILE_SOAK);
const CLIENTS = 6;
/** Only the first ever signs out everywhere, so that the sessions of the others grow old enough to have a history. */
const SUBJECTS = ['ada', 'grace', 'alan'];
const SESSIONS_PER_CLIENT = 4;
const GRACE_MS = 1000;
/** Old ended sessions are probed in samples, so that a long soak does not spend its time on the first iterations. */
const DEAD_PROBED = 60;
const T_MS = 1000;
const ENV = { SESSILE_SESSION_ACCESS: '2s', SESSILE_SESSION_GRACE: '1s' };
const SHARED_ENV = { ...ENV, SESSILE_SESSION_STALENESS: `${T_MS}ms`, SESSILE_STORE_READ_DEADLINE: '10s', SESSILE_STORE_WRITE_DEADLINE: '10s' };

/** One gateway on its own database, which dies with it. */
async function startAlone() {
  const world = await startWorld({ env: ENV, users: SUBJECTS });
  return Object.assign(world, {
    killSomething: () => world.sessile.killHard(),
    recover: () => world.sessile.start(),
    mayBeUnavailable: false,
  });
}

/** Three gateways on a store: one of them dies, or the store does. */
async function startTogether(store) {
  const world = await startNodes({ store, env: SHARED_ENV, users: SUBJECTS });
  const servers = Object.keys(world.store.servers);
  let recover;
  return Object.assign(world, {
    sessile: world.nodes[0],
    async killSomething(random) {
      if (random.chance(0.6)) {
        const node = random.pick(world.nodes);
        await node.killHard();
        recover = () => node.start();
      } else {
        const server = random.pick(servers);
        await world.store.kill(server);
        recover = () => world.store.restart(server);
      }
    },
    async recover() {
      await recover();
      // A node that has not noticed the blow yet still calls itself ready.
      await sleep(T_MS);
      await world.allReady();
      // What was acknowledged a moment before the blow has T to reach the nodes that live.
      await sleep(T_MS);
    },
    mayBeUnavailable: true,
  });
}

const tokensOf = ({ sessionToken, accessToken }) => ({ session: sessionToken, ...(accessToken ? { access: accessToken } : {}) });
const generationOf = (token) => Number(token.split('.')[1]);

/** The connection broke, or the node could not ask its store: nobody knows whether the request counted. Anything else is an answer. */
class Lost extends Error {}

/** Several users at work until the server is gone; every acknowledgement is in the journal before the next request. */
class Workload {
  #world;
  #journal;
  #random;
  #stopped = false;
  #next = 0;
  #everywhere = new Map();
  violations = [];

  constructor(world, journal, random) {
    this.#world = world;
    this.#journal = journal;
    this.#random = random;
  }

  async run(ms) {
    const clients = Array.from({ length: CLIENTS }, (_, i) => {
      const subject = SUBJECTS[i % SUBJECTS.length];
      return this.#user(subject, this.#random.fork(), this.#carriedOver(subject, Math.floor(i / SUBJECTS.length)));
    });
    await sleep(ms);
    await this.#world.killSomething(this.#random);
    this.#stopped = true;
    await Promise.all(clients);
  }

  /** Sessions of earlier iterations go on: each belongs to one of the subject's clients. */
  #carriedOver(subject, which) {
    const perSubject = CLIENTS / SUBJECTS.length;
    return this.#journal.sessions
      .filter((session) => session.subject === subject && session.fate === 'live')
      .filter((_, at) => at % perSubject === which)
      .map(({ id, tokens }) => {
        const client = this.#world.client().holding({ [COOKIE.session]: tokens.session, [COOKIE.access]: tokens.access });
        return Object.assign(client, { session: { id } });
      });
  }

  async #user(subject, random, mine) {
    while (!this.#stopped) {
      try {
        await this.#step(subject, random, mine);
        await sleep(random.below(15));
      } catch (error) {
        if (!(error instanceof Lost)) throw error;
        if (!this.#stopped) await sleep(20);
      }
    }
  }

  async #step(subject, random, mine) {
    if (mine.length === 0 || (mine.length < SESSIONS_PER_CLIENT && random.chance(0.1))) return this.#signIn(subject, mine);
    const client = random.pick(mine);
    // The first session of each client is ended by nobody but "everywhere": something must live long.
    const other = random.pick(mine.slice(1));
    const choice = random.next();
    if (choice < 0.02 && client !== mine[0]) return this.#signOut(client, mine, 'this', [client.session.id]);
    if (choice < 0.04 && other && other !== client) return this.#revokeOther(client, other, mine);
    if (choice < 0.05 && subject === SUBJECTS[0]) return this.#signOut(client, mine, 'everywhere', this.#liveOf(subject), subject);
    if (choice < 0.45) client.dropAccessToken();
    return this.#request(client, mine);
  }

  async #signIn(subject, mine) {
    const client = this.#world.client();
    const startedAt = performance.now();
    const beside = this.#endsEverywhere(subject).pending > 0;
    await this.#send(async () => {
      client.session = await client.signIn(subject, PASSWORD[subject]);
    });
    // A sign-in that ran beside a sign-out everywhere may fall on either side of it.
    const ends = this.#endsEverywhere(subject);
    const fate = beside || ends.pending > 0 || ends.last > startedAt ? 'open' : 'live';
    this.#journal.write({ op: 'signed-in', session: client.session.id, subject, tokens: tokensOf(client), fate });
    mine.push(client);
  }

  async #request(client, mine) {
    const held = tokensOf(client);
    const response = this.#answered(await this.#send(() => client.get('/work')));
    if (response.status === 200) {
      this.#journal.write({ op: 'answered', session: client.session.id, tokens: tokensOf(client) });
      return;
    }
    mine.splice(mine.indexOf(client), 1);
    if (response.status === 401 && this.#journal.fateOf(client.session.id) !== 'live') return;
    this.violations.push(`${client.session.id}: answered ${response.status} at work, and nothing ended it; presented generation ${generationOf(held.session)} ${held.access ? 'with' : 'without'} an access token`);
  }

  async #signOut(client, mine, scope, sessions, everywhereOf) {
    mine.splice(mine.indexOf(client), 1);
    await this.#end(sessions, everywhereOf, () => client.steal().post('/auth/sign-out', { json: { scope } }));
  }

  async #revokeOther(client, other, mine) {
    mine.splice(mine.indexOf(other), 1);
    await this.#end([other.session.id], undefined, () => client.request('DELETE', `/auth/sessions/${other.session.id}`));
    this.#journal.write({ op: 'answered', session: client.session.id, tokens: tokensOf(client) });
  }

  async #end(sessions, everywhereOf, request) {
    const id = (this.#next += 1);
    const key = `${process.pid}-${id}-${Date.now()}`;
    this.#journal.write({ op: 'ending', id: key, sessions });
    const ends = everywhereOf && this.#endsEverywhere(everywhereOf);
    if (ends) ends.pending += 1;
    try {
      const response = this.#answered(await this.#send(request));
      if (response.status >= 200 && response.status < 300) {
        // Given by a session that another order had just ended, "everywhere" ends nothing, and its answer says so.
        if (!everywhereOf || response.json.ended.length > 0) this.#journal.write({ op: 'ended', id: key });
      } else if (response.status !== 401 && response.status !== 404) this.violations.push(`ending ${sessions} answered ${response.status}: ${response.text}`);
    } finally {
      if (ends) {
        ends.pending -= 1;
        ends.last = performance.now();
      }
    }
  }

  #endsEverywhere(subject) {
    if (!this.#everywhere.has(subject)) this.#everywhere.set(subject, { pending: 0, last: -1 });
    return this.#everywhere.get(subject);
  }

  #liveOf(subject) {
    return this.#journal.sessions.filter((session) => session.subject === subject && session.fate !== 'dead').map(({ id }) => id);
  }

  #answered(response) {
    if (response.status === 503 && this.#world.mayBeUnavailable) throw new Lost('503');
    return response;
  }

  async #send(request) {
    try {
      return await request();
    } catch (error) {
      if (this.#world.mayBeUnavailable && /answered 503/.test(error.message)) throw new Lost('503');
      if (error.code || /socket|aborted|no answer/i.test(error.message)) throw new Lost(error.message);
      throw error;
    }
  }
}

/** What a client hears, once the node can tell: a store that comes back answers by and by, a cluster above all. */
async function answered(world, client) {
  const last = performance.now() + (world.mayBeUnavailable ? 20_000 : 0);
  for (;;) {
    const response = await client.get('/probe');
    if (response.status !== 503 || performance.now() > last) return response;
    await sleep(100);
  }
}

/** Presents what is left of a session in every way a holder could. */
async function probe(world, { tokens }) {
  const holder = (cookies) => world.client().holding(cookies);
  const ways = {
    access: holder({ [COOKIE.access]: tokens.access }),
    both: holder({ [COOKIE.session]: tokens.session, [COOKIE.access]: tokens.access }),
    session: holder({ [COOKIE.session]: tokens.session }),
  };
  const accepted = {};
  let generation;
  let left = tokens;
  for (const [how, client] of Object.entries(ways)) {
    if (how === 'access' && !tokens.access) continue;
    const response = await answered(world, client);
    if (response.status !== 200 && response.status !== 401) return { accepted, broken: `probe by ${how} answered ${response.status}: ${response.text}` };
    accepted[how] = response.status === 200;
    if (accepted[how] && client.sessionToken) generation = Math.max(generation ?? 0, generationOf(client.sessionToken));
    if (accepted[how] && how !== 'access') left = tokensOf(client);
  }
  return { accepted, generation, tokens: left };
}

/** Probes every session the journal knows of, or a sample of the long dead, and returns all violations. */
async function check(world, journal, random) {
  const violations = [];
  const { sessions } = journal;
  const dead = sessions.filter(({ fate }) => fate === 'dead');
  const recent = dead.slice(-DEAD_PROBED);
  const older = dead.slice(0, -DEAD_PROBED).filter(() => random.chance(0.1));
  for (const session of [...sessions.filter(({ fate }) => fate !== 'dead'), ...recent, ...older]) {
    const seen = await probe(world, session);
    const violation = judge(session, seen);
    if (violation) violations.push(violation);
    if (session.fate === 'open') journal.write({ op: 'seen', session: session.id, alive: seen.accepted.both === true });
    if (seen.accepted.both) journal.write({ op: 'answered', session: session.id, tokens: seen.tokens });
  }
  return violations;
}

/** Fails with the violations and all that the server's own events say about those sessions. */
async function assertNone(world, violations, where) {
  if (violations.length === 0) return;
  const named = violations.map((each) => each.slice(0, each.indexOf(':')));
  await sleep(500);
  const events = (await world.sessile.auditEvents()).filter(({ session }) => named.includes(session));
  assert.fail([where, ...violations, ...events.map((event) => JSON.stringify(event))].join('\n'));
}

/** Of some live sessions, presents a token two generations old: the acknowledged rotation must have survived, so this is theft. */
async function replayOldTokens(world, journal, random) {
  const violations = [];
  let replayed = 0;
  for (const session of journal.sessions) {
    const generations = [...session.generations.keys()].sort((a, b) => b - a);
    if (session.fate !== 'live' || generations.length < 3 || !random.chance(0.5)) continue;
    const old = session.generations.get(random.pick(generations.slice(2)));
    const id = `replay-${session.id}`;
    journal.write({ op: 'ending', id, sessions: [session.id] });
    const { status } = await answered(world, world.client().holding({ [COOKIE.session]: old }));
    if (status !== 401) violations.push(`${session.id}: a token of generation ${generationOf(old)} after ${generations[0]} answered ${status}`);
    else journal.write({ op: 'ended', id });
    replayed += 1;
  }
  return { violations, replayed };
}

for (const [store, iterations] of Object.entries(ITERATIONS)) {
  describe(`kill -9 on ${store}`, () => {
    let world;
    let journal;

    before(async () => {
      world = await (store === 'sqlite' ? startAlone() : startTogether(store));
      journal = new Journal(join(world.dir, 'journal'));
    });
    after(async () => {
      journal?.close();
      await world?.close();
    });

    test(`X8 ${iterations} kills: every acknowledged revocation, sign-out and rotation holds`, { timeout: (60 + iterations * 40) * 1000 }, async (t) => {
      const seed = chooseSeed();
      t.diagnostic(`seed ${seed}`);
      const random = new Random(seed);
      let replayed = 0;
      for (let iteration = 1; iteration <= iterations; iteration += 1) {
        const workload = new Workload(world, journal, random.fork());
        await workload.run(random.between(700, 3200));
        await world.recover();
        const where = `iteration ${iteration} of seed ${seed} on ${store}`;
        await assertNone(world, workload.violations, where);
        await assertNone(world, await check(world, journal, random), where);
        await sleep(GRACE_MS + 200);
        const replay = await replayOldTokens(world, journal, random);
        await assertNone(world, replay.violations, where);
        replayed += replay.replayed;
      }
      const sessions = [...fold(journal.read()).values()];
      assert.deepEqual(sessions, journal.sessions, 'the file says the same as the driver remembers');
      const count = (fate) => sessions.filter((session) => session.fate === fate).length;
      t.diagnostic(`${sessions.length} sessions: ${count('live')} live, ${count('dead')} ended; ${replayed} old tokens replayed`);
      assert.ok(count('dead') >= iterations && count('live') > 0, 'there was something to check');
      assert.ok(replayed > 0 || iterations < 5, 'some sessions had a history to replay');
    });

    test('negative control: the check sees a revocation that did not hold, and a session that was lost', async () => {
      const lying = new Journal(join(world.dir, 'lying-journal'));
      try {
        const revived = await world.signedIn();
        lying.write({ op: 'signed-in', session: revived.session.id, subject: 'ada', tokens: tokensOf(revived) });
        lying.write({ op: 'ending', id: 1, sessions: [revived.session.id] });
        lying.write({ op: 'ended', id: 1 });
        const lost = await world.signedIn();
        lying.write({ op: 'signed-in', session: lost.session.id, subject: 'ada', tokens: tokensOf(lost) });
        await world.sessile.revoke(lost.session.id);
        if (world.mayBeUnavailable) await sleep(T_MS);
        const behind = await world.signedIn();
        const tokens = tokensOf(behind);
        lying.write({ op: 'signed-in', session: behind.session.id, subject: 'ada', tokens });
        lying.write({ op: 'answered', session: behind.session.id, tokens: { ...tokens, session: tokens.session.replace('.0.', '.7.') } });
        lying.write({ op: 'answered', session: behind.session.id, tokens });
        const violations = await check(world, lying, new Random(1));
        for (const expected of [
          [revived.session.id, /its end was acknowledged/],
          [lost.session.id, /nothing ended it/],
          [behind.session.id, /back at 0/],
        ]) {
          assert.ok(violations.some((each) => each.startsWith(expected[0]) && expected[1].test(each)), `${expected} in ${violations}`);
        }
        assert.equal(violations.length, 3);
      } finally {
        lying.close();
      }
    });
  });
}

describe('a store that went back in time', () => {
  let world;

  before(async () => {
    world = await startWorld({ env: ENV });
  });
  after(() => world?.close());

  /** The database and its companions by content: what a backup tool would copy. */
  const databaseFiles = () => {
    const tree = readTree(world.data);
    const main = tree.filter(({ bytes }) => bytes.subarray(0, 15).toString() === 'SQLite format 3').map(({ path }) => path);
    assert.ok(main.length > 0, 'there is a database');
    return { main, all: tree.map(({ path }) => path).filter((path) => main.some((name) => path === name || path === `${name}-wal` || path === `${name}-shm`)) };
  };

  const backUp = (to) => {
    for (const path of databaseFiles().all) cpSync(join(world.data, path), join(to, path));
  };

  const restore = (from) => {
    for (const path of databaseFiles().all) rmSync(join(world.data, path));
    for (const { path } of readTree(from)) cpSync(join(from, path), join(world.data, path));
  };

  const status = async (client) => (await client.get('/data')).status;

  test('S7, X14 a backdated database is noticed: nobody is un-revoked, everyone signs in again, and an event says why', async () => {
    const { sessile } = world;
    const revoked = await world.signedIn();
    const bystander = await world.signedIn();
    assert.deepEqual([await status(revoked), await status(bystander)], [200, 200]);

    const backup = join(world.dir, 'backup');
    await sessile.stop();
    backUp(backup);
    await sessile.start();
    await sessile.revoke(revoked.session.id);
    const later = await world.signedIn();
    await eventually(async () => (await status(revoked)) === 401, { what: 'the revocation' });
    await sessile.stop();

    restore(backup);
    await sessile.start();
    assert.equal(await status(revoked), 401, 'the revocation holds though the store has forgotten it');
    assert.equal(await status(later), 401, 'the store has no record of it');
    assert.equal(await status(bystander), 401, 'nothing that old can be trusted');
    await sessile.awaitEvents(EVENT.regressed, 1);

    const again = await world.signedIn();
    assert.equal(await status(again), 200, 'signing in again works');
    await sessile.stop();
    await sessile.start();
    assert.equal(await status(again), 200, 'and the alarm is raised once, not at every start');
  });

  test('negative control: the same stop, copy and start without going back keeps everyone signed in', async () => {
    const { sessile } = world;
    const client = await world.signedIn();
    const before = (await sessile.eventsNamed(EVENT.regressed)).length;
    const copy = join(world.dir, 'copy');
    await sessile.stop();
    backUp(copy);
    restore(copy);
    await sessile.start();
    assert.equal(await status(client), 200);
    assert.equal((await sessile.eventsNamed(EVENT.regressed)).length, before);
  });

  test('S18 an emptied database is not taken for a new one', async () => {
    const { sessile } = world;
    const client = await world.signedIn();
    await sessile.stop();
    const { all } = databaseFiles();
    const saved = join(world.dir, 'saved');
    backUp(saved);
    for (const path of all) rmSync(join(world.data, path));
    await sessile.start({ ready: false });
    const outcome = await Promise.race([
      sessile.exited(),
      eventually(() => sessile.isReady(), { ms: 15_000, what: 'start or refusal' }).then(() => 'ready', () => 'neither'),
    ]);
    if (outcome === 'ready') assert.equal(await status(client), 401, 'if it starts, nobody is signed in');
    else assert.ok(outcome.code > 0 && sessile.output.length > 0, `it refuses with a reason, not ${JSON.stringify(outcome)}`);
    await sessile.stop();
  });
});
