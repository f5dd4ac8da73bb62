// What `fetch` adds to the platform's: the token, for whom it is; renewal; sending again what was refused.
import assert from 'node:assert/strict';
import { ADA, GRACE, outcome, prove } from './lib/prove.mjs';
import { eventually, sleep } from './lib/browser.mjs';
import { broken, refusal, unavailable } from './lib/gateway.mjs';

const bearers = (gateway) => gateway.seen.filter(({ headers }) => headers.authorization).map(({ url }) => url);

prove('a token goes along, once somebody signed in', {
  async scenario(world) {
    const sessile = await world.signedIn();
    return (await sessile.fetch(world.url('/api/echo'), { method: 'POST', body: 'x' })).json();
  },
  check: (seen) => assert.deepEqual(seen, { method: 'POST', body: 'x', subject: 'ada', bearer: true, length: '1' }),
  twins: [{ 'carrier.ts': ["request.headers.set('authorization'", "void ('authorization'"] }],
});

prove('nothing of it goes to another origin, to other paths, or to the gateway itself', {
  async scenario(world) {
    const sessile = await world.signedIn({ paths: ['/api'] });
    for (const url of [`${world.stranger.origin}/api/take`, world.url('/apiary'), world.url('/'), world.url('/api/../other')]) await sessile.fetch(url);
    await sessile.refresh();
    await sessile.session();
    return { elsewhere: [...world.stranger.seen.filter(({ headers }) => headers.authorization), ...bearers(world.gateway)], asked: world.stranger.seen.length };
  },
  check: (seen) => assert.deepEqual(seen, { elsewhere: [], asked: 1 }),
  twins: [
    { 'scope.ts': ['target.origin === origin', 'true'] },
    { 'scope.ts': ["path.replace(/\\/*$/, '/')", 'path'] },
  ],
});

prove('nothing of it goes with a redirect', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const { code } = await outcome(sessile.fetch(world.url(`/api/redirect?to=${encodeURIComponent(`${world.stranger.origin}/take`)}`)));
    return { code, asked: world.stranger.seen.length };
  },
  check: (seen) => assert.deepEqual(seen, { code: 'redirected', asked: 0 }),
  twins: [{ 'carrier.ts': ["{ redirect: 'manual' }", '{}'] }],
});

prove('redirects are followed without a token, and with one where that was asked for', {
  async scenario(world) {
    const to = encodeURIComponent('/api/echo');
    const trusting = await world.signedIn({ trustRedirects: true });
    const statuses = [(await outcome(trusting.fetch(world.url(`/api/redirect?to=${to}`)))).value?.status];
    world.gateway.storage = 'hybrid';
    const plain = world.tab();
    await plain.signIn(ADA);
    statuses.push((await plain.fetch(world.url(`/api/redirect?to=${to}`))).status);
    return statuses;
  },
  check: (seen) => assert.deepEqual(seen, [200, 200]),
  twins: [{ 'carrier.ts': ['&& !context.trustRedirects', ''] }],
});

prove('no URL ever holds a token', {
  async scenario(world) {
    const sessile = await world.signedIn();
    await sessile.fetch(world.url('/api/echo?a=b'));
    await sessile.refresh();
    return world.gateway.seen.filter(({ url }) => url.includes('token-of')).length;
  },
  check: (seen) => assert.equal(seen, 0),
  twins: [{ 'carrier.ts': ['context.fetch(request)', "context.fetch(held ? new Request(request.url + '&t=' + held.token, request) : request)"] }],
});

prove('a credential that the caller brings is left alone', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const response = await sessile.fetch(world.url('/api/echo'), { headers: { authorization: 'Basic YTpi' } });
    return { sent: world.gateway.seen.at(-1).headers.authorization, status: response.status, refreshes: world.gateway.asked.refresh ?? 0 };
  },
  check: (seen) => assert.deepEqual(seen, { sent: 'Basic YTpi', status: 401, refreshes: 0 }),
  twins: [{ 'client.ts': ["|| request.headers.has('authorization')", ''] }],
});

