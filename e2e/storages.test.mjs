// The seven storages, each over https and over plain http on this machine, in a real browser: what it holds, how it goes
// on, how it ends (product: section 2).
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launchChromium, openProfile } from './lib/chromium.mjs';
import { COOKIE, METRIC, PASSWORD, T_MS } from './lib/names.mjs';
import { makeCertificate } from './lib/network.mjs';
import { eventually, sleep } from './lib/process.mjs';
import { bearerOf, folded } from './lib/sites.mjs';
import { BODY_DELIVERED, JWT, NAMES, STORAGES, appScript, claimsOf, readablePlaces, sessionTable } from './lib/storages.mjs';
import { startWorld } from './lib/world.mjs';

const ACCESS_MS = 6000;
// The grace leaves a slow machine time for a request that set out with the old cookies.
const TIMES = { access: `${ACCESS_MS / 1000}s`, grace: '4s', remember: '30d' };
const ADA = { username: 'ada', password: PASSWORD.ada };

// Cookies do not tell ports apart: in one profile each storage needs a host of its own. The default has the bare one.
const CASES = ['https', 'http'].flatMap((scheme) =>
  NAMES.map((storage) => {
    const host = scheme === 'https' ? 'app.test' : 'localhost';
    return { storage, scheme, name: `${storage} over ${scheme}`, host: storage === 'hybrid' ? host : `${storage}.${host}` };
  }),
);
/** Storages side by side: most of the time goes by in waiting for a token's end. */
const AT_A_TIME = 3;

const worlds = new Map();
let dir;
let certificate;
let browser;

async function startAll() {
  dir = mkdtempSync(join(tmpdir(), 'sessile-storages-'));
  certificate = await makeCertificate(dir);
  const queue = [...CASES];
  const starting = Array.from({ length: AT_A_TIME }, async () => {
    for (let each = queue.shift(); each; each = queue.shift()) worlds.set(each.name, await startOne(each));
  });
  browser = await launchChromium(certificate);
  await Promise.all(starting);
}

function startOne({ storage, scheme, host }) {
  return startWorld({
    https: scheme === 'https',
    host,
    certificate,
    users: ['ada', 'grace'],
    config: ({ echo }) => ({
      session: sessionTable(storage, TIMES),
      route: [
        { prefix: '/welcome', upstream: echo, access: 'public' },
        { prefix: '/', upstream: echo, access: 'session' },
      ],
    }),
  });
}

before(startAll, { timeout: 120_000 });
after(async () => {
  await browser?.close();
  for (const world of worlds.values()) await world.close();
  if (dir) rmSync(dir, { recursive: true, force: true });
});

/** A page of the app with the app's script in it, signed in nowhere. */
async function openPage(context, world, storage) {
  const page = await context.newPage();
  await page.addInitScript(appScript, storage);
  await page.goto(`${world.origin}/welcome`);
  return page;
}

const call = (page, path, options) => page.evaluate(([path, options]) => app.call(path, options), [path, options]);
const statusIn = async (page, path = '/data', options) => (await call(page, path, options)).status;
const refresh = (page) => page.evaluate(() => app.refresh());
/** The status the app's own script gets, which refreshes where that is a client's doing. */
const reach = async (page) => (await page.evaluate(() => app.reach('/data'))).status;

async function signIn(page, { username = 'ada', remember = false } = {}) {
  const answer = await page.evaluate((json) => app.signIn(json), { username, password: PASSWORD[username], remember });
  assert.equal(answer.status, 200, answer.text);
  return { ...answer, json: JSON.parse(answer.text) };
}

const cookieValues = async (context) => Object.fromEntries((await context.cookies()).map(({ name, value }) => [name, value]));

const counts = (values) => Object.fromEntries([...new Set(values)].map((value) => [value, values.filter((each) => each === value).length]));

/** Twenty parallel requests from every page; how often each status came. */
async function burst(pages) {
  const statuses = pages.map((page) => page.evaluate(() => Promise.all(Array.from({ length: 20 }, () => app.call('/data').then(({ status }) => status)))));
  return counts((await Promise.all(statuses)).flat());
}

