// A deployment changes its mind about where its JWTs live: towards places that scripts cannot read nobody is signed out,
// and no token ever comes into a place that more scripts can read than where its user signed in.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { COOKIE, PASSWORD } from './lib/names.mjs';
import { bearerOf } from './lib/sites.mjs';
import { JWT, STORAGES, appScript, claimsOf, readablePlaces, sessionTable } from './lib/storages.mjs';
import { startWorld } from './lib/world.mjs';

const configFor = (storage) => ({ echo }) => ({
  session: sessionTable(storage),
  route: [
    { prefix: '/welcome', upstream: echo, access: 'public' },
    { prefix: '/', upstream: echo, access: 'session' },
  ],
});

describe('a deployment switches', () => {
  let world;

  before(async () => {
    world = await startWorld({ config: configFor('hybrid') });
  });
  after(() => world?.close());

  let current = 'hybrid';
  /** The tests stand in an order in which each begins, where it can, with what the one before ended with. */
  async function switchTo(storage) {
    if (storage !== current) await world.reconfigure(configFor(storage));
    current = storage;
  }
  const status = async (client) => (await client.get('/data')).status;
  const seen = () => claimsOf(bearerOf(world.echo.last()));

  describe('from local-storage to hybrid, with browsers', () => {
    let browser;

    before(async () => {
      browser = await launchChromium();
    });
    after(() => browser?.close());

    async function signedInBrowser() {
      const context = await browser.newContext();
      const page = await context.newPage();
      await page.addInitScript(appScript, 'local-storage');
      await page.goto(`${world.origin}/welcome`);
      const answer = await page.evaluate((json) => app.signIn(json), { username: 'ada', password: PASSWORD.ada });
      const { session, access_token: token } = JSON.parse(answer.text);
      return { context, page, id: session.id, token };
    }

    const cookieValues = async (context) => Object.fromEntries((await context.cookies()).map(({ name, value }) => [name, value]));
    const call = (page) => page.evaluate(() => app.call('/data').then(({ status }) => status));

    test('a tab with its old bearer and a browser with its cookie alone both go on, and the token is out of reach', async () => {
      await switchTo('local-storage');
      const tab = await signedInBrowser();
      const fresh = await signedInBrowser();
      assert.deepEqual(await readablePlaces(tab.page, tab.token), ['localStorage'], 'negative control: it was in reach');
      await fresh.page.evaluate(() => localStorage.clear());
      assert.deepEqual([await call(tab.page), await call(fresh.page)], [200, 401], 'negative control: before the switch a cookie alone opens nothing');

      await switchTo('hybrid');
      for (const { page, context, id, token } of [tab, fresh]) {
        for (let request = 1; request <= 3; request += 1) {
          assert.equal(await call(page), 200);
          assert.deepEqual([seen().storage, seen().sid], ['hybrid', id]);
        }
        const jwt = bearerOf(world.echo.last());
        const cookies = await cookieValues(context);
        assert.deepEqual(Object.keys(cookies).sort(), Object.values(COOKIE).sort());
        assert.equal(cookies[COOKIE.access], jwt);
        assert.deepEqual(await readablePlaces(page, jwt), []);
        const renewed = await page.evaluate(() => app.refresh());
        assert.equal(renewed.status, 200);
        assert.doesNotMatch(renewed.text, JWT);
        assert.equal(JSON.parse(renewed.text).session.storage, 'hybrid');

        const outsider = world.client();
        assert.equal(await status(outsider.holding({}, token)), 401, 'the old bearer alone opens nothing');
        assert.equal(await status(outsider.holding({ [COOKIE.access]: token })), 401, 'nor in a cookie');
        assert.equal(await status(outsider.holding({}, jwt)), 401);
        assert.equal(await status(outsider.holding({ [COOKIE.access]: jwt })), 200, 'negative control');
      }
      for (const { context } of [tab, fresh]) await context.close();
    });
  });

  const UPWARD = [
    ['local-storage', 'memory'],
    ['memory', 'cookie'],
    ['cookie', 'hybrid'],
    ['hybrid', 'server-session'],
    ['server-session', 'hybrid'],
    ['hybrid', 'database'],
    ['database', 'server-session'],
    ['memory', 'database'],
    ['database', 'hybrid'],
    ['cookie', 'server-session'],
  ];
  for (const [from, to] of UPWARD) {
    test(`from ${from} to ${to}: nobody is signed out`, async () => {
      await switchTo(from);
      const client = await world.signedIn();
      assert.equal(await status(client), 200);
      const old = client.steal();
      const ended = await world.signedIn();
      assert.equal(await status(ended), 200);
      await world.sessile.revoke(ended.session.id);

      await switchTo(to);
      // A page of the old deployment knows nothing of the switch; one of a body-delivered storage asks for a token.
      if (STORAGES[to].token === 'body') assert.equal((await client.refresh()).status, 200);
      for (let request = 1; request <= 3; request += 1) {
        assert.equal(await status(client), 200, `request ${request}`);
        assert.deepEqual([seen().storage, seen().sid], [to, client.session.id]);
      }
      if (STORAGES[to].token !== 'body') assert.doesNotMatch((await client.refresh()).text, JWT);
      for (const name of STORAGES[to].cookies) assert.ok(client.cookies.has(name), `the browser holds ${name}`);
      assert.equal((await client.get('/auth/session')).json.session.storage, to);
      assert.equal(await status(ended), 401, 'negative control: a session that had ended stays so');

      const out = await client.post('/auth/sign-out', { json: { scope: 'this' } });
      assert.deepEqual([out.status, out.json.ended], [200, [client.session.id]]);
      assert.equal(client.cookies.size, 0);
      assert.equal(await status(old), 401, 'what it held before the switch has ended with it');
    });
  }

  test('from hybrid to server-session and back, with one browser', async () => {
    await switchTo('hybrid');
    const client = await world.signedIn();
    for (const storage of ['server-session', 'hybrid', 'server-session']) {
      await switchTo(storage);
      for (let request = 1; request <= 2; request += 1) {
        assert.equal(await status(client), 200);
        assert.deepEqual([seen().storage, seen().sid], [storage, client.session.id]);
      }
    }
  });

  for (const [from, to] of [['server-session', 'session-storage'], ['hybrid', 'memory'], ['memory', 'local-storage'], ['hybrid', 'local-storage'], ['cookie', 'local-storage']]) {
    test(`from ${from} down to ${to}: a new sign-in is asked for, and no answer has a token for the old session`, async () => {
      await switchTo(from);
      const client = await world.signedIn();
      assert.equal(await status(client), 200, 'negative control: before the switch');
      const { accessToken, bearer } = client;

      await switchTo(to);
      const reached = world.echo.seen.length;
      const holders = [client, client.holding(Object.fromEntries(client.cookies)), client.holding({}, accessToken ?? bearer), client.holding(Object.fromEntries(client.cookies), accessToken ?? bearer)];
      for (const holder of holders) {
        for (const [method, path] of [['GET', '/data'], ['POST', '/data'], ['POST', '/auth/refresh'], ['GET', '/auth/session'], ['GET', '/auth/verify']]) {
          const answer = await holder.steal().request(method, path);
          assert.equal(answer.status, 401, `${method} ${path}`);
          assert.doesNotMatch(answer.text, JWT);
          assert.deepEqual(answer.setCookies, []);
        }
      }
      assert.equal(world.echo.seen.length, reached, 'nothing reached the app');

      const ids = async () => (await world.sessile.sessions('ada')).map(({ id }) => id);
      assert.ok((await ids()).includes(client.session.id), 'it is not dead, it has no place here');
      const again = client.steal();
      await again.signIn('ada', PASSWORD.ada);
      assert.equal(await status(again), 200, 'negative control: a new sign-in works');
      assert.match((await again.refresh()).text, JWT);
      assert.ok(!(await ids()).includes(client.session.id), 'and ends the old session');
    });
  }
});