prove('a page that finds no token renews before it asks, and is asked for nothing twice', {
  async scenario(world) {
    await world.signedIn();
    const reloaded = world.tab({ storage: world.library.inMemory() });
    const { status } = await reloaded.fetch(world.url('/api/echo'));
    return { status, order: world.gateway.seen.slice(1).map(({ url }) => url) };
  },
  check: (seen) => assert.deepEqual(seen, { status: 200, order: ['/auth/refresh', '/api/echo'] }),
  twins: [{ 'client.ts': ["else if (known === 'out') return;", 'else return;'] }],
});

prove('a refused request is carried out after renewal, whatever its method, and once', {
  async scenario(world) {
    const sessile = await world.signedIn();
    world.gateway.endTokens();
    const response = await sessile.fetch(world.url('/api/echo'), { method: 'POST', body: JSON.stringify({ pay: 1 }), headers: { 'content-type': 'application/json' } });
    return { status: response.status, forwarded: world.gateway.forwarded.map(({ method, body }) => method + body), refreshes: world.gateway.asked.refresh };
  },
  check: (seen) => assert.deepEqual(seen, { status: 200, forwarded: ['POST{"pay":1}'], refreshes: 1 }),
  twins: [
    { 'client.ts': ['if (!(await refused(response))) return response;\n\n', 'return response;\n\n'] },
    { 'client.ts': ['deliver(again ? request.clone() : request)', 'deliver(new Request(request.url, { method: request.method, headers: request.headers }))'] },
  ],
});

prove("the app's own 401 is the app's", {
  async scenario(world) {
    const sessile = await world.signedIn();
    const events = [];
    sessile.on('signed-out', ({ reason }) => events.push(reason));
    const response = await sessile.fetch(world.url('/api/own-401'));
    return { status: response.status, body: await response.json(), refreshes: world.gateway.asked.refresh ?? 0, forwarded: world.gateway.forwarded.length, events };
  },
  check: (seen) => assert.deepEqual(seen, { status: 401, body: { error: 'the app says no' }, refreshes: 0, forwarded: 1, events: [] }),
  twins: [{ 'client.ts': ["&& (await problemCode(response)) === 'no_session'", ''] }],
});

prove('20 requests whose token has gone renew once', {
  async scenario(world) {
    const sessile = await world.signedIn();
    world.gateway.endTokens();
    const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await sessile.fetch(world.url('/api/echo'))).status));
    return { statuses: [...new Set(statuses)], refreshes: world.gateway.asked.refresh };
  },
  check: (seen) => assert.deepEqual(seen, { statuses: [200], refreshes: 1 }),
  twins: [{ 'client.ts': ['version() === before', 'true'], 'time.ts': ['running ??= work()', 'running = work()'] }],
});

prove('a renewal that does not help is not repeated: 401, renewal, 401, and that was it', {
  async scenario(world) {
    const sessile = await world.signedIn();
    world.gateway.instead.set('/api/echo', refusal(401, 'no_session'));
    const statuses = [];
    for (let i = 0; i < 10; i += 1) statuses.push((await sessile.fetch(world.url('/api/echo'))).status);
    const tries = world.gateway.seen.filter(({ url }) => url === '/api/echo').length;
    return { statuses: [...new Set(statuses)], refreshes: world.gateway.asked.refresh, tries };
  },
  check: (seen) => assert.deepEqual(seen, { statuses: [401], refreshes: 1, tries: 11 }),
  twins: [{ 'client.ts': ['const QUIET_MS = 5000', 'const QUIET_MS = 0'] }],
});

prove('a token near its end is renewed beside the request', {
  gateway: { access: 100 },
  async scenario(world) {
    const sessile = await world.signedIn();
    world.shiftClock(95_000);
    const { status } = await sessile.fetch(world.url('/api/echo'));
    await sleep(100);
    return { status, asked: world.gateway.seen.slice(1).map(({ url }) => url).sort() };
  },
  check: (seen) => assert.deepEqual(seen, { status: 200, asked: ['/api/echo', '/auth/refresh'] }),
  twins: [{ 'client.ts': ['else if (share > ripe) refresh()', 'else if (share > 2) refresh()'] }],
});