describe('each storage', { concurrency: AT_A_TIME }, () => {
  for (const { storage, name, host } of CASES) {
    describe(name, { concurrency: 1 }, () => {
      const shape = STORAGES[storage];
      const world = () => worlds.get(name);

      /** A browser of its own with a page in it, closed when the test ends. */
      async function visitor(t) {
        const context = await browser.newContext();
        context.setDefaultTimeout(15_000);
        t.after(() => context.close());
        return { context, page: await openPage(context, world(), storage) };
      }

      async function signedIn(t, options) {
        const { context, page } = await visitor(t);
        return { context, page, answer: await signIn(page, options) };
      }

      test('signing in by fetch: what the browser holds, and what of it a script can read', async (t) => {
        const { context, page } = await visitor(t);
        assert.equal(await statusIn(page), 401, 'negative control: nobody gets in');
        const { text, json } = await signIn(page);
        assert.deepEqual([json.session.subject, json.session.storage], ['ada', storage]);
        assert.equal(await statusIn(page), 200);
        const jwt = bearerOf(world().echo.last());
        assert.equal(claimsOf(jwt).storage, storage);
        assert.equal(folded(world().echo.last().raw).get('COOKIE'), undefined, 'the app sees no cookie of ours');

        const cookies = await context.cookies();
        assert.deepEqual(cookies.map((cookie) => cookie.name).sort(), [...shape.cookies].sort());
        for (const { secure, httpOnly, sameSite, path, domain, expires } of cookies) {
          assert.deepEqual({ secure, httpOnly, sameSite, path, domain, expires }, { secure: true, httpOnly: true, sameSite: 'Strict', path: '/', domain: host, expires: -1 });
        }
        const held = await cookieValues(context);
        assert.equal(held[COOKIE.access], shape.token === 'cookie' ? jwt : undefined);
        assert.equal(json.access_token, shape.token === 'body' ? jwt : undefined);
        if (shape.token === 'body') assert.equal(json.token_type, 'Bearer');
        else assert.doesNotMatch(text, JWT);
        assert.equal(await page.evaluate(() => document.cookie), '');
        assert.deepEqual(await readablePlaces(page, jwt), shape.readable);
        for (const value of Object.values(held)) assert.deepEqual(await readablePlaces(page, value), []);
      });

      test('signing in by the plain page', async (t) => {
        const { context, page } = await visitor(t);
        const landing = shape.token === 'body' ? '/welcome' : '/data';
        await page.goto(`${world().origin}/auth/sign-in?return_to=${landing}`);
        await page.fill('input[name="username"]', ADA.username);
        await page.fill('input[name="password"]', ADA.password);
        await page.click('button[type="submit"]');
        await page.waitForURL(world().origin + landing);
        assert.deepEqual(Object.keys(await cookieValues(context)).sort(), [...shape.cookies].sort());
        if (shape.token === 'body') {
          assert.equal(await statusIn(page), 401, 'the session cookie alone opens nothing');
          assert.equal((await refresh(page)).status, 200);
        }
        assert.equal(await statusIn(page), 200);
      });

      test('three tabs across the end of an access token', async (t) => {
        const { context, page, answer } = await signedIn(t);
        const tabs = [page, await openPage(context, world(), storage), await openPage(context, world(), storage)];
        for (const tab of tabs) assert.equal(await reach(tab), 200);
        const jwtBefore = bearerOf(world().echo.last());
        await sleep(ACCESS_MS + 500);
        const rotations = await world().sessile.metric(METRIC.rotations);
        const rotated = async () => (await world().sessile.metric(METRIC.rotations)) - rotations;

        if (shape.renewal === 'client') {
          const late = await call(page, '/data');
          assert.deepEqual([late.status, JSON.parse(late.text).code], [401, 'no_session']);
          const answers = (await Promise.all(tabs.map((tab) => Promise.all([refresh(tab), refresh(tab), refresh(tab)])))).flat();
          assert.deepEqual(counts(answers.map(({ status }) => status)), { 200: 9 });
          assert.deepEqual([...new Set(answers.map(({ text }) => JSON.parse(text).session.id))], [answer.json.session.id]);
        }
        assert.deepEqual(await burst(tabs), { 200: 60 });
        const jwt = bearerOf(world().echo.last());
        if (shape.renewal === 'never') {
          assert.equal(jwt, jwtBefore, 'the one token lives on');
          assert.equal(await rotated(), 0);
          const refused = await refresh(page);
          assert.deepEqual([refused.status, JSON.parse(refused.text).code], [400, 'storage_without_renewal']);
        } else {
          assert.ok(claimsOf(jwt).iat > claimsOf(jwtBefore).iat, 'there was a renewal');
          assert.equal(await rotated(), 1);
        }
        assert.equal(claimsOf(jwt).sid, answer.json.session.id);

        await world().sessile.revoke(answer.json.session.id);
        await eventually(async () => (await reach(page)) === 401, { ms: T_MS, what: 'the revocation' });
        assert.deepEqual(await burst(tabs), { 401: 60 }, 'negative control: the burst does see a 401 when there is one');
        assert.equal((await refresh(page)).status, 401);
      });

      test('signing out: nothing that was captured works afterwards', async (t) => {
        const { context, page, answer } = await signedIn(t);
        assert.equal(await reach(page), 200);
        const jwt = bearerOf(world().echo.last());
        const cookies = await cookieValues(context);
        const { [COOKIE.session]: sessionToken } = cookies;
        const outsider = world().client();
        const artefacts = {
          'all that it held': outsider.holding(cookies, shape.token === 'body' ? jwt : undefined),
          'the cookies': outsider.holding(cookies),
          'the session cookie': outsider.holding({ [COOKIE.session]: sessionToken }),
          'the JWT as bearer': outsider.holding({}, jwt),
          'the JWT as access cookie': outsider.holding({ [COOKIE.access]: jwt }),
          'the JWT both ways': outsider.holding({ [COOKIE.access]: jwt }, jwt),
          'the session token as bearer': outsider.holding({}, sessionToken),
        };
        const requests = [['GET', '/data'], ['POST', '/data'], ['GET', '/auth/session'], ['GET', '/auth/sessions'], ['POST', '/auth/refresh'], ['GET', '/auth/verify']];
        const attempt = async (holder, [method, path]) => (await holder.steal().request(method, path)).status;
        assert.equal(await attempt(artefacts['all that it held'], requests[0]), 200, 'negative control: the replay works while the session lives');

        const out = await call(page, '/auth/sign-out', { method: 'POST', json: { scope: 'this' } });
        assert.equal(out.status, 200, out.text);
        assert.deepEqual(JSON.parse(out.text).ended, [answer.json.session.id]);
        assert.deepEqual(await context.cookies(), []);
        await eventually(async () => (await readablePlaces(page, jwt)).length === 0, { what: 'cleared storage' });
        const reached = world().echo.seen.length;
        for (const [what, holder] of Object.entries(artefacts)) {
          for (const request of requests) {
            const status = await attempt(holder, request);
            assert.ok(status === 401 || status === 403, `${what}: ${request.join(' ')} answered ${status}`);
          }
        }
        assert.equal(await statusIn(page), 401);
        assert.equal((await refresh(page)).status, 401);
        assert.equal(world().echo.seen.length, reached, 'nothing reached the app');
      });

      test(`a revocation by an administrator ends it ${storage === 'database' ? 'at once' : 'within T'}, and no other`, async (t) => {
        const victim = await signedIn(t);
        const other = await signedIn(t, { username: 'grace' });
        assert.deepEqual([await reach(victim.page), await reach(other.page)], [200, 200]);
        await world().sessile.revoke(victim.answer.json.session.id);
        const asked = Date.now();
        const ms = storage === 'database' ? 0 : T_MS;
        await eventually(async () => (await reach(victim.page)) === 401, { ms, what: 'the end of the revoked session' });
        t.diagnostic(`refused ${Date.now() - asked} ms after the command`);
        assert.equal((await refresh(victim.page)).status, 401);
        assert.equal(await reach(other.page), 200, 'negative control: another session goes on');
      });

      test('a restart of the gateway: the living go on without a sign-in, the dead stay dead', async (t) => {
        const living = await signedIn(t);
        const dead = await signedIn(t, { username: 'grace' });
        await world().sessile.revoke(dead.answer.json.session.id);
        await world().sessile.stop();
        await world().sessile.start();
        assert.equal(await reach(living.page), 200);
        assert.equal(claimsOf(bearerOf(world().echo.last())).sid, living.answer.json.session.id);
        assert.equal(await reach(dead.page), 401);
        assert.equal((await refresh(dead.page)).status, 401);
      });
    });
  }
});

