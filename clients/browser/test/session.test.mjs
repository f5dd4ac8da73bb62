// Signing in and out, what is told of it, and the errors.
import assert from 'node:assert/strict';
import { ADA, GRACE, outcome, prove, record } from './lib/prove.mjs';
import { eventually, sleep } from './lib/browser.mjs';
import { broken, refusal, unavailable } from './lib/gateway.mjs';

for (const storage of ['hybrid', 'server-session', 'cookie', 'database', 'memory', 'session-storage', 'local-storage']) {
  prove(`storage ${storage}, from sign-in to sign-out`, {
    gateway: { storage },
    async scenario(world) {
      const inBody = /memory|-storage/.test(storage);
      const sessile = world.tab(inBody ? { storage: world.library.inMemory() } : {});
      const events = record(sessile);
      world.gateway.offers = ['memory'];
      const session = await sessile.signIn(ADA);
      const first = await (await sessile.fetch(world.url('/api/echo'))).json();
      const seen = await sessile.session();
      await sessile.signOut();
      return {
        subject: session.subject,
        bearer: first.bearer === inBody,
        same: seen?.id === session.id,
        after: await sessile.session(),
        refused: (await sessile.fetch(world.url('/api/echo'))).status,
        live: world.gateway.sessions.size,
        keptIn: sessile.keptIn === 'cookie',
        events,
        refreshes: world.gateway.asked.refresh ?? 0,
      };
    },
    check: (seen) =>
      assert.deepEqual(seen, {
        subject: 'ada',
        bearer: true,
        same: true,
        after: null,
        refused: 401,
        live: 0,
        keptIn: !/memory|-storage/.test(storage),
        events: [
          { name: 'signed-in', here: true, subject: 'ada' },
          { name: 'signed-out', reason: 'sign-out' },
        ],
        refreshes: 0,
      }),
    twins: [{ 'client.ts': ["'/sign-out', { body: { scope }", "'/sign-out', { body: { scope: 'others' }"] }],
  });
}

prove('the adapter asks for its storage; where that is not offered, the deployment chooses', {
  gateway: { storage: 'hybrid', offers: [] },
  async scenario(world) {
    const sessile = world.tab({ storage: world.library.inMemory() });
    const { value, code } = await outcome(sessile.signIn(ADA));
    const insisting = await outcome(sessile.signIn({ ...ADA, storage: 'memory' }));
    return { storage: value?.storage, code, keptIn: sessile.keptIn, insisting: insisting.code };
  },
  check: (seen) => assert.deepEqual(seen, { storage: 'hybrid', code: undefined, keptIn: 'cookie', insisting: 'storage_not_offered' }),
  twins: [{ 'client.ts': ["error.code === 'storage_not_offered'", 'false'] }, { 'client.ts': ["!storage && error.code === 'storage_not_offered'", 'true'] }],
});

prove('a deployment that moves up to cookies keeps people signed in, and the token goes', {
  gateway: { storage: 'local-storage' },
  async scenario(world) {
    const items = new Map();
    world.replace(globalThis, 'localStorage', {
      getItem: (key) => items.get(key) ?? null,
      setItem: (key, value) => items.set(key, value),
      removeItem: (key) => items.delete(key),
    });
    const sessile = world.tab({ storage: world.library.inLocalStorage() });
    const other = world.tab({ storage: world.library.inLocalStorage() });
    await sessile.signIn(ADA);
    const before = { kept: items.size, keptIn: sessile.keptIn };
    const events = [...record(sessile), ...record(other)];
    world.gateway.storage = 'hybrid';
    const first = await sessile.fetch(world.url('/api/echo'), { method: 'POST', body: 'x' });
    await sleep(50);
    const second = await other.fetch(world.url('/api/echo'));
    return {
      before,
      statuses: [first.status, second.status],
      bearer: (await second.json()).bearer,
      refreshes: world.gateway.asked.refresh,
      kept: items.size,
      keptIn: [sessile.keptIn, other.keptIn],
      out: events.filter(({ name }) => name === 'signed-out'),
    };
  },
  check: (seen) =>
    assert.deepEqual(seen, {
      before: { kept: 1, keptIn: 'local-storage' },
      statuses: [200, 200],
      bearer: false,
      refreshes: 1,
      kept: 0,
      keptIn: ['cookie', 'cookie'],
      out: [],
    }),
  twins: [{ 'client.ts': ['inBodies = token;\n    if (!token) carrier?.clear();', ''] }],
});

