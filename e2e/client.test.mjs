// The browser client (clients/browser) as it is published, in a real browser, before a real gateway.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { COOKIE, METRIC, PASSWORD } from './lib/names.mjs';
import { eventually, sleep } from './lib/process.mjs';
import { ROOT } from './lib/sessile.mjs';
import { bearerOf } from './lib/sites.mjs';
import { BODY_DELIVERED, STORAGES, claimsOf, readablePlaces } from './lib/storages.mjs';
import { startWorld } from './lib/world.mjs';

const ACCESS_MS = 6000;
const ADA = { username: 'ada', password: PASSWORD.ada };

/** How a page makes its client, the storage its session has then, and how many tabs have to ask for the next token. */
const CLIENTS = {
  'local-storage': { make: 'createSessile({ storage: inLocalStorage() })', storage: 'local-storage', asking: 1 },
  'session-storage': { make: 'createSessile({ storage: inSessionStorage() })', storage: 'session-storage', asking: 3 },
  memory: { make: 'createSessile({ storage: inMemory() })', storage: 'memory', asking: 3 },
  worker: { make: "createSessile({ storage: inWorker(new Worker('/client/worker-script.js', { type: 'module' })) })", storage: 'memory', asking: 3 },
  cookie: { make: 'createSessile()', storage: 'hybrid', asking: 0 },
};

const page = (make) => `<!doctype html>
<meta charset="utf-8">
<title>The client</title>
<script type="module">
  import { createSessile } from '/client/index.js';
  import { inLocalStorage } from '/client/local-storage.js';
  import { inSessionStorage } from '/client/session-storage.js';
  import { inMemory } from '/client/memory.js';
  import { inWorker } from '/client/worker.js';
  window.heard = [];
  window.sessile = ${make};
  for (const event of ['signed-in', 'signed-out', 'renewed']) sessile.on(event, (detail) => heard.push({ event, ...detail }));
</script>`;

function pages() {
  const dist = join(ROOT, 'clients/browser/dist');
  if (!existsSync(join(dist, 'index.js'))) throw new Error(`There is no client in ${dist}. Build it with "npm ci && npm run build" in clients/browser.`);
  const scripts = readdirSync(dist).filter((name) => name.endsWith('.js'));
  return Object.fromEntries([
    ...scripts.map((name) => [`/client/${name}`, { type: 'text/javascript', body: readFileSync(join(dist, name)) }]),
    ...Object.entries(CLIENTS).map(([name, { make }]) => [`/page/${name}`, { type: 'text/html', body: page(make) }]),
  ]);
}

const configFor = (session) => ({ echo }) => ({
  session: { access: `${ACCESS_MS / 1000}s`, grace: '4s', ...session },
  route: [
    { prefix: '/page', upstream: echo, access: 'public' },
    { prefix: '/client', upstream: echo, access: 'public' },
    { prefix: '/', upstream: echo, access: 'session' },
  ],
});
const OFFERING_ALL = configFor({ storage: 'hybrid', client_storages: BODY_DELIVERED, danger_script_readable_token: true });

