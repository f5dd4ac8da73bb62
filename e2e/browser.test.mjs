// What happens in a real browser: cookies as it keeps them, tabs as they race, pages as they leak or do not.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { launchChromium } from './lib/chromium.mjs';
import { COOKIE, EVENT, METRIC, PASSWORD, T_MS } from './lib/names.mjs';
import { eventually, sleep } from './lib/process.mjs';
import { bearerOf } from './lib/sites.mjs';
import { startWorld } from './lib/world.mjs';

/** Contexts and pages of one world; each test gets fresh browsers and loses them at its end. */
class Browsers {
  #open = [];

  constructor(world, browser) {
    this.world = world;
    this.browser = browser;
  }

  async context(options) {
    const context = await this.browser.newContext(options);
    context.setDefaultTimeout(15_000);
    this.#open.push(context);
    return context;
  }

  /** A browser in which somebody signed in by the sign-in page; its page stands at `path`. */
  async signedIn({ name = 'ada', path = '/', context: options } = {}) {
    const context = await this.context(options);
    const page = await context.newPage();
    await page.goto(`${this.world.origin}/auth/sign-in?return_to=${encodeURIComponent(path)}`);
    await fillIn(page, name, PASSWORD[name]);
    await page.waitForURL(this.world.origin + path);
    return { context, page, id: await sessionId(page) };
  }