prove('a page loaded after the move finds its way with one renewal', {
  gateway: { storage: 'memory' },
  async scenario(world) {
    await world.signedIn();
    world.gateway.storage = 'hybrid';
    const reloaded = world.tab({ storage: world.library.inMemory() });
    const statuses = [];
    for (let i = 0; i < 3; i += 1) statuses.push((await reloaded.fetch(world.url('/api/echo'))).status);
    return { statuses, refreshes: world.gateway.asked.refresh };
  },
  check: (seen) => assert.deepEqual(seen, { statuses: [200, 200, 200], refreshes: 1 }),
  twins: [{ 'client.ts': ['inBodies = token;\n    if (!token)', 'if (!token)'] }],
});

for (const [what, answer, line] of [
  ['is refused', undefined, "problem !== 'storage_without_renewal'"],
  ['finds no session token', refusal(401, 'no_session'), '(await session()) && !inBodies'],
]) {
  prove(`a session whose renewal ${what} is asked after, and not taken for none`, {
    gateway: { storage: 'cookie' },
    async scenario(world) {
      await world.tab().signIn(ADA);
      if (answer) world.gateway.instead.set('/auth/refresh', answer);
      // Loaded with an adapter, from when the deployment had another storage.
      const reloaded = world.tab({ storage: world.library.inMemory() });
      const events = record(reloaded);
      const { value, code } = await outcome(reloaded.fetch(world.url('/api/echo')));
      const refresh = await outcome(reloaded.refresh());
      return { status: value?.status, code, refresh: refresh.code, keptIn: reloaded.keptIn, events };
    },
    check: (seen) => assert.deepEqual(seen, { status: 200, code: undefined, refresh: undefined, keptIn: 'cookie', events: [] }),
    twins: [{ 'client.ts': [line, line.startsWith('problem') ? 'true' : 'false'] }],
  });
}

prove('a deployment that delivers tokens in bodies needs an adapter, and says so', {
  async scenario(world) {
    return (await outcome(world.tab().signIn(ADA))).code;
  },
  check: (seen) => assert.equal(seen, 'adapter_missing'),
  twins: [{ 'client.ts': ['token && !carrier', 'false'] }],
});

prove('sign-out offline forgets here and in other tabs, says what is missing, and makes up for it first', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const other = world.tab({ storage: world.library.inMemory() });
    await other.fetch(world.url('/api/echo'));
    const [events, elsewhere] = [record(sessile), record(other)];
    world.browser.offline = true;
    const { code, error } = await outcome(sessile.signOut());
    await eventually(() => elsewhere.length, 'news', 4000).catch(() => {});
    const meanwhile = (await outcome(sessile.fetch(world.url('/api/echo')))).code;
    world.browser.offline = false;
    const before = world.gateway.seen.length;
    const status = (await other.fetch(world.url('/api/echo'))).status;
    return { code, cause: error?.cause?.code, meanwhile, events, elsewhere, status, next: world.gateway.seen[before]?.url, live: world.gateway.sessions.size };
  },
  check: (seen) =>
    assert.deepEqual(seen, {
      code: 'sign_out_unconfirmed',
      cause: 'unavailable',
      meanwhile: 'sign_out_unconfirmed',
      events: [{ name: 'signed-out', reason: 'sign-out' }],
      elsewhere: [{ name: 'signed-out', reason: 'elsewhere' }],
      status: 401,
      next: '/auth/sign-out',
      live: 0,
    }),
  twins: [{ 'client.ts': ["    owed = scope;\n", ''] }, { 'client.ts': ["tell('sign-out-owed');", ''] }, { 'client.ts': ["tell('signed-out');", ''] }],
});

prove('what a sign-out owes is settled before the next sign-in', {
  async scenario(world) {
    const sessile = await world.signedIn();
    world.gateway.instead.set('/auth/sign-out', unavailable(1));
    const first = (await outcome(sessile.signOut())).code;
    await sessile.signIn(GRACE);
    const subject = (await (await sessile.fetch(world.url('/api/echo'))).json()).subject;
    return { first, subject, live: [...world.gateway.sessions.values()].map((session) => session.subject), signOuts: world.gateway.asked['sign-out'] };
  },
  check: (seen) => assert.deepEqual(seen, { first: 'sign_out_unconfirmed', subject: 'grace', live: ['grace'], signOuts: 2 }),
  twins: [{ 'client.ts': ['await settle();\n    return tabs.exclusively', 'return tabs.exclusively'] }],
});

