// What a storage promises beside holding a token: where it counts, what a cookie alone opens, what a request costs, and
// what each of them takes or refuses.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { COOKIE, PASSWORD } from './lib/names.mjs';
import { makeCertificate } from './lib/network.mjs';
import { eventually, sleep } from './lib/process.mjs';
import { metricValue } from './lib/sessile.mjs';
import { bearerOf, startLogin, startSite } from './lib/sites.mjs';
import { blob, sqlite } from './lib/sqlite.mjs';
import { BODY_DELIVERED, JWT, NAMES, STORAGES, claimsOf } from './lib/storages.mjs';
import { startWorld } from './lib/world.mjs';

const CROSS_SITE = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' };
const ADA = { username: 'ada', password: PASSWORD.ada };

const login = (client, storage, assertion) => client.post(`/${storage}/login`, { body: JSON.stringify(assertion), headers: { 'content-type': 'application/json' } });

describe('one gateway with a route for each storage', () => {
  let world;
  let app;

  before(async () => {
    app = await startLogin();
    world = await startWorld({
      users: ['ada', 'grace'],
      config: () => ({
        session: { danger_script_readable_token: true },
        sign_in: { upstream_routes: NAMES.map((storage) => `POST /${storage}/login`) },
        route: NAMES.flatMap((storage) => [
          { prefix: `/${storage}/login`, upstream: app.url, access: 'public', storage },
          { prefix: `/${storage}`, upstream: app.url, access: 'session', storage },
        ]),
      }),
    });
  });
  after(async () => {
    await world?.close();
    await app?.close();
  });

  const signedIn = (storage, options) => world.signedIn('ada', { storage, ...options });
  const status = async (client, storage, options) => (await client.get(`/${storage}/data`, options)).status;

  /** What the app was given with the last request. */
  const jwtSeen = () => bearerOf(app.last());

  describe('a token counts only where its storage puts it', () => {
    for (const storage of NAMES) {
      test(storage, async () => {
        const client = await signedIn(storage);
        assert.equal(await status(client, storage), 200, 'negative control: as its storage has it');
        const jwt = jwtSeen();
        assert.equal(claimsOf(jwt).storage, storage);
        const { sessionToken } = client;
        const bare = world.client();
        const places = {
          cookie: { wrong: [bare.holding({}, jwt)], right: bare.holding({ [COOKIE.access]: jwt }) },
          body: { wrong: [bare.holding({ [COOKIE.access]: jwt }), bare.holding({ [COOKIE.session]: sessionToken })], right: bare.holding({}, jwt) },
          server: { wrong: [bare.holding({}, jwt), bare.holding({ [COOKIE.access]: jwt })], right: bare.holding({ [COOKIE.session]: sessionToken }) },
        };
        const { wrong, right } = places[STORAGES[storage].token];
        if (sessionToken) wrong.push(bare.holding({}, sessionToken), bare.holding({ [COOKIE.access]: sessionToken }));
        for (const [at, holder] of wrong.entries()) {
          for (const method of ['GET', 'POST']) assert.equal((await holder.steal().request(method, `/${storage}/data`)).status, 401, `${method}, wrong place ${at}`);
        }
        assert.equal(await status(right, storage), 200, 'negative control: the token alone, in its place');
      });
    }
  });

  describe('a session cookie without its token', () => {
    for (const storage of BODY_DELIVERED) {
      test(`${storage}: opens no route, so no other site can use it; its token is fetched from the same origin only`, async () => {
        const client = await signedIn(storage);
        const cookieOnly = client.holding({ [COOKIE.session]: client.sessionToken });
        const reached = app.seen.length;
        for (const headers of [{}, CROSS_SITE]) {
          for (const method of ['GET', 'POST', 'DELETE']) assert.equal((await cookieOnly.request(method, `/${storage}/data`, { headers })).status, 401, method);
        }
        const page = await cookieOnly.get(`/${storage}/data`, { headers: { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' } });
        assert.deepEqual([page.status, page.headers.location.split('?')[0]], [303, '/auth/sign-in']);
        assert.equal(app.seen.length, reached, 'nothing reached the app');

        const foreignOrigin = { 'sec-fetch-site': undefined, 'sec-fetch-mode': undefined, 'sec-fetch-dest': undefined, origin: 'https://evil.test' };
        for (const headers of [CROSS_SITE, foreignOrigin, { ...CROSS_SITE, origin: 'null' }, { 'sec-fetch-site': 'same-site', origin: 'https://other.localhost' }]) {
          const refused = await cookieOnly.refresh({ headers });
          assert.deepEqual([refused.status, refused.json.code], [403, 'csrf_refused'], JSON.stringify(headers));
          assert.doesNotMatch(refused.text, JWT);
        }
        assert.equal((await cookieOnly.refresh()).status, 200, 'negative control: from the same origin it works');
        assert.equal(await status(cookieOnly, storage), 200);
      });
    }

    for (const storage of NAMES.filter((name) => !BODY_DELIVERED.includes(name))) {
      test(`${storage}: no answer of the surface carries a token`, async () => {
        const client = await signedIn(storage);
        const answers = [await client.refresh(), await client.get('/auth/session'), await client.get('/auth/sessions'), await client.get('/auth/csrf'), await client.get('/auth/verify')];
        for (const { text } of answers) {
          assert.doesNotMatch(text, JWT);
          for (const secret of client.cookies.values()) assert.ok(!text.includes(secret.split('.').at(-1)));
        }
        assert.equal(answers[0].status, STORAGES[storage].renewal === 'never' ? 400 : 200);
        assert.equal(await status(client, storage), 200);
        const body = await (await signedIn('memory')).refresh();
        assert.match(body.text, JWT, 'negative control: a body-delivered token is seen in the same answer');
      });
    }
  });

  test('R-021 a second sign-in ends the session that was presented, by its cookies alone as well, and no other', async () => {
    for (const storage of NAMES) {
      const bystander = await signedIn(storage);
      for (const bearerToo of [true, false]) {
        const client = await signedIn(storage);
        const old = client.steal();
        if (!bearerToo) client.bearer = undefined;
        const session = await client.signIn('ada', PASSWORD.ada, { storage });
        assert.notEqual(session.id, client.session.id);
        assert.deepEqual([await status(old, storage), await status(client, storage)], [401, 200], storage);
      }
      assert.equal(await status(bystander, storage), 200, `${storage}: negative control`);
    }
  });

  test('store operations of a request, by storage', { timeout: 120_000 }, async (t) => {
    // What the node does on its own account, whoever asks for what; and what it writes after the answers, many together.
    const UPKEEP = /^(feed|load_keys|sweep.*)$/;
    const LATER = /^(append_events|note_uses)$/;
    const operations = async () => {
      const page = await world.sessile.metrics();
      const rows = [...page.matchAll(/^sessile_store_ops_total\{op="(\w+)"\} (\d+)$/gm)].map(([, op, count]) => [op, Number(count)]);
      assert.equal(rows.reduce((sum, [, count]) => sum + count, 0), metricValue(page, 'sessile_store_ops_total'));
      return rows.filter(([op]) => !UPKEEP.test(op));
    };
    const during = async (work) => {
      const before = new Map(await operations());
      await work();
      const after = await operations();
      return Object.fromEntries(after.map(([op, count]) => [op, count - before.get(op)]).filter(([, count]) => count > 0));
    };
    const atOnce = (counted) => Object.fromEntries(Object.entries(counted).filter(([op]) => !LATER.test(op)));
    const words = (counted) => Object.entries(counted).map(([op, count]) => `${count} ${op}`).join(', ') || '0';
    const LANES = 8;
    const WARM = 1000;

    t.diagnostic(`${'storage'.padEnd(16)} ${'sign-in'.padEnd(70)} ${'first request'.padEnd(14)} ${WARM} warm requests`);
    for (const storage of NAMES) {
      let client;
      const signIn = atOnce(await during(async () => (client = await signedIn(storage))));
      const first = atOnce(await during(async () => assert.equal(await status(client, storage), 200)));
      await sleep(1200);
      const lane = async () => {
        for (let i = 0; i < WARM / LANES; i += 1) assert.equal(await status(client.steal(), storage), 200);
      };
      const warm = await during(() => Promise.all(Array.from({ length: LANES }, lane)));
      t.diagnostic(`${storage.padEnd(16)} ${words(signIn).padEnd(70)} ${words(first).padEnd(14)} ${words(warm)}`);
      assert.equal(Object.values(first).reduce((sum, count) => sum + count, 0), 1, 'negative control: the first request is counted, once');
      assert.deepEqual(atOnce(warm), storage === 'database' ? { find_token: WARM } : {}, storage);
      if (storage !== 'database') assert.deepEqual(warm, {}, `${storage}: nor is anything written later`);
    }
  });

  describe('a claim set larger than a cookie', () => {
    const claims = { groups: Array.from({ length: 160 }, (_, i) => `group-${i}-${'x'.repeat(20)}`) };

    test('server-session takes it, and the app sees all of it', async () => {
      const client = world.client();
      assert.ok(JSON.stringify(claims).length > 5000);
      const answer = await login(client, 'server-session', { sub: 'grace', claims });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(await status(client, 'server-session'), 200);
      assert.deepEqual(claimsOf(jwtSeen()).groups, claims.groups);
      assert.ok([...client.cookies].every(([name, value]) => name.length + value.length < 200));
    });

    for (const storage of ['hybrid', 'cookie', 'database']) {
      test(`${storage} refuses it by name and begins no session; negative control: a small one begins one`, async () => {
        const client = world.client();
        const count = async () => (await world.sessile.sessions('grace')).length;
        const before = await count();
        const refused = await login(client, storage, { sub: 'grace', claims });
        assert.deepEqual([refused.status, refused.json.code], [502, 'claims_too_large']);
        assert.deepEqual([...client.cookies], []);
        assert.equal(await count(), before);
        assert.equal((await login(client, storage, { sub: 'grace', claims: { groups: claims.groups.slice(0, 10) } })).status, 200);
        assert.equal(await status(client, storage), 200);
        assert.equal(await count(), before + 1);
      });
    }
  });

  describe('database', () => {
    const file = () => join(world.data, 'sessile.db');
    const row = async (jti) => (await sqlite(file(), 'SELECT session, last_used_at FROM tokens WHERE id = ?', [blob(jti)])).rows[0];

    async function holder() {
      const client = await signedIn('database');
      assert.equal(await status(client, 'database'), 200);
      return { client, jti: claimsOf(client.accessToken).jti };
    }

    const lastUse = async (jti) => (await row(jti)).last_used_at;

    test('deleting the row of a token is its revocation, at once, and changes nothing else', async () => {
      const one = await holder();
      const other = await holder();
      const sessions = (await world.sessile.sessions('ada')).length;
      assert.equal((await sqlite(file(), 'DELETE FROM tokens WHERE id = ?', [blob(one.jti)])).changed, 1);
      assert.equal(await status(one.client, 'database'), 401);
      assert.equal(await status(other.client, 'database'), 200, 'negative control: the token whose row is there goes on');
      assert.equal((await world.sessile.sessions('ada')).length, sessions);
      assert.equal((await one.client.get('/auth/session')).status, 401);
    });

    test('each use is recorded, within about a second', async () => {
      const { client, jti } = await holder();
      const first = await eventually(() => lastUse(jti), { ms: 3000, what: 'a recorded use' });
      await sleep(1100);
      const asked = Date.now();
      assert.ok(first < asked, 'negative control: it was not in use meanwhile');
      assert.equal(await status(client, 'database'), 200);
      await eventually(async () => (await lastUse(jti)) >= asked, { ms: 3000, what: 'the later use' });
    });

    test('also the last before SIGTERM', async () => {
      const { client, jti } = await holder();
      await eventually(() => lastUse(jti), { ms: 3000, what: 'a recorded use' });
      const asked = Date.now();
      assert.equal(await status(client, 'database'), 200);
      await world.sessile.stop();
      assert.ok((await lastUse(jti)) >= asked);
      await world.sessile.start();
      assert.equal(await status(client, 'database'), 200);
    });

    test('kill -9 loses a second or so of uses, and no revocation', async () => {
      const { client, jti } = await holder();
      const revoked = await holder();
      const ended = Date.now() + 2500;
      let asked;
      while (Date.now() < ended) {
        asked = Date.now();
        assert.equal(await status(client, 'database'), 200);
        await sleep(50);
      }
      await world.sessile.revoke(revoked.client.session.id);
      await world.sessile.killHard();
      const lost = asked - (await lastUse(jti));
      assert.ok(lost <= 2000, `${lost} ms of uses are lost`);
      assert.equal(await row(revoked.jti), undefined);
      await world.sessile.start();
      assert.equal(await status(revoked.client, 'database'), 401);
      assert.equal(await status(client, 'database'), 200, 'negative control: the other token outlived the same kill');
    });

    test('negative control: without the drain, a use right before the end is lost', async () => {
      const { client, jti } = await holder();
      // A use that happens to be written in the moment before the kill proves nothing; it is not so every time.
      await eventually(
        async () => {
          const asked = Date.now();
          assert.equal(await status(client, 'database'), 200);
          await world.sessile.killHard();
          const seen = await lastUse(jti);
          await world.sessile.start();
          return seen === null || seen < asked;
        },
        { ms: 15_000, what: 'a lost use' },
      );
    });
  });
});

describe('storages a client may choose', () => {
  let world;

  before(async () => {
    world = await startWorld({
      config: ({ echo }) => ({ session: { storage: 'hybrid', client_storages: ['memory'] }, route: [{ prefix: '/', upstream: echo, access: 'session' }] }),
    });
  });
  after(() => world?.close());

  test('memory, beside the default on one route; each renews its own way', async () => {
    const own = await world.signedIn('ada');
    const chosen = await world.signedIn('ada', { storage: 'memory' });
    assert.deepEqual([own.session.storage, chosen.session.storage], ['hybrid', 'memory']);
    assert.deepEqual([own.bearer, Boolean(chosen.bearer)], [undefined, true]);
    assert.deepEqual([[...own.cookies.keys()].sort(), [...chosen.cookies.keys()]], [Object.values(COOKIE).sort(), [COOKIE.session]]);
    for (const client of [own, chosen, own, chosen]) {
      assert.equal((await client.get('/data')).status, 200);
      assert.equal(claimsOf(bearerOf(world.echo.last())).storage, client.session.storage);
    }
    assert.doesNotMatch((await own.refresh()).text, JWT);
    assert.match((await chosen.refresh()).text, JWT);

    own.dropAccessToken();
    assert.equal((await own.get('/data')).status, 200, 'the gateway renews the one');
    const { bearer } = chosen;
    chosen.bearer = undefined;
    assert.equal((await chosen.get('/data')).status, 401, 'and not the other');
    assert.equal((await chosen.holding({}, own.accessToken).get('/data')).status, 401);
    assert.equal((await chosen.holding({ [COOKIE.access]: bearer }).get('/data')).status, 401);
  });

  test('any other is refused: 400 storage_not_offered, and no session begins', async () => {
    const before = (await world.sessile.sessions('ada')).length;
    for (const storage of [...NAMES.filter((name) => name !== 'hybrid' && name !== 'memory'), 'LOCAL-STORAGE', '', 'nowhere']) {
      const client = world.client();
      const refused = await client.post('/auth/sign-in', { json: { ...ADA, storage } });
      assert.deepEqual([refused.status, refused.json.code], [400, 'storage_not_offered'], storage);
      assert.equal(client.cookies.size, 0);
    }
    assert.equal((await world.sessile.sessions('ada')).length, before);
    assert.equal((await world.client().post('/auth/sign-in', { json: { ...ADA, storage: 'hybrid' } })).status, 200, 'negative control: the default may be named');
  });
});

describe('pages of other origins', () => {
  let dir;
  let site;
  let world;
  let browser;
  let context;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'sessile-origins-'));
    const certificate = await makeCertificate(dir);
    site = await startSite(certificate, { '/': { body: 'a page' } });
    world = await startWorld({
      https: true,
      certificate,
      config: ({ echo }) => ({
        session: { storage: 'memory' },
        csrf: { trusted_origins: [site.origin('www.app.test')] },
        route: [
          { prefix: '/welcome', upstream: echo, access: 'public' },
          { prefix: '/', upstream: echo, access: 'session' },
        ],
      }),
    });
    browser = await launchChromium(certificate);
    context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${world.origin}/welcome`);
    await page.evaluate((json) => fetch('/auth/sign-in', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }), ADA);
    assert.deepEqual((await context.cookies()).map(({ name }) => name), [COOKIE.session]);
  });
  after(async () => {
    await browser?.close();
    await world?.close();
    await site?.close();
    if (dir) rmSync(dir, { recursive: true, force: true });
  });

  /** What a page of `host` gets to read of a refresh with the user's cookies, and the status the gateway answered with. */
  async function refreshFrom(host) {
    const page = await context.newPage();
    await page.goto(`${site.origin(host)}/`);
    const before = await refusals();
    const read = await page.evaluate(
      (url) => fetch(url, { method: 'POST', credentials: 'include' }).then(async (response) => ({ status: response.status, body: await response.json() }), () => 'unreadable'),
      `${world.origin}/auth/refresh`,
    );
    await page.close();
    return { read, refused: (await refusals()) - before };
  }

  const refusals = async () => Number(/^sessile_events_total\{event="malicious_csrf"\} (\d+)$/m.exec(await world.sessile.metrics())?.[1] ?? 0);

  test('a listed one of the same site refreshes and reads the token, which opens the app', async () => {
    const { read, refused } = await refreshFrom('www.app.test');
    assert.deepEqual([read.status, refused], [200, 0]);
    assert.equal(claimsOf(read.body.access_token).storage, 'memory');
    assert.equal((await world.client().holding({}, read.body.access_token).get('/data')).status, 200);
  });

  for (const host of ['other.app.test', 'app.test', 'evil.test']) {
    test(`negative control: ${host} on the same port is not listed: its POST is refused and it reads nothing`, async () => {
      assert.deepEqual(await refreshFrom(host), { read: 'unreadable', refused: 1 });
    });
  }
});
