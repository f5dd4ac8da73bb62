// Each situation of docs/situations.md, with the configuration, the code and the requests that stand there: its way of
// working, the attack that matters, and a weakened twin that lets the attack through.
import assert from 'node:assert/strict';
import { readFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { launchChromium } from './lib/chromium.mjs';
import { COOKIE, EVENT, PASSWORD } from './lib/names.mjs';
import { makeCertificate } from './lib/network.mjs';
import { eventually, sleep } from './lib/process.mjs';
import { Guide, browserClient, parseRequest, startSituation } from './lib/situations.mjs';
import { startSite } from './lib/sites.mjs';
import { JWT, claimsOf, readablePlaces } from './lib/storages.mjs';

const ADA = ['ada', PASSWORD.ada];
const CHECK_OFF = ['[server]\n', '[csrf]\nmode = "danger_off"\n\n[server]\n'];
const JSON_POST = { method: 'POST', headers: { 'content-type': 'application/json' } };

const guide = new Guide();
const dir = mkdtempSync(join(tmpdir(), 'sessile-e2e-'));
let certificate;
let browser;
/** Answers as evil.test, as any host under app.test, and as the host of a page of situation 2. */
let site;
const contexts = [];

before(async () => {
  certificate = await makeCertificate(dir);
  browser = await launchChromium(certificate);
  site = await startSite(certificate, { '/': { body: '<!doctype html><title>a site</title>' } });
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});
after(async () => {
  await browser?.close();
  await site?.close();
  rmSync(dir, { recursive: true, force: true });
});

async function newContext(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(10_000);
  contexts.push(context);
  return context;
}

async function open(context, url) {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

async function fillIn(page, username, password) {
  await page.fill('input[name="username"]', username);
  await page.fill('input[name="password"]', password);
  await page.click('button[type="submit"]');
}

const soon = (condition, what) => eventually(condition, { ms: 15_000, what });

/** Waits until the page's own script has run. Playwright's waiting evaluates text, which the documented policy forbids. */
const ready = (page) => soon(() => page.evaluate(() => window.guide !== undefined), 'the page’s script');

/** Calls an exported function of the page's module and gives what a test can compare. */
const call = (page, name, ...args) =>
  page.evaluate(
    async ({ name, args }) => {
      const result = await window.guide[name](...args);
      return result instanceof Response ? { status: result.status, json: await result.json().catch(() => undefined) } : result;
    },
    { name, args },
  );

/** What a page of another origin gets when it asks: the status if it may read it, else "unreadable". */
const askFrom = (page, url, options) =>
  page.evaluate(({ url, options }) => fetch(url, options).then((response) => response.status, () => 'unreadable'), { url, options });

/** A form that a page submits by itself, in a window of its own. */
async function submitFrom(page, action, fields) {
  const target = page.context().waitForEvent('page');
  await page.evaluate(
    ({ action, fields }) => {
      const form = Object.assign(document.createElement('form'), { method: 'post', action, target: '_blank' });
      for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement('input'), { name, value }));
      document.body.append(form);
      form.submit();
    },
    { action, fields },
  );
  const opened = await target;
  await opened.waitForURL((url) => url.href !== 'about:blank');
  return opened;
}

const posts = async (world) => (await world.asked()).filter(({ method }) => method === 'POST').length;

/** Whether a change reached the app while `act` ran. */
async function changes(world, act) {
  const before = await posts(world);
  await act();
  return (await posts(world)) > before;
}

const modulePage = (name = 'page', body = '') => `<!doctype html><title>page</title>${body}<script type="module" src="/${name}.js"></script>`;
const pageScript = (module) => `import * as guide from './${module}';\nwindow.guide = guide;\n`;

describe('what the app does', () => {
  let world;
  before(async () => {
    world = await startSituation({ guide, config: 'native', certificate });
  });
  after(() => world?.close());

  test('an identity is a JWT that holds, and nothing else', async () => {
    const client = world.client();
    await client.signIn(...ADA);
    assert.equal((await client.get('/notes')).json.user, 'ada');
    const { access_token: bearer } = (await world.client().post('/auth/sign-in', { json: { username: 'ada', password: PASSWORD.ada, storage: 'memory' } })).json;
    const direct = (headers) => fetch(`${world.appUrl}/notes`, { headers }).then(({ status }) => status);
    assert.equal(await direct({ authorization: `Bearer ${bearer}` }), 200, 'negative control: one that holds');
    const elsewhere = [bearer.split('.')[0], Buffer.from(JSON.stringify({ ...claimsOf(bearer), sub: 'grace' })).toString('base64url'), bearer.split('.')[2]].join('.');
    for (const headers of [{}, { 'sessile-subject': 'ada' }, { authorization: 'Bearer ada' }, { authorization: `Bearer ${elsewhere}` }, { authorization: `Bearer ${bearer.slice(0, -6)}AAAAAA` }]) {
      assert.equal(await direct(headers), 401, JSON.stringify(headers));
    }
  });
});