prove('nothing is renewed while nobody asks for anything', {
  gateway: { access: 1 },
  async scenario(world) {
    await world.signedIn();
    await sleep(1500);
    return world.gateway.asked.refresh ?? 0;
  },
  check: (seen) => assert.equal(seen, 0),
  twins: [{ 'client.ts': ['    owed = undefined;\n    ripe', '    owed = undefined;\n    setTimeout(() => refresh().catch(() => {}), 900);\n    ripe'] }],
});

for (const [what, ms] of [['ahead', 365 * 86_400_000], ['back', -365 * 86_400_000]]) {
  prove(`a clock that jumps a year ${what} costs one renewal and nothing else`, {
    async scenario(world) {
      const sessile = await world.signedIn();
      world.shiftClock(ms);
      const statuses = [];
      for (let i = 0; i < 5; i += 1) statuses.push((await sessile.fetch(world.url('/api/echo'))).status);
      return { statuses: [...new Set(statuses)], refreshes: world.gateway.asked.refresh };
    },
    check: (seen) => assert.deepEqual(seen, { statuses: [200], refreshes: 1 }),
    twins: [{ 'client.ts': ['(Date.now() - status.at) / status.life', `(Date.now() - status.at + ${ms > 0 ? 1 : -1} * 1e9) / status.life`] }],
  });
}

prove('503 for a while: renewal waits as told and succeeds; nobody is signed out', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const events = [];
    sessile.on('signed-out', () => events.push('signed-out'));
    world.gateway.endTokens();
    world.gateway.instead.set('/auth/refresh', unavailable(2, 2));
    const began = performance.now();
    const { status } = await sessile.fetch(world.url('/api/echo'));
    const seconds = (performance.now() - began) / 1000;
    return { status, events, refreshes: world.gateway.asked.refresh, waited: seconds >= 3.9 };
  },
  check: (seen) => assert.deepEqual(seen, { status: 200, events: [], refreshes: 3, waited: true }),
  twins: [{ 'client.ts': ['(failure.retryAfter ?? 0) * 1000', '0'] }],
});

prove('503 for long: a bounded number of tries, a typed error, and the token stays', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const events = [];
    sessile.on('signed-out', () => events.push('signed-out'));
    world.gateway.endTokens();
    world.gateway.instead.set('/auth/refresh', unavailable(Infinity, 30));
    const [first, second] = [await outcome(sessile.fetch(world.url('/api/echo'))), await outcome(sessile.fetch(world.url('/api/echo')))];
    const refreshes = world.gateway.asked.refresh;
    const headers = world.gateway.seen.at(-1).headers;
    return { codes: [first.code, second.code], retryAfter: first.error?.retryAfter, refreshes, events, kept: 'authorization' in headers };
  },
  // The second fetch does not ask again: 30 s are not over.
  check: (seen) => assert.deepEqual(seen, { codes: ['unavailable', 'unavailable'], retryAfter: 30, refreshes: 1, events: [], kept: true }),
  twins: [
    { 'client.ts': ['notBefore = Date.now() + wait', 'notBefore = 0'] },
    { 'answers.ts': ["new SessileError('unavailable', message, { retryAfter })", "new SessileError('no_session', message)"] },
  ],
});

prove('a network that is away does not sign anybody out, and is not asked without end', {
  async scenario(world) {
    const sessile = await world.signedIn();
    const events = [];
    sessile.on('signed-out', () => events.push('signed-out'));
    world.gateway.endTokens();
    world.gateway.instead.set('/auth/refresh', broken);
    const failed = await outcome(sessile.fetch(world.url('/api/echo')));
    const refreshes = world.gateway.asked.refresh;
    world.gateway.instead.clear();
    await eventually(async () => (await outcome(sessile.fetch(world.url('/api/echo')))).value?.status === 200);
    return { code: failed.code, cause: failed.error?.cause instanceof Error, refreshes, events };
  },
  check: (seen) => assert.deepEqual(seen, { code: 'unavailable', cause: true, refreshes: 3, events: [] }),
  twins: [{ 'client.ts': ['const REFRESH_TRIES = 3', 'const REFRESH_TRIES = 2'] }],
});