  async closeAll() {
    for (const context of this.#open.splice(0)) await context.close();
  }
}

async function fillIn(page, username, password) {
  await page.fill('input[name="username"]', username);
  await page.fill('input[name="password"]', password);
  await page.click('button[type="submit"]');
}

/** Status and body of a fetch that the page itself makes. */
function fetchIn(page, path, { method = 'GET', json } = {}) {
  return page.evaluate(
    async ({ path, method, json }) => {
      const response = await fetch(path, {
        method,
        headers: json === undefined ? {} : { 'content-type': 'application/json' },
        body: json === undefined ? undefined : JSON.stringify(json),
      });
      return { status: response.status, text: await response.text() };
    },
    { path, method, json },
  );
}

const statusIn = async (page, path, options) => (await fetchIn(page, path, options)).status;

async function sessionId(page) {
  const { status, text } = await fetchIn(page, '/auth/session');
  return status === 200 ? JSON.parse(text).session.id : undefined;
}

async function cookieValues(context) {
  return Object.fromEntries((await context.cookies()).map(({ name, value }) => [name, value]));
}

const generation = (value) => Number(value.split('.')[1]);

/** A burst of parallel requests from every page; all their statuses. */
async function burst(pages, path, each = 20) {
  const statuses = await Promise.all(
    pages.map((page) =>
      page.evaluate(({ path, each }) => Promise.all(Array.from({ length: each }, () => fetch(path).then((response) => response.status))), { path, each }),
    ),
  );
  return statuses.flat();
}

const counts = (values) => Object.fromEntries([...new Set(values)].map((value) => [value, values.filter((each) => each === value).length]));

describe('https://app.test', () => {
  let world;
  let browser;
  let browsers;

  before(async () => {
    world = await startWorld({
      https: true,
      notes: true,
      echo: true,
      site: true,
      users: ['ada', 'grace'],
      config: ({ notes, echo }) => ({
        route: [
          { prefix: '/echo', upstream: echo, access: 'session' },
          { prefix: '/welcome', upstream: echo, access: 'public' },
          { prefix: '/', upstream: notes, access: 'session' },
        ],
      }),
    });
    browser = await launchChromium(world.certificate);
    browsers = new Browsers(world, browser);
  });
  afterEach(() => browsers?.closeAll());
  after(async () => {
    await browser?.close();
    await world?.close();
  });

  describe('signing in', () => {
    test('by the page, without any script', async () => {
      const context = await browsers.context({ javaScriptEnabled: false });
      const page = await context.newPage();
      await page.goto(`${world.origin}/print`);
      assert.equal(new URL(page.url()).pathname, '/auth/sign-in', 'a page navigation without a session is led to the sign-in page');
      await fillIn(page, 'ada', 'not-the-right-password');
      assert.equal(new URL(page.url()).pathname, '/auth/sign-in');
      assert.deepEqual(Object.keys(await cookieValues(context)).filter((name) => Object.values(COOKIE).includes(name)), [], 'a failed sign-in makes no session');
      await fillIn(page, 'ada', PASSWORD.ada);
      await page.waitForURL(`${world.origin}/print`);
      assert.equal(await page.textContent('h1'), 'Notes of ada');
    });

    test('by fetch; no token is in any answer or place that a script can read (R-002, R-032, R-065)', async () => {
      const context = await browsers.context();
      const page = await context.newPage();
      // A page of the app: the sign-in page's own policy lets nothing be fetched from it.
      await page.goto(`${world.origin}/welcome`);
      const answer = await fetchIn(page, '/auth/sign-in', { method: 'POST', json: { username: 'ada', password: PASSWORD.ada } });
      assert.equal(answer.status, 200);
      assert.equal(JSON.parse(answer.text).session.subject, 'ada');
      await page.goto(`${world.origin}/`);
      await page.waitForSelector('#live[data-state="on"]');

      const readable = await page.evaluate(async () => ({
        cookie: document.cookie,
        cookieStore: await cookieStore.getAll(),
        local: { ...localStorage },
        session: { ...sessionStorage },
        databases: await indexedDB.databases(),
        caches: await caches.keys(),
        html: document.documentElement.outerHTML,
      }));
      assert.equal(readable.cookie, '');
      assert.deepEqual([readable.cookieStore, readable.local, readable.session, readable.databases, readable.caches], [[], {}, {}, [], []]);
      const answers = [answer.text, readable.html];
      for (const path of ['/auth/session', '/auth/csrf', '/auth/sessions', '/api/me']) answers.push((await fetchIn(page, path)).text);
      answers.push((await fetchIn(page, '/auth/refresh', { method: 'POST' })).text);
      const secrets = Object.values(await cookieValues(context));
      assert.equal(secrets.length, 2);
      for (const secret of secrets) for (const text of answers) assert.ok(!text.includes(secret) && !text.includes(secret.split('.').at(-1)));
      assert.ok(!/eyJ[\w-]{10,}\.eyJ/.test(answers.join()), 'nor any other JWT');
    });

    test('a script cannot plant our cookies (R-003), and negative control: it can plant others', async () => {
      const context = await browsers.context();
      const page = await context.newPage();
      await page.goto(`${world.origin}/auth/sign-in`);
      for (const name of Object.values(COOKIE)) await page.evaluate((name) => (document.cookie = `${name}=x; Secure; Path=/`), name);
      assert.deepEqual(await context.cookies(), []);
      await page.evaluate(() => (document.cookie = '__Host-other=x; Secure; Path=/'));
      assert.deepEqual((await context.cookies()).map(({ name }) => name), ['__Host-other']);
    });
  });

  test('R-001 to R-005, R-008: the cookies as the browser reports them', async () => {
    const { context } = await browsers.signedIn();
    const cookies = await context.cookies();
    assert.deepEqual(cookies.map(({ name }) => name).sort(), Object.values(COOKIE).sort());
    for (const cookie of cookies) {
      assert.match(cookie.name, /^__Host-Http-/);
      assert.deepEqual(
        { secure: cookie.secure, httpOnly: cookie.httpOnly, sameSite: cookie.sameSite, path: cookie.path, domain: cookie.domain, expires: cookie.expires },
        { secure: true, httpOnly: true, sameSite: 'Strict', path: '/', domain: 'app.test', expires: -1 },
        cookie.name,
      );
    }
    const octets = cookies.reduce((sum, { name, value }) => sum + name.length + value.length, 0);
    assert.ok(octets < 1500, `${octets} octets together`);
  });

  test('the app works: notes appear in another tab at once', async () => {
    const { context, page } = await browsers.signedIn();
    const other = await context.newPage();
    await other.goto(`${world.origin}/`);
    await other.waitForSelector('#live[data-state="on"]');
    await page.fill('#text', 'a note for both tabs');
    await page.click('#add button');
    await other.waitForSelector('text=a note for both tabs');
    await other.click('.note button');
    await page.waitForSelector('.note', { state: 'detached' });
    assert.equal(await page.textContent('#who'), 'ada');
    assert.match(await page.textContent('#devices'), /this browser/);
  });

  test('R-056 the bearer the app sees is the access cookie', async () => {
    const { context, page } = await browsers.signedIn({ path: '/print' });
    assert.equal(await statusIn(page, '/echo'), 200);
    assert.equal(bearerOf(world.echo.last()), (await cookieValues(context))[COOKIE.access]);
  });

  describe('signing out', () => {
    test('here: the jar is empty, the page is empty, the other browser goes on', async () => {
      const here = await browsers.signedIn();
      const there = await browsers.signedIn({ path: '/print' });
      assert.equal(await statusIn(here.page, '/api/notes', { method: 'POST', json: { text: 'signing-out-note' } }), 201);
      await here.page.waitForSelector('text=signing-out-note');
      await here.page.click('#sign-out');
      await here.page.waitForSelector('#gone:visible');
      assert.deepEqual(await here.context.cookies(), [], 'R-015');
      assert.ok(!(await here.page.content()).includes('signing-out-note'));
      assert.equal(await statusIn(here.page, '/api/notes'), 401);
      assert.equal(await statusIn(there.page, '/api/notes'), 200);
    });

    test('everywhere: every browser of the subject is out, another subject is not', async () => {
      const [one, two, other] = [await browsers.signedIn(), await browsers.signedIn({ path: '/print' }), await browsers.signedIn({ name: 'grace', path: '/print' })];
      assert.equal(await statusIn(two.page, '/api/notes'), 200);
      await one.page.click('#sign-out-everywhere');
      await one.page.waitForSelector('#gone:visible');
      assert.equal(await statusIn(two.page, '/api/notes'), 401);
      assert.equal(await statusIn(other.page, '/api/notes'), 200);
      assert.deepEqual(await one.context.cookies(), []);
    });

    test('one of my devices: the page of the other browser ends by itself', async () => {
      const phone = await browsers.signedIn();
      const desk = await browsers.signedIn();
      const rows = desk.page.locator('.device');
      await eventually(async () => (await rows.count()) >= 2, { what: 'both devices in the list' });
      assert.equal(await statusIn(desk.page, `/auth/sessions/${phone.id}`, { method: 'DELETE' }), 200);
      await phone.page.waitForSelector('#gone:visible');
      assert.equal(await statusIn(desk.page, '/api/me'), 200);
    });

    test('R-026 clears what the page stored, and answers 405 to GET (R-025)', async () => {
      const { page } = await browsers.signedIn({ path: '/print' });
      assert.equal(await statusIn(page, '/auth/sign-out'), 405);
      await page.evaluate(() => localStorage.setItem('draft', 'x'));
      const [response] = await Promise.all([
        page.waitForResponse((each) => each.url().endsWith('/auth/sign-out')),
        fetchIn(page, '/auth/sign-out', { method: 'POST', json: { scope: 'this' } }),
      ]);
      assert.equal((await response.allHeaders())['clear-site-data'], '"cache", "storage"');
      await eventually(() => page.evaluate(() => localStorage.getItem('draft') === null), { what: 'cleared storage' });
    });

    test('the back button does not bring private data back', async () => {
      const text = 'private-note-behind-the-back-button';
      // Chromium's back-forward cache is on, as it is for everybody outside of tests.
      const cached = await launchChromium({ ...world.certificate, backForwardCache: true });
      const own = new Browsers(world, cached);
      try {
        const { page } = await own.signedIn({ path: '/print' });
        assert.equal(await statusIn(page, '/api/notes', { method: 'POST', json: { text } }), 201);
        await page.reload();
        assert.ok((await page.content()).includes(text));

        // A page out of that cache is there without being loaded again, so there is no load event to wait for.
        const go = async (direction) => {
          await page[direction]({ waitUntil: 'commit' });
          await sleep(1000);
        };
        await page.goto(`${world.origin}/style.css`);
        await go('goBack');
        assert.ok((await page.content()).includes(text), 'negative control: with a session, back shows it');

        await page.goto(`${world.origin}/`);
        await page.waitForSelector(`text=${text}`);
        await page.click('#sign-out');
        await page.waitForSelector('#gone:visible');
        await go('goBack');
        assert.ok(!(await page.content()).includes(text), `at ${page.url()}`);
        await go('goForward');
        assert.ok(!(await page.content()).includes(text), `at ${page.url()}`);
      } finally {
        await own.closeAll();
        await cached.close();
      }
    });

    test('JA-80, R-026 nothing that was captured before works after', async () => {
      const { context, page } = await browsers.signedIn({ path: '/print' });
      assert.equal(await statusIn(page, '/echo/capture'), 200);
      const jwt = bearerOf(world.echo.last());
      const cookies = await cookieValues(context);
      const csrfToken = JSON.parse((await fetchIn(page, '/auth/csrf')).text).csrf_token;
      assert.ok(csrfToken);

      const client = world.client();
      const artefacts = {
        'both cookies': { holder: client.holding(cookies) },
        'session cookie': { holder: client.holding({ [COOKIE.session]: cookies[COOKIE.session] }) },
        'access cookie': { holder: client.holding({ [COOKIE.access]: cookies[COOKIE.access] }) },
        'upstream JWT as access cookie': { holder: client.holding({ [COOKIE.access]: jwt }) },
        'upstream JWT as bearer': { holder: client, headers: { authorization: `Bearer ${jwt}` } },
        'session token as bearer': { holder: client, headers: { authorization: `Bearer ${cookies[COOKIE.session]}` } },
        'CSRF token with both cookies': { holder: client.holding(cookies), headers: { 'x-csrf-token': csrfToken, 'sec-fetch-site': undefined, origin: undefined } },
      };
      const requests = [
        ['GET', '/echo/data'],
        ['GET', '/api/notes'],
        ['POST', '/echo/data', { json: {} }],
        ['GET', '/auth/session'],
        ['GET', '/auth/sessions'],
        ['POST', '/auth/refresh'],
        ['GET', '/auth/verify'],
      ];
      const attempt = async ({ holder, headers }, [method, path, options]) =>
        (await holder.steal().request(method, path, { ...options, headers })).status;

      assert.equal(await attempt(artefacts['both cookies'], requests[0]), 200, 'negative control: the replay works while the session lives');
      assert.equal(await attempt(artefacts['access cookie'], requests[0]), 200, 'negative control');
      assert.equal(await attempt(artefacts['upstream JWT as bearer'], requests[0]), 401, 'R-056: a cookie token is no bearer token, even now');

      assert.equal(await statusIn(page, '/auth/sign-out', { method: 'POST', json: { scope: 'this' } }), 200);
      const reachedBefore = world.echo.seen.length;
      for (const [what, artefact] of Object.entries(artefacts)) {
        for (const request of requests) {
          const status = await attempt(artefact, request);
          assert.ok(status === 401 || status === 403, `${what}: ${request[0]} ${request[1]} answered ${status}`);
        }
        assert.notEqual(await webSocketStatus(artefact), 101, `${what}: WebSocket`);
      }
      assert.equal(world.echo.seen.length, reachedBefore, 'nothing reached the upstream');
    });

    /** The status a WebSocket handshake gets with this artefact. */
    async function webSocketStatus({ holder, headers = {} }) {
      const socket = new WebSocket(`wss://127.0.0.1:${world.gatewayPort}/api/live`, {
        ca: world.certificate.certPem,
        servername: 'app.test',
        headers: {
          host: new URL(world.origin).host,
          origin: world.origin,
          'sec-fetch-site': 'same-origin',
          ...(holder.cookies.size > 0 ? { cookie: [...holder.cookies].map(([name, value]) => `${name}=${value}`).join('; ') } : {}),
          ...Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
        },
      });
      socket.on('error', () => {});
      const [event, value] = await Promise.race([
        once(socket, 'open').then(() => ['open']),
        once(socket, 'unexpected-response').then(([, response]) => ['refused', response.statusCode]),
      ]);
      socket.terminate();
      return event === 'open' ? 101 : value;
    }
  });

  describe('other sites', () => {
    /** Leads a browser to the hostile site and lets `html` stand there. */
    async function onEvilPage(context, html, host = 'evil.test') {
      world.site.routes['/page'] = { body: html };
      const page = await context.newPage();
      await page.goto(`${world.site.origin(host)}/page`);
      return page;
    }

    test('a link from another site finds the user signed in', async () => {
      const { context } = await browsers.signedIn({ path: '/print' });
      const page = await onEvilPage(context, `<a id="link" href="${world.origin}/print?from=mail">notes</a>`);
      const documents = [];
      page.on('response', (response) => {
        if (response.request().isNavigationRequest()) documents.push(`${response.status()} ${new URL(response.url()).pathname}`);
      });
      await page.click('#link');
      await page.waitForSelector('h1:has-text("Notes of ada")');
      assert.equal(page.url(), `${world.origin}/print?from=mail`);
      assert.deepEqual(documents, ['200 /print', '200 /print'], 'one bounce');
    });

    test('negative control: the same link without a session ends at the sign-in page, without a loop', async () => {
      const context = await browsers.context();
      const page = await onEvilPage(context, `<a id="link" href="${world.origin}/print">notes</a>`);
      let documents = 0;
      page.on('response', (response) => (documents += response.request().isNavigationRequest() ? 1 : 0));
      await page.click('#link');
      await page.waitForSelector('input[name="password"]');
      assert.equal(new URL(page.url()).searchParams.get('return_to'), '/print');
      assert.ok(documents <= 3, `${documents} documents`);
    });

    test('R-075, R-105 a POST from another site is refused and never reaches the app', async () => {
      const { context } = await browsers.signedIn({ path: '/print' });
      const target = `${world.origin}/echo/transfer`;
      const page = await onEvilPage(context, `<form id="form" method="post" action="${target}"><input name="amount" value="1000"></form>`);
      const before = world.echo.seen.length;

      const toTarget = (request) => request.url() === target && request.method() === 'POST';
      const outcome = async (action) => {
        const [status] = await Promise.all([
          Promise.race([
            page.waitForResponse((response) => toTarget(response.request())).then((response) => response.status()),
            // The refusal says that nobody else may read it (Cross-Origin-Resource-Policy), so the browser hides even its status.
            page.waitForEvent('requestfailed', toTarget).then((request) => request.failure().errorText),
          ]),
          action(),
        ]);
        return status;
      };
      const hidden = 'net::ERR_BLOCKED_BY_RESPONSE.NotSameOrigin';
      const byFetch = () => page.evaluate((target) => void fetch(target, { method: 'POST', mode: 'no-cors', credentials: 'include', body: 'amount=1000' }).catch(() => {}), target);
      const byBeacon = () => page.evaluate((target) => void navigator.sendBeacon(target, 'amount=1000'), target);
      const byForm = () => page.evaluate(() => document.getElementById('form').submit());
      assert.equal(await outcome(byFetch), hidden);
      assert.equal(await outcome(byBeacon), hidden);
      assert.ok([401, 403].includes(await outcome(byForm)));
      assert.equal(world.echo.seen.length, before);
    });

    test('R-076 the redirect chain that carries Strict cookies is refused by policy, not by luck', async () => {
      const { context } = await browsers.signedIn({ path: '/print' });
      const target = `${world.origin}/echo/transfer`;
      const capture = `${world.site.origin('app.test')}/capture`;
      world.site.routes['/capture'] = { body: 'captured' };
      world.site.routes['/bounce'] = (request, url) => ({ status: 307, headers: { location: url.searchParams.get('to') } });
      const chain = async (to) => {
        // A page of the same site posts to the hostile one, which sends the POST on with 307.
        const page = await onEvilPage(context, `<form id="form" method="post" action="${world.site.origin()}/bounce?to=${encodeURIComponent(to)}"><input name="amount" value="1000"></form>`, 'app.test');
        const [response] = await Promise.all([page.waitForResponse(to), page.evaluate(() => document.getElementById('form').submit())]);
        return response.status();
      };

      await chain(capture);
      const captured = world.site.seen.findLast(({ url }) => url === '/capture');
      assert.equal(captured.headers['sec-fetch-site'], 'cross-site');
      assert.ok(captured.headers.cookie?.includes(`${COOKIE.session}=`), 'the attack is real: this browser sends the Strict cookie');

      const before = world.echo.seen.length;
      const events = (await world.sessile.eventsNamed(EVENT.csrf)).length;
      assert.equal(await chain(target), 403);
      assert.equal(world.echo.seen.length, before);
      await world.sessile.awaitEvents(EVENT.csrf, events + 1);
    });

    test('negative control: the same form on a page of our own arrives', async () => {
      const { page } = await browsers.signedIn({ path: '/print' });
      const before = world.echo.seen.length;
      await Promise.all([
        page.waitForURL(`${world.origin}/echo/transfer`),
        page.evaluate(() => {
          const form = document.createElement('form');
          form.method = 'post';
          form.action = '/echo/transfer';
          document.body.append(form);
          form.submit();
        }),
      ]);
      assert.equal(world.echo.seen.length, before + 1);
      assert.equal(world.echo.last().method, 'POST');
    });

    test('R-083 another site cannot sign the browser in (login CSRF) or out', async () => {
      const signedIn = await browsers.signedIn({ path: '/print' });
      const context = await browsers.context();
      const page = await onEvilPage(context, `<form id="form" method="post" action="${world.origin}/auth/sign-in"><input name="username" value="grace"><input name="password" value="${PASSWORD.grace}"></form>`);
      const [response] = await Promise.all([page.waitForResponse(`${world.origin}/auth/sign-in`), page.evaluate(() => document.getElementById('form').submit())]);
      assert.equal(response.status(), 403);
      assert.deepEqual(await context.cookies(world.origin), []);

      const out = await onEvilPage(signedIn.context, `<form id="form" method="post" action="${world.origin}/auth/sign-out"></form>`);
      const [refused] = await Promise.all([out.waitForResponse(`${world.origin}/auth/sign-out`), out.evaluate(() => document.getElementById('form').submit())]);
      assert.ok([401, 403].includes(refused.status()), `${refused.status()}`);
      assert.equal(await statusIn(signedIn.page, '/api/me'), 200);
    });

    test('R-084 another site cannot open a WebSocket; negative control: our own page can', async () => {
      const { context, page: own } = await browsers.signedIn({ path: '/print' });
      const opens = (page) =>
        page.evaluate(
          (url) =>
            new Promise((resolve) => {
              const socket = new WebSocket(url);
              socket.onopen = () => resolve(true);
              socket.onerror = () => resolve(false);
            }),
          `${world.origin.replace('https', 'wss')}/api/live`,
        );
      assert.equal(await opens(await onEvilPage(context, 'evil')), false);
      assert.equal(await opens(own), true);
    });

    test('R-089 another site cannot frame a page', async () => {
      const { context } = await browsers.signedIn({ path: '/print' });
      for (const path of ['/print', '/auth/sign-in']) {
        const page = await onEvilPage(context, `<iframe src="${world.origin}${path}"></iframe><iframe src="/framed"></iframe>`);
        world.site.routes['/framed'] = { body: '<h1>may be framed</h1>' };
        await page.reload();
        const texts = await Promise.all(page.frames().slice(1).map((frame) => frame.content()));
        assert.ok(!texts[0].includes('Notes of') && !texts[0].includes('password'), path);
        assert.ok(texts[1].includes('may be framed'), 'negative control');
      }
    });
  });

  test(`R-033 open streams of a revoked session close within ${T_MS / 1000} s, those of others stay`, async () => {
    const victim = await browsers.signedIn({ path: '/print' });
    const other = await browsers.signedIn({ path: '/print' });
    const open = (page) =>
      page.evaluate(
        () =>
          new Promise((resolve) => {
            window.endedAt = {};
            let waiting = 2;
            const opened = () => (waiting -= 1) === 0 && resolve();
            const events = new EventSource('/api/events');
            events.addEventListener('ready', opened, { once: true });
            events.addEventListener('error', () => (window.endedAt.events ??= Date.now()));
            const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/api/live`);
            socket.addEventListener('open', opened);
            socket.addEventListener('close', () => (window.endedAt.socket ??= Date.now()));
          }),
      );
    await Promise.all([open(victim.page), open(other.page)]);
    await sleep(500);
    assert.deepEqual(await victim.page.evaluate(() => window.endedAt), {}, 'both are open');

    const asked = Date.now();
    await world.sessile.revoke(victim.id);
    const closed = await eventually(
      async () => {
        const seen = await victim.page.evaluate(() => window.endedAt);
        return seen.events && seen.socket ? seen : undefined;
      },
      { ms: T_MS + 1000, what: 'both streams closed' },
    );
    for (const [what, at] of Object.entries(closed)) assert.ok(at - asked <= T_MS, `${what} closed ${at - asked} ms after the revocation`);
    assert.equal(await statusIn(victim.page, '/api/me'), 401);
    assert.deepEqual(await other.page.evaluate(() => window.endedAt), {}, 'negative control: another session’s streams stay open');
  });
});

describe('renewal', () => {
  const ACCESS_MS = 6000;
  let world;
  let browser;
  let browsers;

  before(async () => {
    // The grace leaves a slow machine time for a request that set out with the old cookies.
    world = await startWorld({ https: true, notes: true, env: { SESSILE_SESSION_ACCESS: `${ACCESS_MS / 1000}s`, SESSILE_SESSION_GRACE: '4s' } });
    browser = await launchChromium(world.certificate);
    browsers = new Browsers(world, browser);
  });
  after(async () => {
    await browsers?.closeAll();
    await browser?.close();
    await world?.close();
  });

  test('3 tabs with 20 requests each across the end of the access token: no 401, exactly one rotation', async () => {
    const { context, page, id } = await browsers.signedIn({ path: '/print' });
    const tabs = [page];
    while (tabs.length < 3) {
      const tab = await context.newPage();
      await tab.goto(`${world.origin}/print`);
      tabs.push(tab);
    }
    for (let round = 1; round <= 2; round += 1) {
      await sleep(ACCESS_MS + 500);
      const before = await world.sessile.metric(METRIC.rotations);
      const generationBefore = generation((await cookieValues(context))[COOKIE.session]);
      const accessBefore = (await cookieValues(context))[COOKIE.access];
      assert.deepEqual(counts(await burst(tabs, '/api/notes')), { 200: 60 }, `round ${round}`);
      assert.equal(await world.sessile.metric(METRIC.rotations), before + 1, `round ${round}`);
      const now = await cookieValues(context);
      assert.equal(generation(now[COOKIE.session]), generationBefore + 1);
      assert.notEqual(now[COOKIE.access], accessBefore, 'the access token had indeed to be renewed');
    }

    await world.sessile.revoke(id);
    assert.deepEqual(counts(await burst(tabs, '/api/notes')), { 401: 60 }, 'negative control: the burst does see a 401 when there is one');
  });
});

describe('a lost response', () => {
  let world;
  let browser;
  let browsers;

  before(async () => {
    world = await startWorld({ https: true, notes: true, cutter: true, env: { SESSILE_SESSION_ACCESS: '2s', SESSILE_SESSION_GRACE: '2s' } });
    browser = await launchChromium(world.certificate);
    browsers = new Browsers(world, browser);
  });
  after(async () => {
    await browsers?.closeAll();
    await browser?.close();
    await world?.close();
  });

  for (const [what, method, options] of [['GET', 'GET', {}], ['POST', 'POST', { json: { text: 'note' } }]]) {
    test(`S3, I4 the answer with the new cookies is lost on a ${what}: the next request succeeds`, async () => {
      const { context, page, id } = await browsers.signedIn({ path: '/print' });
      await sleep(2500);
      const before = await world.sessile.metric(METRIC.rotations);
      const held = (await cookieValues(context))[COOKIE.session];
      const lostBefore = world.cutter.lost.length;
      world.cutter.loseNext({ matching: new RegExp(`set-cookie: ${COOKIE.session}=`, 'i') });

      // The browser may repeat the request by itself; either way the session must live.
      await fetchIn(page, '/api/notes', { method, ...options }).catch(() => {});
      assert.equal(world.cutter.lost.length, lostBefore + 1, 'a response was lost');
      assert.match(world.cutter.lost.at(-1), /^HTTP\/1\.1 20[01] /);
      assert.equal(await statusIn(page, '/api/notes'), 200);
      assert.equal(await world.sessile.metric(METRIC.rotations), before + 1, 'the repeated request was answered with the same successor');
      assert.equal(generation((await cookieValues(context))[COOKIE.session]), generation(held) + 1);

      await sleep(2500);
      assert.equal(await statusIn(page, '/api/notes'), 200, 'and it lives on');
      await world.sessile.assertNoEvent(EVENT.reuse, id);
    });
  }

  test('negative control: the session is lost when the browser comes back with what was superseded and confirmed long ago', async () => {
    const { context, page, id } = await browsers.signedIn({ path: '/print' });
    const old = await context.cookies();
    await sleep(2500);
    assert.equal(await statusIn(page, '/api/notes'), 200);
    assert.equal(await statusIn(page, '/api/notes'), 200);
    await sleep(2500);
    await context.clearCookies();
    await context.addCookies(old.map(({ name, value }) => ({ name, value, url: world.origin, secure: true, httpOnly: true, sameSite: 'Strict' })));
    assert.equal(await statusIn(page, '/api/notes'), 401);
    assert.equal((await world.sessile.awaitEvents(EVENT.reuse, 1, id)).length, 1);
  });
});

describe('http://localhost', () => {
  let world;
  let browser;
  let browsers;

  before(async () => {
    world = await startWorld({ notes: true });
    browser = await launchChromium();
    browsers = new Browsers(world, browser);
  });
  after(async () => {
    await browsers?.closeAll();
    await browser?.close();
    await world?.close();
  });

  test('sign-in, the app and sign-out work as they do on https', async () => {
    const { context, page } = await browsers.signedIn();
    const cookies = await context.cookies();
    assert.deepEqual(cookies.map(({ name }) => name).sort(), Object.values(COOKIE).sort());
    for (const { secure, httpOnly, sameSite, domain } of cookies) assert.deepEqual([secure, httpOnly, sameSite, domain], [true, true, 'Strict', 'localhost']);
    await page.fill('#text', 'over plain http on this machine');
    await page.click('#add button');
    await page.waitForSelector('.note:has-text("over plain http")');
    await page.click('#sign-out');
    await page.waitForSelector('#gone:visible');
    assert.deepEqual(await context.cookies(), []);
  });

  test('signed out, a page leads to the sign-in page and an API call gets problem+json', async () => {
    const { page } = await browsers.signedIn({ path: '/print' });
    assert.equal(await statusIn(page, '/auth/sign-out', { method: 'POST' }), 200);
    const [response] = await Promise.all([page.waitForResponse(`${world.origin}/api/me`), fetchIn(page, '/api/me')]);
    assert.equal(response.status(), 401);
    assert.match((await response.allHeaders())['content-type'], /^application\/problem\+json/);
    assert.equal((await response.json()).code, 'no_session');
    await page.goto(`${world.origin}/print`);
    assert.equal(new URL(page.url()).pathname, '/auth/sign-in');
  });
});
