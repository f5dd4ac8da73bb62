// Other people's proxies in front, configured as docs/forward-auth.md says: nginx and Caddy ask Sessile about each
// request, Apache httpd and HAProxy forward everything to it (R-108, R-115; attacks A1, A4, A8, A14, B6).
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { COOKIE, METRIC } from './lib/names.mjs';
import { eventually, listen, sleep } from './lib/process.mjs';
import { documented, startBehind } from './lib/proxies.mjs';
import { bearerOf, folded } from './lib/sites.mjs';

const ASKING = ['nginx', 'caddy'];
const FORWARDING = ['apache', 'haproxy'];

/** Short enough that an access token expires, and a session token may rotate, while a test looks on. */
const SHORT = { SESSILE_SESSION_ACCESS: '2s', SESSILE_SESSION_GRACE: '1s' };

const NAVIGATION = { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', accept: 'text/html' };
const FROM_EVIL = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' };

/** Headers by which a client claims to be somebody, or its request to be another. */
const CLAIMS = [
  ['Authorization', 'Bearer canary.canary.canary'],
  ...['Sessile-Subject', 'sessile-subject', 'SESSILE-SESSION', 'Sessile_Subject', 'sessile.session', 'Sessile-Subject_', 'Sessile_Session'].map((name) => [name, 'canary']),
];
const FORWARDED_CLAIMS = [
  ['X-Forwarded-For', '203.0.113.9'],
  ['X-Forwarded-Proto', 'http'],
  ['X-Forwarded-Method', 'GET'],
  ['X-Forwarded-Uri', '/auth/session'],
];

/** Operations that requests cause. The others are the gateway's own, on a clock. */
const REQUEST_OPS = new Set(['insert', 'load', 'rotate', 'confirm', 'revoke', 'list', 'find_account']);

async function requestOps(world) {
  const rows = (await world.sessile.metrics()).matchAll(/^sessile_store_ops_total\{op="([a-z_]+)"\} (\d+)/gm);
  const counts = new Map([...rows].map(([, op, count]) => [op, Number(count)]));
  for (const op of REQUEST_OPS) assert.ok(counts.has(op), `there is a counter for ${op}`);
  return [...counts].reduce((sum, [op, count]) => sum + (REQUEST_OPS.has(op) ? count : 0), 0);
}

/** Whether the app was asked while `act` ran, and what `act` gave. */
async function reaches(world, act) {
  const before = world.echo.seen.length;
  const result = await act();
  return { reached: world.echo.seen.length > before, result };
}

/** What the app reads of its caller, as an app that folds names would. */
function identity(world) {
  const seen = folded(world.echo.last().raw);
  return { bearer: bearerOf(world.echo.last()), subject: seen.get('SESSILE_SUBJECT'), session: seen.get('SESSILE_SESSION') };
}

async function appVerifies(world, token) {
  const keys = createLocalJWKSet((await world.client().get('/.well-known/jwks.json')).json);
  const { payload } = await jwtVerify(token, keys, { issuer: world.origin, audience: world.origin, typ: 'at+jwt', algorithms: ['ES256'] });
  return payload;
}

/** Values of the client's own that reached the app, whatever claims were sent with the request. */
async function leaks(world, client, path = '/x', more = []) {
  const { reached, result } = await reaches(world, () => client.get(path, { rawHeaders: [...CLAIMS, ...more], keepCookies: false }));
  if (!reached) return { status: result.status, found: [] };
  return { status: result.status, found: world.echo.last().raw.filter((value) => /canary|203\.0\.113\.9/.test(value)) };
}

/** Requests for a while, several at a time, as a page with its parts; every status and what came with it. */
async function useFor(client, ms) {
  const statuses = new Set();
  let access = 0;
  let session = 0;
  for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
    for (const response of await Promise.all([1, 2, 3].map(() => client.get('/x')))) {
      statuses.add(response.status);
      access += response.setCookies.filter((line) => line.startsWith(`${COOKIE.access}=`)).length;
      session += response.setCookies.filter((line) => line.startsWith(`${COOKIE.session}=`)).length;
    }
  }
  return { statuses: [...statuses], access, session };
}