for (const status of [401, 404, 200]) {
  prove(`${status} from something that is not the gateway says nothing of the session`, {
    async scenario(world) {
      const sessile = await world.signedIn();
      const events = [];
      sessile.on('signed-out', () => events.push('signed-out'));
      world.gateway.instead.set('/auth/refresh', (_request, response) => {
        response.writeHead(status, { 'content-type': 'text/html' });
        response.end('<h1>Please pay for this wireless network</h1>');
        return true;
      });
      const { code, error } = await outcome(sessile.refresh());
      return { code, status: error?.status, events, answer: (await sessile.fetch(world.url('/api/echo'))).status, refreshes: world.gateway.asked.refresh };
    },
    check: (seen) => assert.deepEqual(seen, { code: 'unexpected', status, events: [], answer: 200, refreshes: 1 }),
    twins: [status === 200 ? { 'client.ts': ["typeof session?.subject !== 'string'", 'false'] , 'carrier.ts': ['} catch {', '} catch { write(null);'] } : { 'answers.ts': ["new SessileError('unexpected'", "new SessileError(status === 401 ? 'no_session' : 'unavailable'"] }],
  });
}

prove('a browser that proves itself by CSRF token gets one when it is refused, once', {
  async scenario(world) {
    world.browser.fetchMetadata = false;
    world.gateway.wantsCsrfToken = true;
    world.gateway.storage = 'hybrid';
    const sessile = world.tab();
    const signIn = (await outcome(sessile.signIn(ADA))).code;
    const statuses = [];
    for (let i = 0; i < 3; i += 1) statuses.push((await sessile.fetch(world.url('/api/echo'), { method: 'POST', body: 'x' })).status);
    const { csrf } = world.gateway.asked;
    world.gateway.instead.set('/api/echo', refusal(403, 'csrf_refused'));
    const { status } = await sessile.fetch(world.url('/api/echo'), { method: 'POST', body: 'x' });
    return { signIn, statuses, csrf, status, tries: world.gateway.seen.filter(({ url, method }) => url === '/api/echo' && method === 'POST').length };
  },
  check: (seen) => assert.deepEqual(seen, { signIn: undefined, statuses: [200, 200, 200], csrf: 1, status: 403, tries: 5 }),
  twins: [{ 'gateway.ts': ["request.headers.set('x-csrf-token', csrfToken)", 'void 0'] }],
});

prove('what can be read once is sent once', {
  async scenario(world) {
    const sessile = await world.signedIn();
    world.gateway.endTokens();
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('streamed'));
        controller.close();
      },
    });
    const { value } = await outcome(sessile.fetch(world.url('/api/echo'), { method: 'POST', body, duplex: 'half' }));
    return { status: value?.status, tries: world.gateway.seen.filter(({ url }) => url === '/api/echo').length };
  },
  check: (seen) => assert.deepEqual(seen, { status: 401, tries: 1 }),
  twins: [{ 'client.ts': ['!(init?.body instanceof ReadableStream)', 'true'] }],
});

prove('a request is not sent as somebody else who signed in meanwhile', {
  async scenario(world) {
    const sessile = await world.signedIn();
    // In a tab whose messages do not arrive: the cookie is of grace now, this tab's token still of ada.
    world.replace(globalThis, 'BroadcastChannel', undefined);
    await world.signedIn({}, GRACE);
    const { value, code } = await outcome(sessile.fetch(world.url('/api/echo'), { method: 'POST', body: "ada's" }));
    return { status: value?.status, code, forwarded: world.gateway.forwarded.length };
  },
  check: (seen) => assert.deepEqual(seen, { status: 401, code: undefined, forwarded: 0 }),
  twins: [{ 'client.ts': ["owner && owner !== subject", 'false'] }],
});

prove('an aborted request rejects as the platform says, also while it waits for a renewal', {
  async scenario(world) {
    const sessile = await world.signedIn();
    world.gateway.endTokens();
    world.gateway.instead.set('/auth/refresh', () => true);
    const controller = new AbortController();
    const asked = outcome(sessile.fetch(world.url('/api/echo'), { signal: controller.signal }));
    await eventually(() => world.gateway.asked.refresh);
    controller.abort();
    const result = await Promise.race([asked, sleep(1000).then(() => ({ name: 'still waiting' }))]);
    return result.name;
  },
  check: (seen) => assert.equal(seen, 'AbortError'),
  twins: [{ 'time.ts': ["signal.addEventListener('abort', abort)", 'void 0'] }],
});