describe('1. a single-page app and its API on one origin', () => {
  const DIALOG = '<dialog><form><input name="username"><input name="password" type="password"><button>Sign in</button><output></output></form></dialog><p id="countdown"></p>';
  let world;

  before(async () => {
    world = await startSituation({
      guide,
      config: 'same-origin',
      certificate,
      files: {
        'index.html': modulePage(),
        'page.js': pageScript('api.js'),
        'api.js': guide.take('js api.js'),
        'held.html': modulePage('held', DIALOG),
        'held.js': pageScript('session.js'),
        'session.js': guide.take('js session.js'),
      },
    });
  });
  after(() => world?.close());

  async function signedIn() {
    const context = await newContext();
    const page = await open(context, `${world.origin}/auth/sign-in`);
    await fillIn(page, ...ADA);
    await page.waitForURL(`${world.origin}/`);
    return { context, page };
  }

  test('the configuration has nothing to warn of', async () => {
    assert.deepEqual(await world.check(), { ok: true, mistakes: [], warnings: [] });
  });

  test('fetch leads to the sign-in page and back, and the gateway renews without the page', async () => {
    const context = await newContext();
    const page = await open(context, `${world.origin}/inbox?box=2`);
    await ready(page);
    assert.equal(await askFrom(page, '/api/notes'), 401, 'an API call is never redirected');
    page.evaluate(() => window.guide.api('/api/notes')).catch(() => {});
    await page.waitForURL(/\/auth\/sign-in/);
    await fillIn(page, ...ADA);
    await page.waitForURL(`${world.origin}/inbox?box=2`);
    await ready(page);
    assert.deepEqual(await call(page, 'api', '/api/notes', { ...JSON_POST, body: '{"text":"milk"}' }), { status: 200, json: { user: 'ada', notes: ['milk'] } });

    const old = (await context.cookies()).find(({ name }) => name === COOKIE.access).value;
    await context.clearCookies({ name: COOKIE.access });
    assert.equal((await call(page, 'api', '/api/notes')).status, 200);
    const cookies = await context.cookies();
    assert.notEqual(cookies.find(({ name }) => name === COOKIE.access).value, old);
    const octets = cookies.reduce((sum, { name, value }) => sum + name.length + value.length + 3, 0);
    assert.ok(octets > 600 && octets < 800, `about 700 octets of cookies: ${octets}`);

    page.evaluate(() => window.guide.signOut()).catch(() => {});
    await page.waitForURL(`${world.origin}/auth/signed-out`);
    await page.goto(`${world.origin}/inbox`);
    assert.equal(await askFrom(page, '/api/notes'), 401);
  });

  test('with the client: a request waits for the sign-in, and the end is announced', async () => {
    const shown = async () => {
      const page = await open(await newContext(), `${world.origin}/held.html`);
      await ready(page);
      const held = call(page, 'api', '/api/notes');
      await page.waitForSelector('dialog[open]');
      await page.fill('[name=username]', 'ada');
      await page.fill('[name=password]', 'not-the-right-password');
      await page.click('dialog button');
      await soon(() => page.textContent('output'), 'what is wrong with the password');
      await page.fill('[name=password]', PASSWORD.ada);
      await page.click('dialog button');
      assert.equal((await held).json.user, 'ada');
      assert.equal(await page.locator('dialog[open]').count(), 0);
      await soon(async () => /signed out in \d\d s/.test(await page.textContent('#countdown')), 'the countdown');
    };
    await world.changed([], shown, { SESSILE_SESSION_IDLE: '55s', SESSILE_SESSION_ABSOLUTE: '55s', SESSILE_SESSION_ACCESS: '30s' });
  });

  test('R-002 an injected script finds no token; the policy keeps it from running at all', async () => {
    const { context, page } = await signedIn();
    for (const { value } of await context.cookies()) assert.deepEqual(await readablePlaces(page, value), []);
    await page.evaluate(() => localStorage.setItem('planted', 'a-token-in-reach'));
    assert.deepEqual(await readablePlaces(page, 'a-token-in-reach'), ['localStorage'], 'negative control');

    const inject = (page) => page.evaluate(async () => {
      document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="window.ran = true">');
      await new Promise((resolve) => setTimeout(resolve, 300));
      return window.ran === true;
    });
    assert.equal(await inject(page), false);
    await world.changed([["default-src 'self'; ", '']], async () => {
      const { page: unprotected } = await signedIn();
      assert.equal(await inject(unprotected), true, 'negative control: without the policy it runs');
    });
  });

  test('R-075, R-076 a sibling of the same site has the cookies sent and is refused', async () => {
    const { context } = await signedIn();
    const attack = async () => askFrom(await open(context, site.origin('evil.app.test')), `${world.origin}/api/notes`, { method: 'POST', credentials: 'include', mode: 'no-cors', body: '{"text":"evil"}' });
    assert.equal(await changes(world, attack), false);
    const [event] = await world.sessile.awaitEvents(EVENT.csrf, 1);
    assert.deepEqual([event.reason, event.subject], ['csrf_same_site_untrusted', 'ada'], 'it came with the user’s cookies');
    await world.changed([CHECK_OFF], async () => {
      assert.equal(await changes(world, attack), true, 'negative control: without the check it is done');
    });
  });
});