prove('a renewal under way does not bring back what was signed out', {
  async scenario(world) {
    await world.signedIn();
    let release;
    const gate = new Promise((resolve) => (release = resolve));
    const { fetch } = world.browser;
    const slow = world.tab({ storage: world.library.inMemory(), fetch: async (request) => {
      const response = await fetch(request);
      if (request.url.endsWith('/refresh')) await gate;
      return response;
    } });
    const renewal = outcome(slow.refresh());
    await eventually(() => world.gateway.asked.refresh);
    const signOut = slow.signOut();
    release();
    await signOut;
    const { code } = await renewal;
    const before = world.gateway.seen.length;
    await slow.fetch(world.url('/api/echo'));
    return { code, bearer: 'authorization' in world.gateway.seen[before].headers };
  },
  check: (seen) => assert.deepEqual(seen, { code: 'no_session', bearer: false }),
  twins: [{ 'carrier.ts': ['began === changes', 'true'] }],
});

prove('sign-out of others keeps the asker in; everywhere keeps nobody', {
  async scenario(world) {
    await world.signedIn();
    world.browser.cookies = new Map(); // From here on, in another browser.
    const second = await world.signedIn();
    const before = world.gateway.sessions.size;
    await second.signOut('others');
    const between = { live: world.gateway.sessions.size, status: (await second.fetch(world.url('/api/echo'))).status };
    await second.signOut('everywhere');
    return { before, between, live: world.gateway.sessions.size };
  },
  check: (seen) => assert.deepEqual(seen, { before: 2, between: { live: 1, status: 200 }, live: 0 }),
  twins: [{ 'client.ts': ["if (scope === 'others') return void (await answer);", ''] }, { 'client.ts': ['body: { scope }', "body: { scope: 'this' }"] }],
});

const CODES = [
  ['signIn', '/auth/sign-in', refusal(401, 'sign_in_failed'), 'sign_in_failed', {}],
  ['signIn', '/auth/sign-in', refusal(429, 'too_many_attempts', { 'retry-after': '7' }), 'too_many_attempts', { retryAfter: 7 }],
  ['signIn', '/auth/sign-in', refusal(503, 'busy', { 'retry-after': '2' }), 'unavailable', { retryAfter: 2 }],
  ['signIn', '/auth/sign-in', refusal(403, 'csrf_refused'), 'csrf_refused', {}],
  ['signIn', '/auth/sign-in', refusal(502, 'claims_too_large'), 'unavailable', {}],
  ['signIn', '/auth/sign-in', refusal(400, 'missing_field'), 'unexpected', { status: 400, problem: 'missing_field' }],
  ['signIn', '/auth/sign-in', broken, 'unavailable', {}],
  ['signOut', '/auth/sign-out', refusal(401, 'fresh_authentication_required', {}, { max_age: 300 }), 'fresh_authentication_required', { maxAge: 300 }],
  ['session', '/auth/session', unavailable(Infinity, 3), 'unavailable', { retryAfter: 3 }],
  ['refresh', '/auth/refresh', unavailable(Infinity, 60), 'unavailable', { retryAfter: 60 }],
  ['session', '/auth/session', refusal(429, 'slow_down', { 'retry-after': 'Sat, 28 Nov 2026 00:00:00 GMT' }), 'unavailable', {}],
];
prove('every refusal has its code, with what belongs to it', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const seen = [];
    for (const [verb, path, answer] of CODES) {
      world.gateway.instead.set(path, answer);
      const { error, value } = await outcome(sessile[verb](verb === 'signIn' ? ADA : verb === 'signOut' ? 'others' : undefined));
      const { name, code, message, cause, ...details } = { ...error, name: error?.name, message: error?.message };
      seen.push({ code, details, told: name === 'SessileError' && error instanceof world.library.SessileError && message.includes(path), value });
      world.gateway.instead.delete(path);
    }
    return seen;
  },
  check: (seen) => assert.deepEqual(seen, CODES.map(([, , , code, details]) => ({ code, details, told: true, value: undefined }))),
  twins: [{ 'answers.ts': ['wait >= 0 ? wait : undefined', 'undefined'] }, { 'answers.ts': ['if (OWN.includes(code))', 'if (false)'] }],
});

prove('a closed client does nothing more', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const events = record(sessile);
    sessile.close();
    const codes = [];
    for (const verb of ['signIn', 'signOut', 'refresh', 'session']) codes.push((await outcome(sessile[verb](ADA))).code);
    codes.push((await outcome(sessile.fetch(world.url('/api/echo')))).code);
    return { codes, asked: world.gateway.seen.length, events };
  },
  check: (seen) => assert.deepEqual(seen, { codes: Array(5).fill('closed'), asked: 1, events: [] }),
  twins: [{ 'client.ts': ['if (closed) throw', 'if (false) throw'] }],
});

