// Requests that wait for somebody to sign in.
import assert from 'node:assert/strict';
import { ADA, GRACE, outcome, prove } from './lib/prove.mjs';
import { eventually, sleep } from './lib/browser.mjs';
import { unavailable } from './lib/gateway.mjs';

const hold = { max: 10, seconds: 20 };

/** A client of ada whose session has ended, with `hold`. */
async function lost(world, options = { hold }) {
  const sessile = await world.signedIn(options);
  world.gateway.endSessions();
  return sessile;
}
const post = (world, sessile, body, init) => outcome(sessile.fetch(world.url('/api/echo'), { method: 'POST', body, ...init }));
const refusals = (world) => world.gateway.seen.filter(({ url }) => url === '/api/echo').length;
const settled = (promise, ms = 200) => Promise.race([promise, sleep(ms).then(() => 'waiting')]);

prove('held requests are carried out once their owner signed in again, each once', {
  async scenario(world) {
    const sessile = await lost(world);
    const asked = ['a', 'b', 'c'].map((body) => post(world, sessile, body));
    const before = await settled(Promise.any(asked));
    await sessile.signIn(ADA);
    const statuses = (await Promise.all(asked)).map(({ value }) => value.status);
    return { before, statuses, forwarded: world.gateway.forwarded.map(({ body }) => body).sort() };
  },
  check: (seen) => assert.deepEqual(seen, { before: 'waiting', statuses: [200, 200, 200], forwarded: ['a', 'b', 'c'] }),
  twins: [{ 'client.ts': ['if (hold && known', 'if (!hold && known'] }, { 'waiting-room.ts': ['resolve(subject !== undefined &&', 'resolve(subject === undefined &&'] }],
});

prove('a sign-in in another tab sends them too', {
  async scenario(world) {
    const sessile = await lost(world);
    const asked = post(world, sessile, 'a');
    await settled(asked);
    await world.tab({ storage: world.library.inMemory() }).signIn(ADA);
    const result = await settled(asked, 6000);
    return result.value?.status;
  },
  check: (seen) => assert.equal(seen, 200),
  twins: [{ 'client.ts': ['subject: subject ?? undefined', 'subject: undefined'] }],
});

prove("another person's sign-in sends nothing of the first one's", {
  async scenario(world) {
    const sessile = await lost(world);
    const asked = post(world, sessile, "ada's");
    await settled(asked);
    await sessile.signIn(GRACE);
    return { status: (await asked).value.status, forwarded: world.gateway.forwarded.length };
  },
  check: (seen) => assert.deepEqual(seen, { status: 401, forwarded: 0 }),
  twins: [{ 'waiting-room.ts': ['(owner === null || owner === subject)', 'true'] }],
});

prove('what was asked when nobody was known goes out for whoever signs in', {
  async scenario(world) {
    const sessile = world.tab({ storage: world.library.inMemory(), hold });
    const asked = post(world, sessile, 'anybody');
    const before = await settled(asked);
    await sessile.signIn(GRACE);
    return { before, status: (await asked).value.status };
  },
  check: (seen) => assert.deepEqual(seen, { before: 'waiting', status: 200 }),
  twins: [{ 'client.ts': ['found ?? (subject ??= null)', 'found'] }],
});

prove('while it cannot be known whose a request is, it is not held', {
  gateway: { storage: 'hybrid' },
  async scenario(world) {
    await world.tab().signIn(ADA);
    world.gateway.instead.set('/auth/session', unavailable(1));
    const sessile = world.tab({ hold });
    await sleep(100);
    world.gateway.endSessions();
    const result = await settled(post(world, sessile, "perhaps ada's"), 6000);
    return result.value?.status;
  },
  check: (seen) => assert.equal(seen, 401),
  twins: [{ 'client.ts': ['&& subject !== undefined &&', '&& '] }],
});

prove('off unless asked for', {
  async scenario(world) {
    const sessile = await lost(world, {});
    const result = await settled(post(world, sessile, 'a'), 6000);
    return result.value?.status;
  },
  check: (seen) => assert.equal(seen, 401),
  twins: [{ 'client.ts': ['if (hold && known', 'if (known'] }],
});

prove('no more wait than may, and none longer', {
  async scenario(world) {
    const sessile = await lost(world, { hold: { max: 2, seconds: 3 } });
    const asked = Array.from({ length: 5 }, () => post(world, sessile, 'x'));
    await eventually(() => refusals(world) >= 5);
    await sleep(200);
    const early = (await Promise.all(asked.map((each) => settled(each, 0)))).filter((each) => each !== 'waiting').length;
    const late = (await settled(Promise.all(asked), 10_000));
    return { early, statuses: late === 'waiting' ? late : late.map(({ value }) => value.status) };
  },
  check: (seen) => assert.deepEqual(seen, { early: 3, statuses: Array(5).fill(401) }),
  twins: [{ 'waiting-room.ts': ['waiting.size >= max', 'false'] }, { 'waiting-room.ts': ['setTimeout(admit, seconds * 1000)', 'setTimeout(() => {}, 0)'] }],
});

prove('a held request can be aborted, and is then never sent', {
  async scenario(world) {
    const sessile = await lost(world);
    const controller = new AbortController();
    const asked = post(world, sessile, 'a', { signal: controller.signal });
    await settled(asked);
    controller.abort();
    const { name } = await settled(asked);
    await sessile.signIn(ADA);
    await sleep(50);
    return { name, forwarded: world.gateway.forwarded.length };
  },
  check: (seen) => assert.deepEqual(seen, { name: 'AbortError', forwarded: 0 }),
  twins: [{ 'time.ts': ["signal.addEventListener('abort', abort)", 'void abort'] }],
});

prove('closing lets everybody go with the refusal they got', {
  async scenario(world) {
    const sessile = await lost(world);
    const asked = post(world, sessile, 'a');
    await settled(asked);
    sessile.close();
    const result = await settled(asked);
    return result.value?.status;
  },
  check: (seen) => assert.equal(seen, 401),
  twins: [{ 'client.ts': ['      room.open();\n', ''] }],
});
