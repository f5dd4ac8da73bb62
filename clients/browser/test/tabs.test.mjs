// Tabs of one browser: who renews, who is told what, and what strangers on the channel achieve.
import assert from 'node:assert/strict';
import { ADA, GRACE, outcome, prove, record } from './lib/prove.mjs';
import { eventually, fakeLocks, fakeStorage, sleep } from './lib/browser.mjs';

const ask = (world, sessile) => outcome(sessile.fetch(world.url('/api/echo')));

/** Six tabs on one local-storage whose token has gone. */
async function six(world) {
  world.replace(globalThis, 'localStorage', fakeStorage());
  const tabs = Array.from({ length: 6 }, () => world.tab({ storage: world.library.inLocalStorage() }));
  await outcome(tabs[0].signIn(ADA));
  await sleep(80);
  world.gateway.endTokens();
  return tabs;
}
const withLocks = (world, locks = fakeLocks()) => (world.replace(globalThis, 'navigator', { locks }), locks);
const statuses = (answers) => answers.map(({ value, code }) => value?.status ?? code);

prove('with Web Locks, six tabs that need a token at once renew once', {
  gateway: { storage: 'local-storage' },
  async scenario(world) {
    withLocks(world);
    const tabs = await six(world);
    const answers = statuses(await Promise.all(tabs.map((tab) => ask(world, tab))));
    return { answers, refreshes: world.gateway.asked.refresh };
  },
  check: (seen) => assert.deepEqual(seen, { answers: Array(6).fill(200), refreshes: 1 }),
  twins: [{ 'client.ts': ['version() === before', 'true'] }, { 'tabs.ts': ['locks.request(name, {', 'locks.request(name + Math.random(), {'] }],
});

prove('without BroadcastChannel, the shared storage still says who was faster', {
  gateway: { storage: 'local-storage' },
  async scenario(world) {
    withLocks(world);
    world.replace(globalThis, 'BroadcastChannel', undefined);
    const tabs = await six(world);
    const answers = statuses(await Promise.all(tabs.map((tab) => ask(world, tab))));
    return { answers, refreshes: world.gateway.asked.refresh };
  },
  check: (seen) => assert.deepEqual(seen, { answers: Array(6).fill(200), refreshes: 1 }),
  twins: [{ 'client.ts': ['`${epoch} ${carrier?.status()?.at}`', '`${epoch}`'] }],
});

prove('with neither, everybody gets an answer and nobody is signed out', {
  gateway: { storage: 'local-storage' },
  async scenario(world) {
    world.replace(globalThis, 'BroadcastChannel', undefined);
    world.replace(globalThis, 'navigator', undefined);
    const tabs = await six(world);
    const events = tabs.flatMap((tab) => record(tab, ['signed-out']));
    const answers = statuses(await Promise.all(tabs.map((tab) => ask(world, tab))));
    return { answers, events, reuse: world.gateway.reuse, bounded: world.gateway.asked.refresh <= 6 };
  },
  check: (seen) => assert.deepEqual(seen, { answers: Array(6).fill(200), events: [], reuse: 0, bounded: true }),
  twins: [{ 'tabs.ts': ['navigator?.locks', 'navigator.locks'] }],
});

for (const [what, locks] of [
  ['is held by a tab that hangs', { request: (_name, { signal }) => new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))) }],
  ['is not allowed here', { request: () => Promise.reject(new DOMException('no', 'SecurityError')) }],
]) {
  prove(`a lock that ${what} does not keep anybody waiting for ever`, {
    async scenario(world) {
      withLocks(world, locks);
      const sessile = world.tab({ storage: world.library.inMemory() });
      const result = await Promise.race([outcome(sessile.signIn(ADA)), sleep(7000).then(() => 'waiting')]);
      return result.value?.subject ?? result;
    },
    check: (seen) => assert.equal(seen, 'ada'),
    twins: [{ 'tabs.ts': ['if (!running) void run();', ''] }],
  });
}

prove('the lock is kept until the news has arrived, and the caller does not wait for that', {
  gateway: { storage: 'hybrid' },
  async scenario(world) {
    const locks = withLocks(world);
    const sessile = world.tab();
    await sessile.signIn(ADA);
    const held = [];
    for (const ms of [10, 100]) {
      await sleep(ms);
      held.push(locks.held.size);
    }
    return held;
  },
  check: (seen) => assert.deepEqual(seen, [1, 0]),
  twins: [{ 'tabs.ts': ['const DELIVERY_MS = 50', 'const DELIVERY_MS = 0'] }],
});