describe('a restart of the browser', { concurrency: 1 }, () => {
  /** What `use` makes of every world in one browser with the profile `profile`. */
  async function inProfile(profile, use) {
    const context = await openProfile(profile, certificate);
    try {
      for (const each of CASES) await use({ ...each, world: worlds.get(each.name), page: await openPage(context, worlds.get(each.name), each.storage), context });
    } finally {
      await context.close();
    }
  }

  const keptTokens = new Map();
  const lifetimes = async ({ context, world }) => (await context.cookies(world.origin)).map(({ expires }) => expires);

  test('with “remember me” everybody is still signed in; a token in a script’s memory or tab is fetched anew', async () => {
    const profile = join(dir, 'remembering');
    await inProfile(profile, async (each) => {
      const { json } = await signIn(each.page, { remember: true });
      keptTokens.set(each.name, json.access_token);
      for (const expires of await lifetimes(each)) assert.ok(expires > Date.now() / 1000 + 29 * 86_400, each.name);
    });
    await inProfile(profile, async ({ name, storage, page }) => {
      const kept = keptTokens.get(name);
      if (kept) {
        assert.deepEqual(await readablePlaces(page, kept), storage === 'local-storage' ? ['localStorage'] : [], name);
        assert.equal(JSON.parse((await refresh(page)).text).session?.storage, storage, name);
      }
      assert.equal(await reach(page), 200, name);
    });
  });

  test('negative control: without it nobody is; but localStorage keeps what it was given', async () => {
    const profile = join(dir, 'forgetting');
    await inProfile(profile, async (each) => {
      const { json } = await signIn(each.page);
      keptTokens.set(each.name, json.access_token);
      for (const expires of await lifetimes(each)) assert.equal(expires, -1, each.name);
      assert.equal(await statusIn(each.page), 200, each.name);
    });
    await sleep(ACCESS_MS);
    await inProfile(profile, async ({ name, storage, page, context, world }) => {
      assert.deepEqual(await context.cookies(world.origin), [], name);
      if (BODY_DELIVERED.includes(storage)) assert.deepEqual(await readablePlaces(page, keptTokens.get(name)), storage === 'local-storage' ? ['localStorage'] : [], name);
      assert.equal(await statusIn(page), 401, name);
      assert.equal((await refresh(page)).status, 401, name);
    });
  });
});