prove('unsubscribing ends what was subscribed, and a failing listener stops nobody', {
  async scenario(world) {
    const sessile = world.tab({ storage: world.library.inMemory() });
    const calls = [];
    const uncaught = [];
    const listener = (error) => uncaught.push(error.message);
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    process.on('uncaughtException', listener);
    world.undo(() => {
      process.removeAllListeners('uncaughtException');
      for (const each of others) process.on('uncaughtException', each);
    });
    const same = () => calls.push('same');
    const off = sessile.on('signed-in', same);
    sessile.on('signed-in', same);
    off();
    off();
    sessile.on('signed-in', () => {
      throw new Error('a mistake of the app');
    });
    sessile.on('signed-in', () => calls.push('last'));
    await sessile.signIn(ADA);
    await sleep(10);
    return { calls, uncaught };
  },
  check: (seen) => assert.deepEqual(seen, { calls: ['same', 'last'], uncaught: ['a mistake of the app'] }),
  twins: [{ 'events.ts': ['subscriptions.delete(subscription)', 'subscriptions.clear()'] }, { 'events.ts': ['queueMicrotask(() => {', 'return queueMicrotask(() => {'] }],
});

prove('the answer to a sign-out does not delete the cookies of the next sign-in', {
  gateway: { storage: 'hybrid' },
  async scenario(world) {
    const sessile = world.tab();
    await sessile.signIn(ADA);
    // The server has ended the session; its answer is on its way for a while.
    const { fetch } = world.browser;
    const slow = world.tab({
      fetch: async (request) => {
        if (request.url.endsWith('/sign-out')) await sleep(200);
        return fetch(request);
      },
    });
    const leaving = slow.signOut();
    const arriving = slow.signIn(GRACE);
    await Promise.all([leaving, arriving]);
    await sleep(300);
    return { subject: (await slow.session())?.subject, signOuts: world.gateway.asked['sign-out'] };
  },
  check: (seen) => assert.deepEqual(seen, { subject: 'grace', signOuts: 1 }),
  twins: [{ 'client.ts': ['if (leaving ?? owed) await (leaving ?? signOut(owed));', ''] }, { 'client.ts': ['if (leaving ?? owed) await (leaving ?? signOut(owed));', 'if (owed) await signOut(owed);'] }],
});

prove('twenty requests that find the session gone ask the server once', {
  gateway: { storage: 'hybrid' },
  async scenario(world) {
    const sessile = world.tab();
    await sessile.signIn(ADA);
    world.gateway.endSessions();
    const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await sessile.fetch(world.url('/api/echo'))).status));
    return { statuses: [...new Set(statuses)], asked: world.gateway.asked.session, sent: world.gateway.seen.filter(({ url }) => url === '/api/echo').length };
  },
  check: (seen) => assert.deepEqual(seen, { statuses: [401], asked: 1, sent: 20 }),
  twins: [{ 'client.ts': ['const look = single(session);', 'const look = session;'] }],
});

prove('the prefix may be written with slashes or without', {
  async scenario(world) {
    const subjects = [];
    for (const prefix of ['auth', '/auth', '/auth/', '//auth//']) {
      const sessile = world.tab({ storage: world.library.inMemory(), prefix });
      subjects.push((await outcome(sessile.signIn(ADA))).value?.subject);
    }
    return subjects;
  },
  check: (seen) => assert.deepEqual(seen, ['ada', 'ada', 'ada', 'ada']),
  twins: [{ 'client.ts': [".replace(/^\\/+|\\/+$/g, '')", ''] }],
});

prove('a look at the session shows the move to cookies too, and the token goes', {
  async scenario(world) {
    const sessile = await world.signedIn();
    world.gateway.storage = 'hybrid';
    for (const session of world.gateway.sessions.values()) session.storage = 'hybrid';
    await sessile.session();
    const { value } = await outcome(sessile.fetch(world.url('/api/echo')));
    return { keptIn: sessile.keptIn, bearer: (await value.json()).bearer, refreshes: world.gateway.asked.refresh ?? 0 };
  },
  check: (seen) => assert.deepEqual(seen, { keptIn: 'cookie', bearer: false, refreshes: 0 }),
  twins: [{ 'client.ts': ['if (absorbed || !token) decide(token);', 'if (absorbed) decide(token);'] }],
});