describe('2. a single-page app on another subdomain', () => {
  const api = { name: 'api.app.example', host: 'api.app.test' };
  const page = () => site.origin('app.test');
  const places = () => [['https://app.example', page()]];

  async function serve(world, module) {
    Object.assign(site.routes, {
      '/app': { body: modulePage() },
      '/page.js': script(pageScript(module)),
      [`/${module}`]: script(world.local(guide.take(`js ${module}`))),
      ...Object.fromEntries(['index.js', 'memory.js'].map((name) => [`/sessile-client/${name}`, script(readFileSync(join(browserClient(), name), 'utf8'))])),
    });
  }
  const script = (body) => ({ headers: { 'content-type': 'text/javascript' }, body });

  async function openApp(context, host = 'app.test') {
    const opened = await open(context, `${site.origin(host)}/app`);
    await ready(opened);
    return opened;
  }

  describe('with cookies', () => {
    let world;
    before(async () => {
      world = await startSituation({ guide, config: 'subdomain', certificate, ...api, places });
      await serve(world, 'subdomain.js');
    });
    after(() => world?.close());

    async function signedIn() {
      const context = await newContext();
      const app = await openApp(context);
      assert.equal((await call(app, 'signIn', ...ADA)).subject, 'ada');
      return { context, app };
    }
    const write = (app, text = 'milk') => app.evaluate((text) => window.guide.api('/notes', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text }) }).then(({ status }) => status, () => 'unreadable'), text);

    test('the configuration has nothing to warn of', async () => {
      assert.deepEqual(await world.check(), { ok: true, mistakes: [], warnings: [] });
    });

    test('R-104 the page signs in, calls, and signs out; the cookies are the API’s alone', async () => {
      const context = await newContext();
      const app = await openApp(context);
      assert.equal(await call(app, 'session'), null);
      assert.equal((await call(app, 'api', '/notes')).status, 401, 'a refusal can be read too');
      await assert.rejects(call(app, 'signIn', 'ada', 'not-the-right-password'), /not right/);
      assert.equal((await call(app, 'signIn', ...ADA)).subject, 'ada');
      assert.equal(await write(app), 200);
      assert.deepEqual((await call(app, 'api', '/notes')).json, { user: 'ada', notes: ['milk'] });
      assert.equal((await call(app, 'session')).storage, 'hybrid');
      const cookies = await context.cookies();
      assert.deepEqual(cookies.map(({ name, domain, sameSite, httpOnly }) => [name, domain, sameSite, httpOnly]).sort(), Object.values(COOKIE).sort().map((name) => [name, 'api.app.test', 'Strict', true]));
      for (const { value } of cookies) assert.deepEqual(await readablePlaces(app, value), []);

      await app.evaluate(() => localStorage.setItem('draft', 'mine'));
      await call(app, 'signOut');
      assert.equal(await call(app, 'session'), null);
      assert.equal(await app.evaluate(() => localStorage.getItem('draft')), 'mine', 'what the page stored is the page’s to remove');
    });

    test('R-076, R-099 an unlisted sibling is refused and reads nothing; listed, it is let in', async () => {
      const { context } = await signedIn();
      const sibling = await openApp(context, 'other.app.test');
      const simple = () => askFrom(sibling, `${world.origin}/notes`, { method: 'POST', credentials: 'include', mode: 'no-cors', body: '{"text":"evil"}' });
      assert.equal(await changes(world, simple), false);
      assert.equal((await world.sessile.awaitEvents(EVENT.csrf, 1)).at(-1).reason, 'csrf_same_site_untrusted');
      assert.equal(await changes(world, () => write(sibling, 'evil')), false, 'stopped by the preflight');
      assert.equal(await askFrom(sibling, `${world.origin}/notes`, { credentials: 'include' }), 'unreadable');
      assert.equal(await askFrom(sibling, `${world.origin}/auth/session`, { credentials: 'include' }), 'unreadable');

      await world.changed([[`"${page()}"`, `"${page()}", "${site.origin('other.app.test')}"`]], async () => {
        assert.equal(await changes(world, async () => assert.equal(await write(sibling, 'evil'), 200)), true, 'negative control');
      });
    });

    test('without trusted_origins, or without [route.cors], the page gets nowhere', async () => {
      const { app } = await signedIn();
      assert.equal(await changes(world, async () => assert.equal(await write(app), 200)), true, 'negative control');
      await world.changed([[`[csrf]\ntrusted_origins = ["${page()}"]\n`, '']], async () => {
        assert.equal(await changes(world, async () => assert.equal(await write(app), 403)), false);
        await assert.rejects(call(app, 'signIn', ...ADA), /Failed to fetch/);
      });
      await world.changed([[/\[route\.cors\][^]*$/.exec(world.written)[0], '']], async () => {
        // In a browser that remembers no preflight.
        const { app: fresh } = await signedIn();
        assert.equal(await changes(world, async () => assert.equal(await write(fresh), 'unreadable')), false);
      });
    });

    test('R-076 from another site nothing passes, listed or not', async () => {
      const { context } = await signedIn();
      await world.changed([[`"${page()}"`, `"${page()}", "${site.origin('evil.test')}"`]], async () => {
        const foreign = await openApp(context, 'evil.test');
        assert.equal((await call(foreign, 'api', '/notes')).status, 401, 'it may read the answer, but no cookie went along');
        await assert.rejects(call(foreign, 'signIn', ...ADA), /made by another site/);
        const app = await openApp(context);
        assert.equal((await call(app, 'api', '/notes')).status, 200, 'negative control: the same from the same site');
      });
    });

    test('R-065 a script that asks for a token gets none', async () => {
      const { app } = await signedIn();
      const answer = await app.evaluate(() => window.guide.api('/auth/refresh', { method: 'POST' }).then((response) => response.text()));
      assert.equal(JSON.parse(answer).session.subject, 'ada');
      assert.doesNotMatch(answer, JWT);
    });
  });

  describe('with a bearer token', () => {
    let world;
    before(async () => {
      world = await startSituation({ guide, config: 'bearer', certificate, ...api, places });
      await serve(world, 'bearer.js');
    });
    after(() => world?.close());

    async function signedIn() {
      const context = await newContext();
      const app = await openApp(context);
      await app.evaluate(([username, password]) => window.guide.sessile.signIn({ username, password }), ADA);
      return { context, app };
    }

    test('the configuration has nothing to warn of', async () => {
      assert.deepEqual(await world.check(), { ok: true, mistakes: [], warnings: [] });
    });

    test('the page signs in, calls, survives a reload, and signs out', async () => {
      const { context, app } = await signedIn();
      assert.deepEqual((await call(app, 'api', '/notes', { ...JSON_POST, body: '{"text":"milk"}' })).json, { user: 'ada', notes: ['milk'] });
      assert.deepEqual((await context.cookies()).map(({ name, domain }) => [name, domain]), [[COOKIE.session, 'api.app.test']]);
      await app.reload();
      await ready(app);
      assert.equal((await call(app, 'api', '/notes')).status, 200);
      await app.evaluate(() => window.guide.sessile.signOut());
      assert.equal((await call(app, 'api', '/notes')).status, 401);
    });

    test('R-075 the cookie alone opens nothing, with or without the cross-site check', async () => {
      const { context, app } = await signedIn();
      const sibling = await open(context, site.origin('evil.app.test'));
      const attack = () => askFrom(sibling, `${world.origin}/notes`, { method: 'POST', credentials: 'include', mode: 'no-cors', body: '{"text":"evil"}' });
      assert.equal(await changes(world, attack), false);
      const refresh = { method: 'POST', credentials: 'include' };
      assert.equal(await askFrom(sibling, `${world.origin}/auth/refresh`, refresh), 'unreadable');
      await world.changed([['[csrf]\n', '[csrf]\nmode = "danger_off"\n']], async () => {
        assert.equal(await changes(world, attack), false);
        assert.equal(await changes(world, () => call(app, 'api', '/notes', { ...JSON_POST, body: '{"text":"mine"}' })), true, 'negative control: the page’s own request, by the same gateway');
      });
    });

    test('what the page says against it: an injected script gets a token and can take it away', async () => {
      const { app } = await signedIn();
      const stolen = await app.evaluate((url) => fetch(url, { method: 'POST', credentials: 'include' }).then((response) => response.json()), `${world.origin}/auth/refresh`);
      assert.match(stolen.access_token, JWT);
      assert.ok(stolen.expires_in <= 300);
      const thief = world.client().holding({}, stolen.access_token);
      assert.equal((await thief.get('/notes', { browser: false })).json.user, 'ada');
      await app.evaluate(() => window.guide.sessile.signOut());
      assert.equal((await thief.get('/notes', { browser: false })).status, 401, 'negative control: it ends with its session');
    });
  });
});