prove('locks and channels of two gateways do not meet', {
  async scenario(world) {
    const names = [];
    withLocks(world, { request: (name, _options, work) => (names.push(name), Promise.resolve(work())) });
    await world.tab({ storage: world.library.inMemory() }).signIn(ADA);
    await outcome(world.tab({ storage: world.library.inMemory(), prefix: '/other' }).signIn(ADA));
    return { names: names.length, distinct: new Set(names).size };
  },
  check: (seen) => assert.deepEqual(seen, { names: 2, distinct: 2 }),
  twins: [{ 'client.ts': ['joinTabs(origin + prefix, hear)', 'joinTabs(origin, hear)'] }],
});

prove('sign-out reaches the memory of every tab', {
  async scenario(world) {
    const tabs = Array.from({ length: 3 }, () => world.tab({ storage: world.library.inMemory() }));
    await tabs[0].signIn(ADA);
    await Promise.all(tabs.map((tab) => ask(world, tab)));
    await sleep(20);
    const events = tabs.map((tab) => record(tab, ['signed-out']));
    await tabs[0].signOut();
    await eventually(() => events.every(({ length }) => length), 'news everywhere', 4000).catch(() => {});
    const before = world.gateway.seen.length;
    await Promise.all(tabs.map((tab) => ask(world, tab)));
    const bearers = world.gateway.seen.slice(before).filter(({ headers }) => headers.authorization).length;
    return { reasons: events.map(([event]) => event?.reason), bearers };
  },
  check: (seen) => assert.deepEqual(seen, { reasons: ['sign-out', 'elsewhere', 'elsewhere'], bearers: 0 }),
  twins: [{ 'client.ts': ["      left('elsewhere');", ''] }, { 'client.ts': ['    carrier?.clear();\n    countdown.stop();', '    countdown.stop();'] }],
});

prove('an end that one tab learns from the server is checked by the others, and told there', {
  async scenario(world) {
    const tabs = Array.from({ length: 3 }, () => world.tab({ storage: world.library.inMemory() }));
    await tabs[0].signIn(ADA);
    await Promise.all(tabs.map((tab) => ask(world, tab)));
    const events = tabs.map((tab) => record(tab, ['signed-out']));
    world.gateway.endSessions();
    await ask(world, tabs[0]);
    await eventually(() => events.every(({ length }) => length), 'news everywhere', 4000).catch(() => {});
    await sleep(100);
    return events.map((list) => list.map(({ reason }) => reason));
  },
  check: (seen) => assert.deepEqual(seen, [['no_session'], ['no_session'], ['no_session']]),
  twins: [{ 'client.ts': ["tell('no-session');", ''] }],
});

prove('a sign-in elsewhere replaces what this tab held of the session before', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const events = record(sessile, ['signed-in']);
    await world.signedIn({}, GRACE);
    await eventually(() => events.length, 'news', 4000).catch(() => {});
    const { value } = await ask(world, sessile);
    return { events, subject: (await value.json()).subject, tries: world.gateway.seen.filter(({ url }) => url === '/api/echo').length };
  },
  check: (seen) => assert.deepEqual(seen, { events: [{ name: 'signed-in', here: false }], subject: 'grace', tries: 1 }),
  twins: [{ 'client.ts': ['if (!carrier?.shared) carrier?.clear();', ''] }],
});

prove('a tab that slept through a sign-in wakes up by the next renewal', {
  gateway: { storage: 'hybrid' },
  async scenario(world) {
    const awake = world.tab();
    const sleeper = world.tab();
    await sleeper.session();
    const events = record(sleeper, ['signed-in']);
    // The sign-in happens where the channel does not reach.
    world.replace(globalThis, 'BroadcastChannel', undefined);
    await world.tab().signIn(ADA);
    await awake.refresh();
    await eventually(() => events.length, 'news', 4000).catch(() => {});
    return events;
  },
  check: (seen) => assert.deepEqual(seen, [{ name: 'signed-in', here: false, subject: 'ada' }]),
  twins: [{ 'client.ts': ["if (known === 'out') look().catch(() => {});", ''] }],
});

