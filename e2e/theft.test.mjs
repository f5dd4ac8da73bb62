// Copied cookies: whoever comes second, owner or thief, is noticed, and the session dies for both
// (R-060, R-061, R-062; invariants I1, I5, I6; fault rows X1, X2, F2).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { COOKIE, EVENT, METRIC } from './lib/names.mjs';
import { sleep } from './lib/process.mjs';
import { startWorld } from './lib/world.mjs';

const GRACE_MS = 1000;
/** Past the access token's life and past the grace, with room for a slow machine. */
const BEYOND_MS = 2400;

const generation = (client) => Number(client.sessionToken.split('.')[1]);

describe('theft of the cookies', () => {
  let world;

  before(async () => {
    world = await startWorld({ env: { SESSILE_SESSION_ACCESS: '2s', SESSILE_SESSION_GRACE: '1s' } });
  });
  after(() => world?.close());

  const status = async (client) => (await client.get('/data')).status;

  /** One turn of a browser: a request that renews, and the next request, which shows that the renewal arrived. */
  async function turn(client) {
    const first = await status(client);
    return first === 200 ? status(client) : first;
  }

  async function assertFamilyDead(sessionId, holders) {
    for (const [who, client] of Object.entries(holders)) {
      assert.equal(await status(client), 401, `${who} is out`);
      assert.equal((await client.get('/auth/session')).status, 401);
    }
    assert.equal((await world.sessile.awaitEvents(EVENT.reuse, 1, sessionId)).length, 1, 'one reuse event names the session');
    assert.ok(!(await world.sessile.sessions('ada')).some(({ id }) => id === sessionId), 'the record is gone');
  }

  async function scene() {
    const owner = await world.signedIn();
    const elsewhere = await world.signedIn();
    return { owner, elsewhere, thief: owner.steal(), id: owner.session.id };
  }

  test('R-061 the thief comes first: the owner’s next request ends the session', async () => {
    const { owner, thief, elsewhere, id } = await scene();
    await sleep(BEYOND_MS);
    assert.equal(await turn(thief), 200);
    assert.equal(generation(thief), 1, 'the thief rotated');
    await sleep(BEYOND_MS);
    assert.equal(await status(thief), 200, 'the thief holds a fresh access token when the owner comes');
    assert.equal(await status(owner), 401);
    await assertFamilyDead(id, { owner, thief });
    assert.equal(await status(elsewhere), 200, 'the other session of the subject lives');
  });

  test('R-061 the owner comes first: the thief ends the session', async () => {
    const { owner, thief, elsewhere, id } = await scene();
    await sleep(BEYOND_MS);
    assert.equal(await turn(owner), 200);
    await sleep(BEYOND_MS);
    assert.equal(await status(owner), 200);
    assert.equal(await status(thief), 401);
    await assertFamilyDead(id, { owner, thief });
    assert.equal(await status(elsewhere), 200);
  });

  test('R-061 in lockstep: taking turns beyond the grace ends within one round', async () => {
    const { owner, thief, elsewhere, id } = await scene();
    const turns = [];
    for (let round = 0; round < 3 && !turns.includes(401); round += 1) {
      for (const client of [owner, thief]) {
        await sleep(BEYOND_MS);
        turns.push(await turn(client));
      }
    }
    assert.deepEqual(turns, [200, 401]);
    await assertFamilyDead(id, { owner, thief });
    assert.equal(await status(elsewhere), 200);
  });

  test('I5 two generations back is theft at any time, also within the grace', async () => {
    const { owner, thief, id } = await scene();
    await sleep(BEYOND_MS);
    assert.equal(await turn(owner), 200);
    await sleep(BEYOND_MS);
    assert.equal(await turn(owner), 200);
    assert.equal(generation(owner), 2);
    assert.equal(await status(thief), 401, 'generation 0 right after generation 2 appeared');
    await assertFamilyDead(id, { owner, thief });
  });

  test('F2 a restart, even by SIGKILL, does not make a superseded token good again', async () => {
    const { owner, thief, elsewhere, id } = await scene();
    await sleep(BEYOND_MS);
    assert.equal(await turn(owner), 200);
    await world.sessile.killHard();
    await world.sessile.start();
    assert.equal(await status(owner), 200, 'the owner’s session came through');
    await sleep(BEYOND_MS);
    assert.equal(await status(thief), 401);
    await assertFamilyDead(id, { owner, thief });
    assert.equal(await status(elsewhere), 200);
  });

  test('negative control: within the grace nobody dies, and both get the same successor', async () => {
    const { owner, thief, id } = await scene();
    await sleep(BEYOND_MS);
    assert.equal(await turn(owner), 200);
    assert.equal(await status(thief), 200, 'the predecessor, moments later');
    assert.equal(thief.sessionToken, owner.sessionToken, 'I6: byte for byte');
    assert.equal(await status(owner), 200);
    await world.sessile.assertNoEvent(EVENT.reuse, id);
  });

  test('negative control: a lost response is not theft, however long ago', async () => {
    const { owner, id } = await scene();
    const retry = owner.steal();
    await sleep(BEYOND_MS);
    assert.equal(await status(owner), 200);
    assert.equal(generation(owner), 1);
    // The answer above never reached the browser: it still holds generation 0, far beyond the grace.
    await sleep(GRACE_MS + BEYOND_MS);
    assert.equal(await status(retry), 200);
    assert.equal(retry.sessionToken, owner.sessionToken);
    await world.sessile.assertNoEvent(EVENT.reuse, id);
  });

  test('R-062 a hundred renewals at once with one token: one rotation, one successor', async () => {
    const { owner } = await scene();
    await sleep(BEYOND_MS);
    owner.dropAccessToken();
    const before = await world.sessile.metric(METRIC.rotations);
    const copies = Array.from({ length: 100 }, () => owner.steal());
    const answers = await Promise.all(copies.map(status));
    assert.deepEqual([...new Set(answers)], [200]);
    assert.equal(new Set(copies.map((copy) => copy.sessionToken)).size, 1);
    assert.equal(await world.sessile.metric(METRIC.rotations), before + 1);
  });

  test('I5 forged tokens open nothing and kill nothing', async () => {
    const { owner, id } = await scene();
    await sleep(BEYOND_MS);
    assert.equal(await turn(owner), 200);
    const real = owner.sessionToken;
    const [, , mac] = real.split('.');
    const other = (await world.signedIn()).sessionToken;
    const forged = [
      `${id}.0.${mac}`,
      `${id}.2.${mac}`,
      `${id}.99.${mac}`,
      `${id}.18446744073709551615.${mac}`,
      `${id}.-1.${mac}`,
      `${id}.01.${mac}`,
      `${id}.0.${'A'.repeat(43)}`,
      `${id}.0.${other.split('.')[2]}`,
      `${id}.1.`,
      `${id}..${mac}`,
      `${id}`,
      real.slice(0, -1),
      `${real}A`,
      `${real}.`,
      real.toUpperCase(),
      ...Array.from(real, (character, at) => real.slice(0, at) + (character === 'A' ? 'B' : 'A') + real.slice(at + 1)),
    ].filter((token) => token !== real);

    for (const token of forged) {
      const forger = owner.holding({ [COOKIE.session]: token });
      assert.equal(await status(forger), 401, token);
      assert.equal(forger.cookies.get(COOKIE.access), undefined, 'no access token is handed out');
    }
    assert.equal(await status(owner), 200, `the session outlived ${forged.length} forgeries`);
    await world.sessile.assertNoEvent(EVENT.reuse, id);
    const honest = owner.holding({ [COOKIE.session]: owner.sessionToken });
    assert.equal(await status(honest), 200, 'negative control: the real token, sent the same way, opens');
  });
});

test('L1, negative control: honest clients alone are never refused, at the shortest lifetimes there are', async () => {
  const world = await startWorld({ env: { SESSILE_SESSION_ACCESS: '1s', SESSILE_SESSION_GRACE: '1s' } });
  try {
    const refused = [];
    const work = async (client) => {
      for (let request = 1; request <= 500; request += 1) {
        if (request % 2) client.dropAccessToken();
        const { status } = await client.get('/data');
        if (status !== 200) refused.push(`request ${request} of ${client.session.id}: ${status}`);
      }
    };
    const clients = [];
    for (let i = 0; i < 8; i += 1) clients.push(await world.signedIn());
    await Promise.all(clients.map(work));
    assert.deepEqual(refused, []);
    for (const client of clients) assert.ok(generation(client) >= 1, 'it was rotated along the way');
    await world.sessile.assertNoEvent(EVENT.reuse);
  } finally {
    await world.close();
  }
});