describe('3. pages made by the server', () => {
  const link = async (context, url) => {
    site.routes['/mail'] = { body: `<!doctype html><a href="${url}">the page</a>` };
    const page = await open(context, `${site.origin()}/mail`);
    await page.click('a');
    return page;
  };

  describe('with the sign-in page', () => {
    let world;
    before(async () => {
      world = await startSituation({ guide, config: 'pages', certificate, appEnv: { PAGES: guide.take('html sign-out') } });
    });
    after(() => world?.close());

    async function signedIn(options) {
      const context = await newContext(options);
      const page = await open(context, `${world.origin}/`);
      await fillIn(page, ...ADA);
      await page.waitForURL(`${world.origin}/`);
      return { context, page };
    }
    const heading = (page) => page.textContent('h1');

    test('the configuration has nothing to warn of', async () => {
      assert.deepEqual(await world.check(), { ok: true, mistakes: [], warnings: [] });
    });

    test('R-095 sign-in, forms, and sign-out without a script', async () => {
      const context = await newContext({ javaScriptEnabled: false });
      const page = await open(context, `${world.origin}/notes/7?x=1`);
      await fillIn(page, ...ADA);
      await page.waitForURL(`${world.origin}/notes/7?x=1`);
      assert.equal(await heading(page), 'Notes of ada');
      await page.fill('[name=text]', 'milk');
      const answered = page.waitForResponse(`${world.origin}/`);
      await page.click('#add');
      assert.match((await answered).headers()['cache-control'], /no-store/);
      assert.match(await page.textContent('p'), /milk/);

      const stale = await open(context, `${world.origin}/`);
      await page.click('form[action="/auth/sign-out"] button');
      await page.waitForURL(`${world.origin}/auth/signed-out`);
      assert.deepEqual(await context.cookies(), []);
      await stale.fill('[name=text]', 'too late');
      const late = stale.waitForResponse(`${world.origin}/notes`);
      await stale.click('#add');
      assert.equal((await late).status(), 401);
      assert.equal(await heading(stale), 'You are not signed in');
    });

    for (const javaScriptEnabled of [true, false]) {
      test(`a link from elsewhere finds the user signed in, ${javaScriptEnabled ? 'with' : 'without'} scripts, and the app is asked once`, async () => {
        const { context } = await signedIn({ javaScriptEnabled });
        const before = (await world.asked()).length;
        const page = await link(context, `${world.origin}/notes/7?x=1`);
        await soon(async () => (await heading(page).catch(() => '')) === 'Notes of ada', 'the page behind the link');
        assert.equal(page.url(), `${world.origin}/notes/7?x=1`);
        assert.deepEqual((await world.asked()).slice(before).map(({ url, user }) => [url, user]), [['/notes/7?x=1', 'ada']]);
      });
    }

    test('negative control: where the gateway does not ask again, the app is told of nobody', async () => {
      const { context } = await signedIn();
      const to = /upstream = .*\n/.exec(world.written)[0];
      await world.changed([[to, ''], ['[server.tls]', `[[route]]\nprefix = "/"\n${to}access = "optional"\n\n[server.tls]`]], async () => {
        await link(context, `${world.origin}/notes/7?x=1`);
        const last = async () => (await world.asked()).at(-1);
        await soon(async () => (await last()).url === '/notes/7?x=1', 'the request');
        assert.equal((await last()).user, undefined);
      });
    });

    test('R-075, R-076 forms of other pages are refused, with cookies or without', async () => {
      const { context } = await signedIn();
      for (const [host, reason] of [['evil.app.test', 'csrf_same_site_untrusted'], ['evil.test', undefined]]) {
        const evil = await open(context, site.origin(host));
        let opened;
        assert.equal(await changes(world, async () => (opened = await submitFrom(evil, `${world.origin}/notes`, { text: 'evil' }))), false, host);
        assert.equal(await heading(opened), reason ? 'This request was not taken' : 'You are not signed in');
        if (reason) assert.equal((await world.sessile.awaitEvents(EVENT.csrf, 1)).at(-1).reason, reason);
      }
      await world.changed([CHECK_OFF], async () => {
        const evil = await open(context, site.origin('evil.app.test'));
        assert.equal(await changes(world, () => submitFrom(evil, `${world.origin}/notes`, { text: 'evil' })), true, 'negative control');
      });
    });
  });

  describe('with a login form of the app’s own', () => {
    const ACCOUNTS = { 42: 'word-of-ada', 666: 'word-of-mallory' };
    let world;
    before(async () => {
      world = await startSituation({ guide, config: 'own-login', certificate, modules: ['login.mjs'], users: [], appEnv: { PAGES: guide.take('html sign-out').replace('/auth/sign-out', '/logout'), ACCOUNTS: JSON.stringify(ACCOUNTS) } });
    });
    after(() => world?.close());

    async function logIn(page, name = '42') {
      await page.fill('[name=name]', name);
      await page.fill('[name=word]', ACCOUNTS[name]);
      await page.click('button');
    }
    async function signedIn() {
      const context = await newContext();
      const page = await open(context, `${world.origin}/`);
      await logIn(page);
      await page.waitForURL(`${world.origin}/`);
      return { context, page };
    }

    test('the configuration has nothing to warn of', async () => {
      assert.deepEqual(await world.check(), { ok: true, mistakes: [], warnings: [] });
    });

    test('R-122 the form leads to where the user was going, and to no other site', async () => {
      const context = await newContext({ javaScriptEnabled: false });
      const page = await open(context, `${world.origin}/notes/7?x=1`);
      assert.equal(new URL(page.url()).pathname, '/login');
      await logIn(page);
      await page.waitForURL(`${world.origin}/notes/7?x=1`);
      assert.equal(await page.textContent('h1'), 'Notes of 42');
      assert.deepEqual((await context.cookies()).map(({ name, sameSite }) => [name, sameSite]), [[COOKIE.session, 'Lax']], 'an opaque value and no JWT');
      for (const next of ['https://evil.test/', '//evil.test/', '/\\evil.test', '/\t/evil.test', `${world.origin}//evil.test/`, 'javascript:alert(1)', 'http://[']) {
        await page.goto(`${world.origin}/login?next=${encodeURIComponent(next)}`);
        await logIn(page);
        await soon(() => new URL(page.url()).pathname !== '/login', `the way from ${next}`);
        assert.equal(new URL(page.url()).origin, world.origin, next);
      }
      await page.goto(`${world.origin}/`);
      await page.click('form[action="/logout"] button');
      await page.waitForURL(`${world.origin}/login`);
      await page.goto(`${world.origin}/`);
      assert.equal(new URL(page.url()).pathname, '/login');
    });

    test('a link from elsewhere finds the user signed in, because the cookies are Lax', async () => {
      const landed = async (context, expected) => {
        const page = await link(context, `${world.origin}/notes/7?x=1`);
        await soon(async () => (await page.textContent('h1').catch(() => '')) === expected, expected);
      };
      await landed((await signedIn()).context, 'Notes of 42');
      await world.changed([['same_site = "lax"', 'same_site = "strict"']], async () => {
        await landed((await signedIn()).context, 'Log in');
      });
    });

    test('R-083 another site signs nobody in, and sends no form', async () => {
      const { context } = await signedIn();
      const attacks = {
        'a login as somebody else': ['evil.test', '/login', { name: '666', word: ACCOUNTS[666] }],
        'a form of a sibling': ['evil.app.test', '/notes', { text: 'evil' }],
      };
      const run = async ([host, path, fields]) => submitFrom(await open(context, site.origin(host)), world.origin + path, fields);
      for (const [what, attack] of Object.entries(attacks)) assert.equal(await changes(world, () => run(attack)), false, what);
      assert.equal(await (await open(context, `${world.origin}/`)).textContent('h1'), 'Notes of 42');
      await world.changed([CHECK_OFF], async () => {
        assert.equal(await changes(world, () => run(attacks['a form of a sibling'])), true, 'negative control');
        await run(attacks['a login as somebody else']);
        assert.equal(await (await open(context, `${world.origin}/`)).textContent('h1'), 'Notes of 666', 'negative control');
      });
    });
  });
});