prove('no token is ever said aloud', {
  async scenario(world) {
    const heard = [];
    const channel = new BroadcastChannel(`sessile:${world.gateway.origin}/auth`);
    channel.onmessage = ({ data }) => heard.push(data);
    world.undo(() => channel.close());
    const sessile = await world.signedIn();
    await sessile.refresh();
    await sessile.signOut();
    await sleep(50);
    return { types: heard.map(({ type }) => type), members: [...new Set(heard.flatMap(Object.keys))].sort(), tokens: JSON.stringify(heard).includes('token-of') };
  },
  check: (seen) => assert.deepEqual(seen, { types: ['signed-in', 'renewed', 'signed-out'], members: ['sessile', 'subject', 'token', 'type'], tokens: false }),
  twins: [{ 'carrier.ts': ['write(token ? {', "globalThis.BroadcastChannel && token && (() => { const c = new BroadcastChannel(`sessile:${context.origin}${context.prefix}`); c.postMessage({ token, type: 'x' }); c.close(); })();\n        if (began === changes) write(token ? {"] }],
});

const FOREIGN = [
  null,
  'signed-out',
  42,
  [],
  { type: 'signed-out' },
  { type: 'signed-out', token: true },
  { sessile: 2, type: 'signed-out', token: true },
  { sessile: 1, type: 'signed-out' },
  { sessile: 1, type: 'signed-out', token: 'yes' },
  { sessile: 1, type: 'signed-out', token: true, subject: { toString: 'x' } },
  { sessile: 1, type: 'constructor', token: true },
  { sessile: 1, type: ['signed-out'], token: true },
];
prove('what is not one of our messages is not acted on', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const events = record(sessile);
    const channel = new BroadcastChannel(`sessile:${world.gateway.origin}/auth`);
    world.undo(() => channel.close());
    for (const message of FOREIGN) channel.postMessage(message);
    await sleep(50);
    const { value } = await ask(world, sessile);
    return { events, status: value.status, refreshes: world.gateway.asked.refresh ?? 0 };
  },
  check: (seen) => assert.deepEqual(seen, { events: [], status: 200, refreshes: 0 }),
  twins: [
    { 'tabs.ts': ['if (isTabMessage(data)) hear(data)', 'if (data) hear(data)'] },
    { 'tabs.ts': ['data?.sessile === 1 &&', 'data?.sessile &&'] },
    { 'tabs.ts': ["typeof data.token === 'boolean' &&", ''] },
    { 'tabs.ts': ["['string', 'undefined'].includes(typeof data.subject)", 'true'] },
  ],
});

prove('a forged message costs at most a renewal; the session goes on', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const channel = new BroadcastChannel(`sessile:${world.gateway.origin}/auth`);
    world.undo(() => channel.close());
    const statuses = [];
    for (const type of ['no-session', 'renewed', 'signed-in']) {
      channel.postMessage({ sessile: 1, type, token: true, subject: 'ada' });
      await sleep(30);
      statuses.push((await ask(world, sessile)).value?.status);
    }
    return { statuses, refreshes: world.gateway.asked.refresh };
  },
  check: (seen) => assert.deepEqual(seen, { statuses: [200, 200, 200], refreshes: 1 }),
  twins: [{ 'client.ts': ["if (known !== 'out') look().catch(() => {});", "left('no_session');"] }],
});

prove('a sign-in elsewhere while this tab waits for the lock: no request goes out without its token', {
  async scenario(world) {
    const locks = withLocks(world);
    await world.signedIn();
    const waiting = world.tab({ storage: world.library.inMemory() });
    let release;
    void locks.request(`sessile:${world.gateway.origin}/auth`, {}, () => new Promise((resolve) => (release = resolve)));
    await sleep(10);
    const asked = ask(world, waiting);
    await sleep(10);
    // As a tab on another thread of the browser would, beside the lock.
    const channel = new BroadcastChannel(`sessile:${world.gateway.origin}/auth`);
    world.undo(() => channel.close());
    channel.postMessage({ sessile: 1, type: 'signed-in', token: true, subject: 'ada' });
    await sleep(30);
    release();
    const { value } = await asked;
    return { status: value?.status, tries: world.gateway.seen.filter(({ url }) => url === '/api/echo').length };
  },
  check: (seen) => assert.deepEqual(seen, { status: 200, tries: 1 }),
  twins: [{ 'client.ts': ['|| (inBodies && !carrier!.status())', ''] }],
});