describe('the browser client', () => {
  let world;
  let browser;

  before(async () => {
    world = await startWorld({ https: true, pages: pages(), config: OFFERING_ALL });
    browser = await launchChromium(world.certificate);
  });
  after(async () => {
    await browser?.close();
    await world?.close();
  });

  async function newContext(t) {
    const context = await browser.newContext();
    context.setDefaultTimeout(15_000);
    t.after(() => context.close());
    return context;
  }

  async function open(context, name, initScript) {
    const tab = await context.newPage();
    if (initScript) await tab.addInitScript(initScript);
    await tab.goto(`${world.origin}/page/${name}`);
    await tab.waitForFunction(() => window.sessile);
    return tab;
  }

  const signIn = (tab) => tab.evaluate((credentials) => sessile.signIn(credentials), ADA);
  const statusIn = (tab) => tab.evaluate(() => sessile.fetch('/data').then(({ status }) => status));
  /** Waits until the tab was told of `wanted` with these details. */
  const awaitEvent = (tab, wanted) =>
    eventually(() => tab.evaluate((wanted) => heard.some((event) => Object.keys(wanted).every((key) => event[key] === wanted[key])), wanted), { what: `${JSON.stringify(wanted)} in a tab` });
  const counts = (values) => Object.fromEntries([...new Set(values)].map((value) => [value, values.filter((each) => each === value).length]));

  async function burst(tabs) {
    const statuses = tabs.map((tab) => tab.evaluate(() => Promise.all(Array.from({ length: 20 }, () => sessile.fetch('/data').then(({ status }) => status)))));
    return counts((await Promise.all(statuses)).flat());
  }

  for (const [name, { storage, asking }] of Object.entries(CLIENTS)) {
    test(`${name}: one sign-in for three tabs, a token’s end that no request notices, one sign-out for all`, async (t) => {
      const context = await newContext(t);
      const elsewhere = await open(await newContext(t), name);
      await signIn(elsewhere);

      const tabs = [await open(context, name), await open(context, name), await open(context, name)];
      assert.deepEqual(await burst(tabs), { 401: 60 }, 'negative control: the burst does see a 401 when there is one');
      const session = await signIn(tabs[0]);
      assert.equal(session.storage, storage);
      for (const tab of tabs) await awaitEvent(tab, { event: 'signed-in', here: tab === tabs[0] });
      assert.deepEqual(await burst(tabs), { 200: 60 });
      assert.equal(await tabs[0].evaluate(() => sessile.keptIn), name);

      await sleep(ACCESS_MS + 500);
      const before = await world.sessile.metric(METRIC.rotations);
      let refreshes = 0;
      context.on('request', (request) => (refreshes += request.url().endsWith('/auth/refresh') ? 1 : 0));
      assert.deepEqual(await burst(tabs), { 200: 60 });
      assert.equal(await world.sessile.metric(METRIC.rotations), before + 1);
      assert.equal(refreshes, asking);
      const jwt = bearerOf(world.echo.last());
      assert.deepEqual([claimsOf(jwt).sid, claimsOf(jwt).storage], [session.id, storage]);
      for (const tab of tabs) assert.deepEqual((await readablePlaces(tab, jwt)).filter((place) => !STORAGES[storage].readable.includes(place)), []);

      const cookies = Object.fromEntries((await context.cookies()).map((cookie) => [cookie.name, cookie.value]));
      const thief = world.client().holding(cookies, BODY_DELIVERED.includes(storage) ? jwt : undefined);
      assert.equal((await thief.get('/data')).status, 200, 'negative control: what was copied works while the session lives');
      await tabs[0].evaluate(() => sessile.signOut());
      for (const tab of tabs) await awaitEvent(tab, { event: 'signed-out', reason: tab === tabs[0] ? 'sign-out' : 'elsewhere' });
      assert.deepEqual(await burst(tabs), { 401: 60 });
      for (const tab of tabs) assert.deepEqual(await readablePlaces(tab, jwt), []);
      assert.deepEqual(await context.cookies(), []);
      assert.equal((await thief.get('/data')).status, 401);
      assert.equal((await thief.refresh()).status, 401);
      assert.equal(await statusIn(elsewhere), 200, 'negative control: the same user’s other browser goes on');
    });
  }

  test('what a script sees that was there first: the token of memory, not that of the worker', async (t) => {
    /** Runs before the page's own scripts: keeps the authorization of whatever the page fetches. */
    const wiretap = () => {
      window.overheard = [];
      const real = window.fetch;
      window.fetch = (request, init) => {
        window.overheard.push(new Headers(init?.headers ?? request.headers).get('authorization'));
        return real(request, init);
      };
    };
    for (const [name, overhears] of [['memory', true], ['worker', false]]) {
      const tab = await open(await newContext(t), name, wiretap);
      await signIn(tab);
      assert.equal(await statusIn(tab), 200);
      const jwt = bearerOf(world.echo.last());
      assert.equal(claimsOf(jwt).storage, 'memory');
      assert.equal(await tab.evaluate((jwt) => window.overheard.includes(`Bearer ${jwt}`), jwt), overhears, name);
      assert.deepEqual(await readablePlaces(tab, jwt), [], name);
      const own = await tab.evaluate(() => Promise.all([sessile.fetch('/data').then((each) => each.status), fetch('/data').then((each) => each.status)]));
      assert.deepEqual(own, [200, 401], `${name}: negative control, only the client's own requests carry it`);
    }
  });

  test('a deployment that moves from local-storage to hybrid: open pages go on and let go of their tokens', async (t) => {
    await world.reconfigure(configFor({ storage: 'local-storage', danger_script_readable_token: true }));
    try {
      const context = await newContext(t);
      const tabs = [await open(context, 'local-storage'), await open(context, 'local-storage')];
      const session = await signIn(tabs[0]);
      await awaitEvent(tabs[1], { event: 'signed-in', here: false });
      assert.deepEqual(await burst(tabs), { 200: 40 });
      const old = bearerOf(world.echo.last());
      assert.deepEqual(await readablePlaces(tabs[1], old), ['localStorage'], 'negative control: before, it is there');

      await world.reconfigure(configFor({ storage: 'hybrid' }));
      assert.deepEqual(await burst(tabs), { 200: 40 });
      assert.deepEqual([claimsOf(bearerOf(world.echo.last())).storage, claimsOf(bearerOf(world.echo.last())).sid], ['hybrid', session.id]);
      assert.deepEqual((await context.cookies()).map(({ name }) => name).sort(), Object.values(COOKIE).sort());

      // The old token ends, and the renewal that its client asks for brings none.
      await sleep(ACCESS_MS + 500);
      assert.deepEqual(await burst(tabs), { 200: 40 });
      const jwt = bearerOf(world.echo.last());
      for (const tab of tabs) {
        assert.deepEqual([...(await readablePlaces(tab, old)), ...(await readablePlaces(tab, jwt))], []);
        await eventually(() => tab.evaluate(() => sessile.keptIn === 'cookie'), { what: 'a client that keeps nothing' });
      }
      assert.equal((await world.client().holding({}, old).get('/data')).status, 401);
      await tabs[0].evaluate(() => sessile.signOut());
      assert.deepEqual(await burst(tabs), { 401: 40 }, 'negative control');
    } finally {
      await world.reconfigure(OFFERING_ALL);
    }
  });
});