describe('4. a native client', () => {
  let world;
  before(async () => {
    world = await startSituation({ guide, config: 'native', certificate, env: { SESSILE_SESSION_GRACE: '1s' } });
  });
  after(() => world?.close());

  /** Sends a request of the page as it stands there, with the tokens that belong into it; without some fields, for controls. */
  async function send(block, { access, session, without = [], cookie } = {}) {
    let text = guide.take(`http ${block}`).replaceAll('https://app.example', world.origin).replace('Host: app.example', `Host: ${new URL(world.origin).host}`);
    for (const [from, to] of [['ACCESS_TOKEN', access], ['SESSION_TOKEN', session], ['correct horse battery staple', PASSWORD.ada]]) {
      if (text.includes(from) && to) text = text.replace(from, to);
    }
    const { method, path, headers, body } = parseRequest(text);
    for (const name of without) delete headers[name];
    if (cookie) headers.cookie = cookie;
    const response = await world.client().request(method, path, { browser: false, headers, body });
    const set = response.setCookies.find((line) => line.startsWith(`${COOKIE.session}=`));
    const { status, text: answer } = response;
    return { status, text: answer, session: set?.split(';')[0].slice(COOKIE.session.length + 1), get json() { return JSON.parse(answer); } };
  }

  async function signedIn() {
    const answer = await send('native-sign-in');
    assert.equal(answer.status, 200, answer.text);
    return { access: answer.json.access_token, session: answer.session };
  }
  const calls = (access) => send('native-call', { access });

  test('the configuration has nothing to warn of', async () => {
    assert.deepEqual(await world.check(), { ok: true, mistakes: [], warnings: [] });
  });

  test('the four requests', async () => {
    const first = await signedIn();
    assert.deepEqual((await calls(first.access)).json, { user: 'ada', notes: ['milk'] });
    const stored = await send('native-call', { ...first, cookie: `${COOKIE.session}=${first.session}` });
    assert.equal(stored.status, 200, 'a cookie store’s cookie does no harm beside the bearer token');
    const renewed = await send('native-refresh', first);
    assert.equal(renewed.status, 200);
    assert.equal((await calls(renewed.json.access_token)).status, 200);
    // Within the grace of the sign-in there is no new session token.
    const session = renewed.session ?? first.session;
    assert.equal((await send('native-sign-out', { session })).status, 200);
    assert.equal((await calls(renewed.json.access_token)).status, 401);
    assert.equal((await send('native-refresh', { session })).status, 401);
  });

  test('R-077, R-079 what carries a cookie says where it comes from, or brings a CSRF token', async () => {
    const bare = await send('native-sign-in', { without: ['origin'] });
    assert.equal(bare.status, 200, 'JSON without a cookie is no page’s');
    const { session } = bare;
    for (const block of ['native-refresh', 'native-sign-out']) {
      const refused = await send(block, { session, without: ['origin'] });
      assert.deepEqual([refused.status, refused.json.code], [403, 'csrf_refused'], block);
    }
    const holder = world.client().holding({ [COOKIE.session]: session });
    const stale = await holder.post('/auth/sign-in', { browser: false, json: { username: 'ada', password: PASSWORD.ada, storage: 'memory' } });
    assert.equal(stale.status, 403, 'a sign-in with a cookie is judged like the others');
    const { csrf_token: token } = (await holder.get('/auth/csrf', { browser: false })).json;
    assert.equal((await holder.post('/auth/refresh', { browser: false, headers: { 'x-csrf-token': token } })).status, 200);
    assert.equal((await holder.post('/auth/refresh', { browser: false, headers: { 'x-csrf-token': `${token.slice(0, -4)}AAAA` } })).status, 403, 'negative control');
    await world.changed([CHECK_OFF], async () => {
      assert.equal((await send('native-refresh', { session, without: ['origin'] })).status, 200, 'negative control: without the check, whoever sent it');
    });
    assert.equal((await calls('made-up')).status, 401);
  });

  test('a program that dies before it stored the new token goes on with the old one', async () => {
    const first = await signedIn();
    await sleep(1100);
    const lost = await send('native-refresh', first);
    assert.ok(lost.session && lost.session !== first.session);
    await sleep(1500);
    const again = await send('native-refresh', first);
    assert.equal(again.status, 200);
    assert.equal(again.session, lost.session, 'the same successor');
    assert.equal((await calls(again.json.access_token)).status, 200);
  });

  test('a copied session token ends the session once both have used it', async () => {
    const owner = await signedIn();
    await sleep(1100);
    const thief = await send('native-refresh', owner);
    assert.equal((await calls(thief.json.access_token)).status, 200, 'the thief has the session');
    await sleep(1500);
    const noticed = await send('native-refresh', owner);
    assert.equal(noticed.status, 401);
    assert.equal((await calls(thief.json.access_token)).status, 401);
    assert.equal((await send('native-refresh', { session: thief.session })).status, 401);
    assert.equal((await world.sessile.awaitEvents(EVENT.reuse, 1)).length, 1);
  });

  test('R-065 nothing is taken from browsers: their session gives scripts no token, and no page is a native client', async () => {
    const context = await newContext();
    const page = await open(context, `${world.origin}/auth/sign-in?return_to=/notes`);
    await fillIn(page, ...ADA);
    await page.waitForURL(`${world.origin}/notes`);
    const answer = await page.evaluate(() => fetch('/auth/refresh', { method: 'POST' }).then((response) => response.json()));
    assert.deepEqual([answer.session.storage, answer.access_token], ['hybrid', undefined]);

    const before = (await world.sessile.sessions('ada')).length;
    const evil = await open(await newContext(), site.origin());
    const body = JSON.stringify({ username: 'ada', password: PASSWORD.ada, storage: 'memory' });
    const from = (options) => askFrom(evil, `${world.origin}/auth/sign-in`, { method: 'POST', body, ...options });
    assert.equal(await from({ headers: { 'content-type': 'application/json' } }), 'unreadable');
    assert.equal(await from({ mode: 'no-cors', headers: { 'content-type': 'text/plain' } }), 'unreadable');
    assert.equal((await world.sessile.sessions('ada')).length, before);
    await signedIn();
    assert.equal((await world.sessile.sessions('ada')).length, before + 1, 'negative control');
  });
});

