// Where the token is kept: what is there, what happens when the browser refuses, and who else sees it.
import assert from 'node:assert/strict';
import { ADA, outcome, prove, record } from './lib/prove.mjs';
import { eventually, fakeLocks, fakeStorage, sleep } from './lib/browser.mjs';

const KINDS = [
  ['localStorage', 'local-storage', 'inLocalStorage'],
  ['sessionStorage', 'session-storage', 'inSessionStorage'],
];
const here = (world, sessile) => outcome(sessile.fetch(world.url('/api/echo')));

for (const [global, name, adapter] of KINDS) {
  const gateway = { storage: name };

  prove(`${name} survives a reload and is empty after sign-out`, {
    gateway,
    async scenario(world) {
      const storage = fakeStorage();
      world.replace(globalThis, global, storage);
      const first = world.tab({ storage: world.library[adapter]() });
      await first.signIn(ADA);
      const kept = [...storage.items.keys()];
      first.close();
      const reloaded = world.tab({ storage: world.library[adapter]() });
      const { status } = (await here(world, reloaded)).value;
      const { keptIn } = reloaded;
      await reloaded.signOut();
      return { kept: kept.map((key) => key.replace(world.gateway.origin, '')), status, keptIn, refreshes: world.gateway.asked.refresh ?? 0, after: storage.items.size };
    },
    check: (seen) => assert.deepEqual(seen, { kept: ['sessile:/auth'], status: 200, keptIn: name, refreshes: 0, after: 0 }),
    twins: [{ 'web-storage.ts': ['storage().removeItem(key)),', 'undefined),'] }, { 'web-storage.ts': ['JSON.stringify(held)', "''"] }],
  });

  for (const refused of ['access', 'getItem', 'setItem']) {
    prove(`${name} that refuses ${refused} is replaced by memory, and that is told`, {
      gateway,
      async scenario(world) {
        const storage = fakeStorage();
        storage.refuse.add(refused);
        const access = () => {
          throw new DOMException('The operation is insecure.', 'SecurityError');
        };
        world.replace(globalThis, global, storage);
        if (refused === 'access') Object.defineProperty(globalThis, global, { get: access, configurable: true });
        const sessile = world.tab({ storage: world.library[adapter]() });
        const events = record(sessile, ['storage-blocked']);
        const { code } = await outcome(sessile.signIn(ADA));
        const answers = [await here(world, sessile), await here(world, sessile)];
        return { code, answers: answers.map(({ value, name }) => value?.status ?? name), keptIn: sessile.keptIn, events, refreshes: world.gateway.asked.refresh ?? 0 };
      },
      check: (seen) => assert.deepEqual(seen, { code: undefined, answers: [200, 200], keptIn: 'memory', events: [{ name: 'storage-blocked' }], refreshes: 0 }),
      twins: [{ 'web-storage.ts': ['memory.write(held);', ''] }, { 'web-storage.ts': ['context.blocked();', ''] }],
    });
  }

  prove(`${name} that becomes full keeps no old token`, {
    gateway,
    async scenario(world) {
      const storage = fakeStorage();
      world.replace(globalThis, global, storage);
      const sessile = world.tab({ storage: world.library[adapter]() });
      await sessile.signIn(ADA);
      storage.refuse.add('setItem');
      await sessile.refresh();
      return { kept: storage.items.size, keptIn: sessile.keptIn, status: (await here(world, sessile)).value?.status };
    },
    check: (seen) => assert.deepEqual(seen, { kept: 0, keptIn: 'memory', status: 200 }),
    twins: [{ 'web-storage.ts': ['storage().removeItem(key); // A full', '// A full'] }],
  });

  const JUNK = ['', 'null', '{', '[]', '"text"', '{"token":"a\\nb","at":1,"life":1e12}', '{"token":"good","at":"1","life":1e12}', '{"token":"good","at":1}', `{"token":{"a":1},"at":${Date.now()},"life":1e9}`];
  prove(`what somebody else put into ${name} is not taken for a token`, {
    gateway,
    async scenario(world) {
      const storage = fakeStorage();
      world.replace(globalThis, global, storage);
      await world.signedIn({ storage: world.library[adapter]() });
      const [key] = storage.items.keys();
      const seen = [];
      for (const junk of JUNK) {
        storage.items.set(key, junk);
        const sessile = world.tab({ storage: world.library[adapter]() });
        const { value, name } = await here(world, sessile);
        seen.push(value?.status ?? name);
        sessile.close();
      }
      return { seen, odd: world.gateway.seen.filter(({ headers }) => headers.authorization && !headers.authorization.startsWith('Bearer token-of-ada-')).length };
    },
    check: (seen) => assert.deepEqual(seen, { seen: JUNK.map(() => 200), odd: 0 }),
    twins: [{ 'web-storage.ts': ['/^[\\w.~+/=-]+$/.test(held.token) && Number.isFinite(held.at) && held.life > 0 ? held : null', 'held'] }],
  });
}

prove('memory is not shared, and each tab renews its own', {
  async scenario(world) {
    world.replace(globalThis, 'navigator', { locks: fakeLocks() });
    const tabs = Array.from({ length: 6 }, () => world.tab({ storage: world.library.inMemory() }));
    await tabs[0].signIn(ADA);
    await sleep(20);
    const all = async () => (await Promise.all(tabs.map((tab) => here(world, tab)))).map(({ value }) => value?.status);
    const first = { answers: await all(), refreshes: world.gateway.asked.refresh };
    await sleep(20);
    world.gateway.endTokens();
    return { first, answers: await all(), refreshes: world.gateway.asked.refresh, reuse: world.gateway.reuse };
  },
  check: (seen) => assert.deepEqual(seen, { first: { answers: Array(6).fill(200), refreshes: 5 }, answers: Array(6).fill(200), refreshes: 11, reuse: 0 }),
  twins: [{ 'client.ts': ['} else if (!inBodies) {', '} else {'] }],
});

prove('a sign-in elsewhere during a renewal makes it start over, and no request goes without its token', {
  async scenario(world) {
    await world.signedIn();
    const { fetch } = world.browser;
    let release;
    const gate = new Promise((resolve) => (release = resolve));
    const slow = world.tab({
      storage: world.library.inMemory(),
      fetch: async (request) => {
        const response = await fetch(request);
        if (request.url.endsWith('/refresh')) await gate;
        return response;
      },
    });
    const asked = here(world, slow);
    await eventually(() => world.gateway.asked.refresh);
    await world.signedIn();
    await sleep(30);
    release();
    const { value } = await asked;
    return { status: value?.status, tries: world.gateway.seen.filter(({ url }) => url === '/api/echo').length };
  },
  check: (seen) => assert.deepEqual(seen, { status: 200, tries: 1 }),
  twins: [{ 'client.ts': ['if (began !== era) {', 'if (false) {'] }],
});