async function withWorld(kind, options, act) {
  const world = await startBehind(kind, options);
  try {
    await act(world);
  } finally {
    await world.close();
  }
}

for (const kind of [...ASKING, ...FORWARDING]) {
  describe(kind, () => {
    let world;
    before(async () => {
      world = await startBehind(kind);
    });
    after(() => world?.close());

    test('the app sees who is signed in, and verifies it', async () => {
      for (const name of ['ada', 'grace']) {
        const client = await world.signedIn(name);
        const response = await client.get('/hello?x=1&y=%20');
        assert.equal(response.status, 200, response.text);
        assert.equal(world.echo.last().url, '/hello?x=1&y=%20');
        const seen = identity(world);
        assert.deepEqual([seen.subject, seen.session], [name, client.session.id]);
        const claims = await appVerifies(world, seen.bearer);
        assert.deepEqual([claims.sub, claims.sid], [name, client.session.id]);
        // Negative control of the verification.
        await assert.rejects(appVerifies(world, `${seen.bearer.slice(0, -8)}AAAAAAAA`));
        // A body goes its way past the question.
        const posted = await client.post('/do', { json: { text: 'x'.repeat(5000) } });
        assert.deepEqual([posted.status, world.echo.last().method, world.echo.last().body.length], [200, 'POST', 5011]);
      }
    });

    test('nobody signed in: programs get a 401, people the sign-in page and their way back', async () => {
      const anonymous = world.client();
      const { reached } = await reaches(world, async () => {
        const api = await anonymous.get('/api?a=1');
        assert.deepEqual([api.status, api.json.code], [401, 'no_session']);
        const page = await anonymous.get('/notes?a=1&b=2', { headers: NAVIGATION });
        assert.deepEqual([page.status, page.headers.location], [303, '/auth/sign-in?return_to=/notes%3Fa%3D1%26b%3D2']);
        assert.equal((await anonymous.get(page.headers.location, { headers: NAVIGATION })).status, 200);
        const linked = await anonymous.get('/notes?a=1', { headers: { ...NAVIGATION, 'sec-fetch-site': 'cross-site' } });
        assert.equal(linked.status, 200, 'a link from another site is bounced');
        assert.ok(linked.text.replaceAll('&#61;', '=').includes('/notes?a=1'), 'the bounce asks for the same page');
      });
      assert.ok(!reached);
      const client = await world.signedIn();
      assert.ok((await reaches(world, () => client.get('/notes', { headers: NAVIGATION }))).reached, 'negative control');
    });

    test('R-115, A14 no method, user agent or path opens the door', async () => {
      const anonymous = world.client();
      const attempts = [
        ...['HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'PROPFIND'].map((method) => [method, '/x', {}]),
        ...['kube-probe/1.30', 'GoogleHC/1.0', 'ELB-HealthChecker/2.0', 'GoogleHC/1.0 (+https://cloud.google.com)'].map((agent) => ['GET', '/x', { 'user-agent': agent }]),
        ...['/healthz', '/ping', '/livez', '/auth', '/authx', '/_sessile', '/auth/verify', '/x?p=/public/', '/x;/public/', '/publicx'].map((path) => ['GET', path, {}]),
        ['GET', '/x', { 'x-original-url': '/public/', 'x-rewrite-url': '/public/' }],
        ['GET', '/x', { 'x-http-method-override': 'OPTIONS' }],
      ];
      for (const [method, path, headers] of attempts) {
        const { reached, result } = await reaches(world, () => anonymous.request(method, path, { headers }));
        assert.ok(!reached, `${method} ${path} ${JSON.stringify(headers)}`);
        assert.ok(result.status >= 400 || path === '/auth', `${method} ${path}: ${result.status}`);
      }
      const client = await world.signedIn();
      assert.ok((await reaches(world, () => client.get('/healthz', { headers: { 'user-agent': 'kube-probe/1.30' } }))).reached, 'negative control');
    });

    test('B6 a malformed or ambiguous target reaches no app', async () => {
      const head = `Host: app.test:${world.port}\r\nConnection: close\r\n`;
      for (const target of ['/%', '/%zz', '/%u0041', '/a%00b', '', '//', '/..%2f', '/..%2fadmin', '/public/../admin', '/public/%2e%2e/admin', '/public/..%2fadmin', '/public%2f../admin', '/x#/public/', 'http://evil.test/x', '*', '/a\\b', '/\x01']) {
        const { reached, result } = await reaches(world, () => world.raw(`GET ${target} HTTP/1.1\r\n${head}\r\n`));
        assert.ok(!reached, `${JSON.stringify(target)} -> ${world.echo.last()?.url}`);
        assert.match(result, /^HTTP\/1\.[01] (400|401|404|200)/, JSON.stringify(target));
      }
      const client = await world.signedIn();
      const cookie = `Cookie: ${COOKIE.access}=${client.accessToken}\r\n`;
      assert.ok((await reaches(world, () => world.raw(`GET /a%20b HTTP/1.1\r\n${head}${cookie}\r\n`))).reached, 'negative control: a plain one by the same means');
    });

    test('R-108, A1, A4 nothing the client says of its identity arrives, in any spelling', async () => {
      const client = await world.signedIn();
      const { status, found } = await leaks(world, client, '/x', FORWARDED_CLAIMS.filter(([, value]) => value !== 'GET'));
      assert.deepEqual([status, found], [200, []]);
      assert.equal(identity(world).subject, 'ada');
      assert.equal((await appVerifies(world, identity(world).bearer)).sub, 'ada');
      // A Connection list that names the identity does not remove it (A6, A7).
      await client.get('/x', { headers: { connection: 'close, Authorization, Sessile-Subject, sessile-session, Cookie' } });
      assert.deepEqual([identity(world).subject, identity(world).session], ['ada', client.session.id]);
      const anonymous = await leaks(world, world.client());
      assert.equal(anonymous.status, 401);
    });

    test('R-013 the app’s cookies arrive, Sessile’s do not', async () => {
      const client = await world.signedIn();
      const own = { S: `${COOKIE.session}=${client.sessionToken}`, A: `${COOKIE.access}=${client.accessToken}` };
      const orders = { 'S; A': undefined, 'A; S; theme=dark': 'theme=dark', 'theme=dark; S; A': 'theme=dark', 'S; theme=dark; A': 'theme=dark', 'a=1; S; b=2; A; c=3': 'a=1; b=2; c=3', 'a=1; A; b=2': 'a=1; b=2' };
      for (const [order, expected] of Object.entries(orders)) {
        const response = await client.get('/x', { headers: { cookie: order.replace(/[SA]/g, (which) => own[which]) }, keepCookies: false });
        assert.equal(response.status, 200, order);
        assert.equal(folded(world.echo.last().raw).get('COOKIE'), expected, order);
      }
      assert.ok(!JSON.stringify(world.echo.seen).includes(client.sessionToken), 'in no request at all');
    });

    test('A8 a cross-site request is refused, whatever it says its method or address is', async () => {
      const client = await world.signedIn();
      for (const rawHeaders of [[], FORWARDED_CLAIMS, [['X-Forwarded-Method', 'GET'], ['X-Forwarded-Method', 'GET']], [['X_Forwarded_Method', 'GET']], [['X-Http-Method-Override', 'GET']]]) {
        const { reached, result } = await reaches(world, () => client.post('/do', { json: {}, headers: FROM_EVIL, rawHeaders }));
        assert.deepEqual([reached, result.status], [false, 403], JSON.stringify(rawHeaders));
        assert.equal(result.json.code, 'csrf_refused');
      }
      for (const origin of ['https://evil.app.test', world.origin]) {
        const { reached } = await reaches(world, () => world.raw(webSocket(world, client, origin), 1500));
        assert.equal(reached, origin === world.origin, `a WebSocket handshake from ${origin}`);
      }
      assert.ok((await reaches(world, () => client.post('/do', { json: {} }))).reached, 'negative control: from the site itself');
    });

    test('a script that asks /auth/verify gets no token', async () => {
      const client = await world.signedIn();
      for (const rawHeaders of [[], [['X-Forwarded-Uri', '/x']], [['X-Forwarded-Uri', '/x'], ['X-Forwarded-Uri', '/y']], [['x_forwarded_uri', '/x']]]) {
        const response = await client.get('/auth/verify', { rawHeaders });
        assert.equal(response.headers.authorization, undefined, JSON.stringify(rawHeaders));
      }
    });

    test('a request on a known token costs no store operation', async () => {
      const client = await world.signedIn();
      await client.get('/warm');
      const before = await requestOps(world);
      for (let i = 0; i < 50; i += 1) assert.equal((await client.get('/warm')).status, 200);
      assert.equal((await requestOps(world)) - before, 0);
      client.dropAccessToken();
      await client.get('/warm');
      assert.ok((await requestOps(world)) > before, 'negative control: a renewal is counted');
    });

    test('sign-out ends it, for whoever holds a copy too', async () => {
      const client = await world.signedIn();
      const thief = client.steal();
      assert.equal((await thief.get('/x')).status, 200, 'negative control: the copy is good');
      assert.equal((await client.post('/auth/sign-out', { json: { scope: 'this' } })).status, 200);
      assert.equal(client.cookies.size, 0);
      for (const holder of [client, thief]) {
        const { reached, result } = await reaches(world, () => holder.get('/x'));
        assert.deepEqual([reached, result.status], [false, 401]);
      }
    });

    if (ASKING.includes(kind)) {
      test('P15 a public path is open, and tells of nobody', async () => {
        for (const client of [world.client(), await world.signedIn()]) {
          const { status, found } = await leaks(world, client, '/public/x');
          assert.deepEqual([status, found], [200, []]);
          assert.deepEqual(identity(world), { bearer: undefined, subject: undefined, session: undefined });
          assert.equal(folded(world.echo.last().raw).get('COOKIE'), undefined);
        }
      });
    }

    test('without Sessile the door stays shut', async () => {
      const client = await world.signedIn();
      assert.ok((await reaches(world, () => client.get('/x'))).reached, 'negative control');
      await world.sessile.stop();
      const { reached, result } = await reaches(world, () => client.get('/x'));
      assert.ok(!reached);
      assert.ok([500, 502, 503].includes(result.status), String(result.status));
    });
  });

  test(`${kind}: renewal across the life of access tokens, and no request is refused`, async () => {
    await withWorld(kind, { env: SHORT }, async (world) => {
      const client = await world.signedIn();
      const first = { session: client.sessionToken, access: client.accessToken };
      const { statuses, access, session } = await useFor(client, 7000);
      assert.deepEqual(statuses, [200]);
      assert.ok(access > 0 && session > 0, `both cookies came through: ${access} and ${session}`);
      assert.notEqual(client.sessionToken, first.session);
      assert.notEqual(client.accessToken, first.access);
      assert.ok((await world.sessile.metric(METRIC.rotations)) >= 2);
      assert.equal((await appVerifies(world, identity(world).bearer)).sid, client.session.id, 'what the app gets is fresh');
      // Negative control: the first access token alone has expired.
      assert.equal((await client.holding({ [COOKIE.access]: first.access }).get('/x')).status, 401);
      await eventually(async () => (await client.holding({ [COOKIE.session]: first.session }).get('/x', { keepCookies: false })).status === 401, { what: 'the first session token being refused', every: 200 });
    });
  });
}

describe('negative controls: each line of the documented configurations is needed', () => {
  const ofAsking = {
    nginx: {
      aliases: [['underscores_in_headers off', 'underscores_in_headers on'], ['ignore_invalid_headers on', 'ignore_invalid_headers off']],
      override: [['proxy_set_header Sessile-Subject    $sessile_subject;', '']],
      method: [['proxy_set_header X-Forwarded-Method $request_method;', 'proxy_set_header X-Forwarded-Method $http_x_forwarded_method;']],
      question: [['auth_request /_sessile;', 'auth_request off;']],
      ourCookies: [['proxy_set_header Cookie             $cookies_for_app;', '']],
      verify: [['location = /auth/verify { return 404; }', ''], ['proxy_set_header X-Forwarded-Uri    $request_uri;', '']],
      renewal: [['add_header Set-Cookie    $sessile_cookie_1 always;', ''], ['add_header Set-Cookie    $sessile_cookie_2 always;', '']],
      upgrade: [['        # WebSocket handshakes are GETs that must be checked like a POST.\n        proxy_set_header Upgrade            $http_upgrade;', '']],
    },
    caddy: {
      aliases: [['request_header -*Sessile*', '']],
      method: [['header_up X-Forwarded-Method {method}', '']],
      question: [['@guarded not path /public/*', '@guarded not path /*']],
      ourCookies: [['request_header Cookie "(?:^|; ?)__Host-Http-sessile(?:-at)?=[^;]*()" $1', '']],
      verify: [['respond @verify 404', ''], ['header_up X-Forwarded-Uri {uri}', '']],
      renewal: [['include Set-Cookie Cache-Control', 'include Cache-Control']],
    },
  };
  for (const kind of ASKING) {
    const weak = ofAsking[kind];
    const check = (what, weaken, act, env) => test(`${kind}: ${what}`, () => withWorld(kind, { weaken, env }, act));

    check('aliases arrive if they are not removed', weak.aliases, async (world) => {
      assert.notDeepEqual((await leaks(world, await world.signedIn())).found, []);
    });
    check('a client’s method is believed if it is passed on', weak.method, async (world) => {
      const client = await world.signedIn();
      const post = () => client.post('/do', { json: {}, headers: FROM_EVIL, rawHeaders: [['X-Forwarded-Method', 'GET']] });
      assert.ok((await reaches(world, post)).reached);
    });
    check('anybody comes in if nobody is asked', weak.question, async (world) => {
      assert.ok((await reaches(world, () => world.client().get('/x'))).reached);
    });
    check('Sessile’s cookies reach the app if they are not taken out', weak.ourCookies, async (world) => {
      const client = await world.signedIn();
      await client.get('/x');
      assert.ok(JSON.stringify(world.echo.last().raw).includes(client.sessionToken));
    });
    check('/auth/verify gives the token away if the address is the client’s word', weak.verify, async (world) => {
      const client = await world.signedIn();
      const response = await client.get('/auth/verify', { rawHeaders: [['X-Forwarded-Uri', '/x']] });
      assert.match(response.headers.authorization, /^Bearer /);
    });
    check('without Set-Cookie nobody is signed out, but every request goes to the store', weak.renewal, async (world) => {
      const client = await world.signedIn();
      client.dropAccessToken();
      const before = await requestOps(world);
      for (let i = 0; i < 10; i += 1) assert.equal((await client.get('/x')).status, 200);
      assert.equal(client.accessToken, undefined);
      assert.ok((await requestOps(world)) - before >= 10);
    });
    if (weak.override) {
      check('a header that is not replaced is the client’s', weak.override, async (world) => {
        assert.notDeepEqual((await leaks(world, await world.signedIn())).found, []);
      });
    }
    if (weak.upgrade) {
      check('a WebSocket handshake from elsewhere passes as a GET', weak.upgrade, async (world) => {
        const client = await world.signedIn();
        assert.ok((await reaches(world, () => world.raw(webSocket(world, client, 'https://evil.app.test'), 1500))).reached);
      });
    }
    test(`A8 ${kind}: without trust its word about the method counts nothing, and it is told no token`, async () => {
      const weakenGateway = [['trusted_proxies = ["127.0.0.1"]', 'trusted_proxies = ["192.0.2.1"]']];
      await withWorld(kind, { weakenGateway }, async (world) => {
        const client = await world.signedIn();
        await reaches(world, () => client.get('/x'));
        assert.ok(world.echo.seen.length === 0 || identity(world).bearer === undefined);
        assert.ok(!(await reaches(world, () => client.post('/do', { json: {}, headers: FROM_EVIL }))).reached);
      });
    });
  }

  const ofForwarding = {
    apache: { uri: 'RequestHeader unset X-Forwarded-Uri', address: 'RequestHeader unset X-Forwarded-For' },
    haproxy: { uri: 'http-request del-header X-Forwarded-Uri', address: 'http-request del-header X-Forwarded-For' },
  };
  for (const kind of FORWARDING) {
    test(`${kind}: a trusted proxy that passes the client’s forwarding headers on is believed`, async () => {
      const { uri, address } = ofForwarding[kind];
      await withWorld(kind, { weaken: [[uri, ''], [address, '']] }, async (world) => {
        const client = await world.signedIn();
        const response = await client.get('/auth/verify', { rawHeaders: [['X-Forwarded-Uri', '/x']] });
        assert.match(response.headers.authorization, /^Bearer /);
        assert.deepEqual((await leaks(world, client, '/x', [['X-Forwarded-For', '203.0.113.9']])).found, ['203.0.113.9']);
      });
    });
  }
});

/** Something in the gateway's place, that gives the same answer to whatever it is asked. */
async function startStandIn(headers, status = 200) {
  const server = http.createServer((request, response) => {
    response.writeHead(status, headers);
    response.end();
  });
  const port = await listen(server);
  return {
    port,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

async function withStandIn(kind, headers, weaken, act, status) {
  const standIn = await startStandIn(headers, status);
  try {
    await withWorld(kind, { standIn: standIn.port, weaken }, act);
  } finally {
    await standIn.close();
  }
}

for (const kind of ASKING) {
  test(`A4 ${kind}: where the answer has no identity, the client’s own does not take its place`, async () => {
    await withStandIn(kind, {}, [], async (world) => {
      const { reached, result } = await reaches(world, () => leaks(world, world.client()));
      // nginx hands on a request without identity, Caddy's matchers take the answer for none.
      assert.equal(reached, kind === 'nginx');
      assert.deepEqual(result.found, []);
      if (reached) assert.deepEqual(identity(world), { bearer: undefined, subject: undefined, session: undefined });
    });
    await withStandIn(kind, { authorization: 'Bearer a.b.c', 'sessile-subject': 'ada', 'sessile-session': 's' }, [], async (world) => {
      assert.equal((await world.client().get('/x')).status, 200);
      assert.deepEqual(identity(world), { bearer: 'a.b.c', subject: 'ada', session: 's' }, 'negative control: an identity in the answer arrives');
    });
  });
}

for (const kind of ASKING) {
  test(`${kind}: "try again" stays a 503, and any other answer but 200 lets nobody in`, async () => {
    const identified = { authorization: 'Bearer a.b.c', 'sessile-subject': 'ada', 'sessile-session': 's', 'retry-after': '2' };
    for (const status of [503, 302, 400, 404, 500]) {
      await withStandIn(kind, { ...identified, location: '/x' }, [], async (world) => {
        const { reached, result } = await reaches(world, () => world.client().get('/x'));
        assert.deepEqual([reached, result.status, result.headers['retry-after']], [false, status, '2']);
      }, status);
    }
  });
}

test('A4 negative control: Caddy’s short form, without removing anything first, lets the client’s own header stand', async () => {
  const long = documented().get('caddyfile');
  const from = long.indexOf('\t\treverse_proxy @guarded');
  const to = long.indexOf('\t\t# Sessile\'s cookies');
  const short = '\t\tforward_auth @guarded 127.0.0.1:8080 {\n\t\t\turi /auth/verify\n\t\t\tcopy_headers Authorization Sessile-Subject Sessile-Session\n\t\t}\n\n';
  const local = (text, port) => text.replaceAll('127.0.0.1:8080', `127.0.0.1:${port}`);
  const standIn = await startStandIn({});
  try {
    const weaken = [[local(long.slice(from, to), standIn.port), local(short, standIn.port)], ['request_header -*Sessile*', ''], ['request_header -Authorization', '']];
    await withWorld('caddy', { standIn: standIn.port, weaken }, async (world) => {
      const { found } = await leaks(world, world.client());
      assert.ok(found.includes('canary'), JSON.stringify(found));
    });
  } finally {
    await standIn.close();
  }
});

test('nginx 1.23 and later give both cookies in one value: the maps take it apart', async () => {
  const lines = [`${COOKIE.session}=aaa.1.bbb; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=60`, `${COOKIE.access}=x.y.z; Path=/; Secure; HttpOnly; SameSite=Strict`];
  const ask = async (headers, weaken, expected) => {
    await withStandIn('nginx', headers, weaken, async (world) => {
      const response = await world.client().get('/x');
      assert.deepEqual(response.setCookies, expected);
      assert.equal(response.headers['cache-control'], expected.length > 0 ? 'no-store' : undefined);
    });
  };
  await ask({ 'set-cookie': lines.join(', ') }, [], lines);
  await ask({ 'set-cookie': lines[0] }, [], [lines[0]]);
  await ask({}, [], []);
  // Negative control: the plain variable makes one broken cookie of it.
  const plain = [['add_header Set-Cookie    $sessile_cookie_1 always;', 'add_header Set-Cookie $sessile_set_cookie always;'], ['add_header Set-Cookie    $sessile_cookie_2 always;', '']];
  await ask({ 'set-cookie': lines.join(', ') }, plain, [lines.join(', ')]);
});

test('nginx before 1.23 hands over one cookie of two, and nobody is refused for it', async () => {
  await withWorld('nginx', { env: SHORT }, async (world) => {
    const version = /nginx\/1\.(\d+)/.exec((await world.client().get('/auth/verify')).headers.server)[1];
    const both = Number(version) >= 23;
    const client = await world.signedIn();
    // Farther apart than grace and life: each is a renewal with a rotation.
    for (let request = 1; request <= 3; request += 1) {
      await sleep(2500);
      const { status, setCookies } = await client.get('/x');
      assert.deepEqual([status, setCookies.map((line) => line.split('=')[0])], [200, both ? [COOKIE.session, COOKIE.access] : [COOKIE.session]]);
      assert.equal(await world.sessile.metric(METRIC.rotations), request);
    }
    // Within the grace: the other cookie, and no rotation.
    const { setCookies } = await client.get('/x');
    assert.deepEqual(setCookies.map((line) => line.split('=')[0]), both ? [] : [COOKIE.access]);
    assert.equal(await world.sessile.metric(METRIC.rotations), 3);
  });
});

test('a renewal names the session token first, which nginx before 1.23 depends on', async () => {
  await withWorld('caddy', { env: SHORT }, async (world) => {
    const client = await world.signedIn();
    await sleep(2500);
    const { setCookies, headers } = await client.get('/x');
    assert.match(headers['cache-control'], /no-store/);
    assert.deepEqual(setCookies.map((line) => line.split('=')[0]), [COOKIE.session, COOKIE.access]);
  });
});

function webSocket(world, client, origin) {
  const fields = {
    Host: `app.test:${world.port}`,
    Cookie: `${COOKIE.session}=${client.sessionToken}; ${COOKIE.access}=${client.accessToken}`,
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    Origin: origin,
  };
  return `GET /socket HTTP/1.1\r\n${Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}