describe('5. in a frame of another site', () => {
  const widget = { name: 'widget.example', host: 'app.test' };
  let world;

  before(async () => {
    world = await startSituation({
      guide,
      config: 'frame',
      certificate,
      ...widget,
      places: () => [['https://shop.example', site.origin()]],
      files: { 'index.html': modulePage(), 'page.js': pageScript('frame.js'), 'frame.js': guide.take('js frame.js') },
    });
    site.routes['/shop'] = { body: `<!doctype html><title>shop</title>${world.local(guide.take('html frame'))}` };
  });
  after(() => world?.close());

  /** The frame in a page of `host`; undefined if the browser refused to show it. */
  async function framed(context, host = 'evil.test') {
    const page = await context.newPage();
    await page.goto(`${site.origin(host)}/shop`, { waitUntil: 'load' });
    const frame = page.frames().find((each) => each.url().startsWith(world.origin));
    if (frame) await ready(frame);
    return { page, frame };
  }
  const status = (frame, options) => askFrom(frame, '/api/notes', options);

  async function signedIn() {
    const context = await newContext();
    const { page, frame } = await framed(context);
    assert.equal((await call(frame, 'signIn', ...ADA)).subject, 'ada');
    return { context, page, frame };
  }

  test('the configuration has nothing to warn of', async () => {
    assert.deepEqual(await world.check(), { ok: true, mistakes: [], warnings: [] });
  });

  test('R-006, R-015 people sign in inside the frame, are signed in there, and sign out', async () => {
    const { context, frame } = await signedIn();
    assert.equal(await status(frame), 200);
    assert.equal(await status(frame, { ...JSON_POST, body: '{"text":"milk"}' }), 200);
    assert.deepEqual(
      (await context.cookies()).map(({ name, sameSite, partitionKey }) => [name, sameSite, partitionKey]).sort(),
      Object.values(COOKIE).sort().map((name) => [name, 'None', 'https://evil.test']),
    );
    const again = await framed(context);
    assert.equal(await status(again.frame), 200, 'after a reload too');
    assert.equal(await frame.evaluate(() => document.cookie), '');
    assert.equal(await askFrom(frame, '/auth/sign-out', { method: 'POST' }), 200);
    assert.deepEqual(await context.cookies(), []);
    assert.equal(await status(frame), 401);
  });

  test('R-089 the widget shows in the listed site alone, the sign-in page nowhere', async () => {
    const context = await newContext();
    assert.ok((await framed(context)).frame, 'negative control: the listed one');
    assert.equal((await framed(context, 'localhost')).frame, undefined, 'an unlisted one');
    const { page } = await framed(context);
    await page.evaluate((url) => new Promise((resolve) => document.body.append(Object.assign(document.createElement('iframe'), { src: url, id: 'sign-in', onload: resolve }))), `${world.origin}/auth/sign-in`);
    assert.ok(!page.frames().some((frame) => frame.url().includes('/auth/')));
  });

  test('a sign-in in a window of its own is not one in the frame, nor the other way round', async () => {
    const { context, frame } = await signedIn();
    const top = await open(context, `${world.origin}/auth/sign-in`);
    assert.equal(await top.locator('.note').count(), 0, 'nobody is signed in there');
    assert.equal(await status(frame), 200, 'negative control');
    const other = await newContext();
    const window = await open(other, `${world.origin}/auth/sign-in`);
    await fillIn(window, ...ADA);
    await window.waitForURL(`${world.origin}/`);
    assert.equal(await status(window), 200, 'negative control');
    assert.equal(await status((await framed(other)).frame), 401);
  });

  test('R-076 the framing page has the cookies sent and is refused', async () => {
    const { page } = await signedIn();
    const attack = () => askFrom(page, `${world.origin}/api/notes`, { method: 'POST', credentials: 'include', mode: 'no-cors', body: '{"text":"evil"}' });
    assert.equal(await changes(world, attack), false);
    const [event] = await world.sessile.awaitEvents(EVENT.csrf, 1);
    assert.deepEqual([event.reason, event.subject], ['csrf_cross_site', 'ada'], 'it came with the user’s cookies');
    await world.changed([CHECK_OFF], async () => {
      assert.equal(await changes(world, attack), true, 'negative control: the check stands alone');
    });
  });

  test('negative control: without embed the frame has no session', async () => {
    await world.changed([['[cookie]\nembed = true\nsame_site = "none"\n', '']], async () => {
      const { context, frame } = await signedIn();
      assert.equal(await status(frame), 401);
      assert.deepEqual(await context.cookies(), []);
    });
  });
});

test('every block of the page was put to use; negative control: one more is noticed', () => {
  assert.deepEqual(guide.untaken, []);
  const more = new Guide('```toml one\na = 1\n```\n\n```toml two\nb = 2\n```\n');
  more.take('toml one');
  assert.deepEqual(more.untaken, ['toml two']);
  assert.throws(() => more.take('toml three'), /no block/);
});
