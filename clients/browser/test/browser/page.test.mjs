// What scripts of the page can and cannot get at, in a real browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually, sleep } from '../lib/browser.mjs';
import { broken, startStranger } from '../lib/gateway.mjs';
import { launchChromium, observe, prove } from './lib.mjs';

let browser;
let stranger;
before(async () => {
  browser = await launchChromium();
  stranger = await startStranger();
});
after(async () => {
  await browser?.close();
  await stranger?.close();
});

/** Watches, from before the first script of the page, everything a script can watch, and writes down what it sees. */
const WATCH_EVERYTHING = () => {
  const seen = (window.seen = []);
  const { stringify } = JSON;
  let busy = false; // What the watcher does is not watched.
  const keep = (value) => {
    if (busy) return;
    busy = true;
    try {
      seen.push(typeof value === 'string' ? value : stringify(value, (_, each) => (each instanceof Headers ? [...each] : each)));
    } catch {}
    busy = false;
  };
  const { text } = Response.prototype;
  const spy = (object, name) => {
    const original = object?.[name];
    if (typeof original !== 'function') return;
    object[name] = function (...values) {
      values.forEach(keep);
      const result = original.apply(this, values);
      if (result instanceof Promise) result.then((value) => (value instanceof Response ? text.call(value.clone()).then(keep) : keep(value)), () => {});
      else keep(result);
      return result;
    };
  };
  for (const name of ['set', 'append', 'get']) spy(Headers.prototype, name);
  for (const name of ['json', 'text', 'arrayBuffer', 'blob']) spy(Response.prototype, name);
  for (const name of ['parse', 'stringify']) spy(JSON, name);
  for (const name of ['setItem', 'getItem']) spy(Storage.prototype, name);
  for (const kind of [Worker, MessagePort, BroadcastChannel]) spy(kind.prototype, 'postMessage');
  spy(window, 'fetch');
  const { Request } = window;
  window.Request = new Proxy(Request, {
    construct(target, values) {
      const request = new target(...values);
      keep([...request.headers]);
      return request;
    },
  });
  // Messages that arrive, by handler or listener.
  for (const kind of [Worker, MessagePort, BroadcastChannel]) {
    const { set, get } = Object.getOwnPropertyDescriptor(kind.prototype, 'onmessage') ?? {};
    if (!set) continue;
    Object.defineProperty(kind.prototype, 'onmessage', {
      get,
      set(handler) {
        set.call(this, (event) => {
          keep(event.data);
          return handler.call(this, event);
        });
      },
    });
  }
};

const signedInAndAsked = async (run, tab) => {
  await run.signIn(tab);
  const first = await run.ask(tab, '/api/echo', { method: 'POST', body: 'x' });
  run.gateway.endTokens();
  return [first, await run.ask(tab)];
};
const tokensIn = (tab) => tab.evaluate(() => seen.filter((each) => String(each).includes('token-of-')).length);

const watched = (adapter) => async (run) => {
  const tab = await run.tab({ adapter }, { before: WATCH_EVERYTHING });
  const answers = await signedInAndAsked(run, tab);
  return { answers, keptIn: await tab.evaluate(() => sessile.keptIn), tokens: await tokensIn(tab) };
};
const unseen = (seen) => assert.deepEqual(seen, { answers: [200, 200], keptIn: 'worker', tokens: 0 });

test('worker: a script that was there first and watches everything sees no token', () =>
  prove(browser, {
    scenario: watched('worker'),
    check: unseen,
    // A worker that does not keep the token to itself.
    twins: [{ 'carrier.ts': ['const { access_token: token, ...rest } = JSON.parse(body);', 'const { access_token: token, ...others } = JSON.parse(body);\n        const rest = { ...others, shown: token };'] }],
  }));

test('memory: that script sees the token, as the description of memory says', async () => {
  const { answers, tokens } = await observe(browser, {}, watched('memory'));
  assert.deepEqual({ answers, some: tokens > 0 }, { answers: [200, 200], some: true });
});

for (const adapter of ['memory', 'worker']) {
  test(`${adapter}: nothing in the page leads to the token afterwards`, () =>
    prove(browser, {
      async scenario(run) {
        const tab = await run.tab({ adapter });
        const answers = await signedInAndAsked(run, tab);
        const found = await tab.evaluate(() => {
          const visited = new Set();
          const hits = [];
          const walk = (value, path) => {
            if (typeof value === 'string' && value.includes('token-of-')) hits.push(path);
            if (value === null || !['object', 'function'].includes(typeof value) || visited.has(value) || path.split('.').length > 8) return;
            visited.add(value);
            for (const key of Reflect.ownKeys(value)) {
              try {
                walk(value[key], `${path}.${String(key)}`);
              } catch {}
            }
          };
          walk(window, 'window');
          walk({ ...localStorage, ...sessionStorage, cookie: document.cookie }, 'stored');
          return hits;
        });
        return { answers, found };
      },
      check: (seen) => assert.deepEqual(seen, { answers: [200, 200], found: [] }),
      twins:
        adapter === 'memory'
          ? [{ 'carrier.ts': ['      held = next;', '      held = next;\n      (globalThis as any).kept = next;'] }]
          : [{ 'worker.ts': ['status = data.status;', 'status = data.status;\n        (globalThis as any).kept = (data as any).response.headers;'], 'worker-script.ts': ['headers: [...headers]', "headers: [...headers, ['x-token', 'token-of-x']]"] }],
    }));
}

/** Patches fetch when the client is already there, as an injected script or a tracing library does. */
const PATCH_FETCH = () => {
  const { fetch } = window;
  window.caught = [];
  window.fetch = (input, init) => {
    const request = new Request(input, init);
    window.caught.push(request.headers.get('authorization'));
    return fetch(request);
  };
};

for (const adapter of ['memory', 'session-storage', 'local-storage']) {
  test(`${adapter}: a fetch patched later sees no token, and goes on as the app's own`, () =>
    prove(browser, {
      gateway: { storage: adapter },
      async scenario(run) {
        const tab = await run.tab({ adapter });
        await tab.evaluate(PATCH_FETCH);
        const answers = await signedInAndAsked(run, tab);
        const own = await tab.evaluate(() => fetch('/page').then(({ status }) => status));
        return { answers, own, caught: await tab.evaluate(() => caught) };
      },
      check: (seen) => assert.deepEqual(seen, { answers: [200, 200], own: 200, caught: [null] }),
      twins: [{ 'client.ts': ['(options.fetch ?? globalThis.fetch).bind(globalThis)', '(...all) => globalThis.fetch(...all)'] }],
    }));
}

test('the client patches nothing', () =>
  prove(browser, {
    async scenario(run) {
      const tab = await run.tab({ adapter: 'memory' });
      await run.signIn(tab);
      return tab.evaluate(() => {
        const frame = document.body.appendChild(document.createElement('iframe'));
        const clean = frame.contentWindow;
        const differing = [];
        for (const name of ['fetch', 'setTimeout', 'addEventListener']) if (!/\[native code\]/.test(Function.prototype.toString.call(window[name]))) differing.push(name);
        for (const kind of ['Request', 'Response', 'Headers', 'Storage', 'Worker', 'BroadcastChannel', 'Promise', 'Object', 'Array']) {
          for (const key of Reflect.ownKeys(clean[kind].prototype)) {
            const mine = Object.getOwnPropertyDescriptor(window[kind].prototype, key);
            const value = mine?.value ?? mine?.get;
            if (typeof value === 'function' && !/\[native code\]/.test(Function.prototype.toString.call(value))) differing.push(`${kind}.${String(key)}`);
          }
        }
        return differing;
      });
    },
    check: (seen) => assert.deepEqual(seen, []),
    twins: [{ 'client.ts': ['  const events = createEvents();', '  (globalThis as any).fetch = (...all: [any]) => platformFetch(...all);\n  const events = createEvents();'] }],
  }));

for (const adapter of ['memory', 'worker']) {
  test(`${adapter}: no token leaves the origin, by address or by redirect`, () =>
    prove(browser, {
      async scenario(run) {
        stranger.seen.length = 0;
        const tab = await run.tab({ adapter });
        await run.signIn(tab);
        const answers = [
          await run.ask(tab, `${stranger.origin}/api/take`),
          await run.ask(tab, `/api/redirect?to=${encodeURIComponent(`${stranger.origin}/take`)}`),
          await run.ask(tab, `/api/redirect?to=${encodeURIComponent('/api/echo')}`),
        ];
        return { answers, asked: stranger.seen.length, taken: stranger.seen.filter(({ headers }) => headers.authorization).length };
      },
      check: (seen) => assert.deepEqual(seen, { answers: [200, 'redirected', 'redirected'], asked: 1, taken: 0 }),
      twins: [{ 'carrier.ts': ["{ redirect: 'manual' }", '{}'] }, { 'scope.ts': ['target.origin === origin', 'true'] }],
    }));
}

test('worker: whoever has it cannot make it take the token to another origin', () =>
  prove(browser, {
    async scenario(run) {
      stranger.seen.length = 0;
      // One attacker got hold of the client's worker, which is never handed out; another starts one of their own.
      const before = () => {
        const { Worker } = window;
        window.Worker = new Proxy(Worker, { construct: (target, values) => (window.stolen = new target(...(window.address = values))) });
      };
      const tab = await run.tab({ adapter: 'worker' }, { before });
      await run.signIn(tab);
      await tab.evaluate(async (origin) => {
        const request = (url, method = 'GET') => ({ url, method, redirect: 'follow', headers: [], body: null, credentials: 'same-origin', mode: 'cors' });
        const take = (worker) => {
          worker.postMessage({ open: { prefix: '/auth', paths: ['/'], trustRedirects: true, origin } });
          worker.postMessage({ id: 1e6, handling: 'bearer', send: request(`${origin}/api/take`) });
          worker.postMessage({ id: 1e6 + 1, handling: 'bearer', send: request(`${location.origin}/api/redirect?to=${encodeURIComponent(`${origin}/take`)}`) });
        };
        take(stolen);
        const own = new Worker(...address);
        own.postMessage({ open: { prefix: '/auth', paths: ['/'], trustRedirects: true, origin } });
        own.postMessage({ id: 1, handling: 'absorb', send: request(`${location.origin}/auth/refresh`, 'POST') });
        await new Promise((resolve) => (own.onmessage = resolve));
        take(own);
      }, stranger.origin);
      await eventually(() => stranger.seen.length >= 3, 'requests without a token', 10_000).catch(() => {});
      await sleep(200);
      return { some: stranger.seen.length > 0, taken: stranger.seen.filter(({ headers }) => headers.authorization).length };
    },
    check: (seen) => assert.deepEqual(seen, { some: true, taken: 0 }),
    twins: [{ 'worker-script.ts': ['inScope(url, scope.location.origin, paths)', 'inScope(url, (data.open as any).origin ?? scope.location.origin, paths)'] }],
  }));

test('worker: answers are as from fetch: streams, empty ones, failures, aborts', () =>
  prove(browser, {
    async scenario(run) {
      const tab = await run.tab({ adapter: 'worker' });
      await run.signIn(tab);
      run.gateway.instead.set('/api/broken', broken);
      const answers = await tab.evaluate(async () => {
        const { fetch } = sessile;
        const caught = (promise) => promise.then(() => 'nothing', ({ name }) => name);
        const empty = await fetch('/api/empty');
        const echo = await fetch('/api/echo?x=1', { method: 'POST', body: new URLSearchParams({ a: '1 2' }) });
        const form = new FormData();
        form.set('file', new Blob(['hello'], { type: 'text/plain' }), 'a.txt');
        const upload = await (await fetch('/api/echo', { method: 'POST', body: form })).json();
        const stream = await fetch('/api/stream');
        const reader = stream.body.getReader();
        const first = new TextDecoder().decode((await reader.read()).value);
        await reader.cancel();
        const controller = new AbortController();
        const streaming = await fetch('/api/stream', { signal: controller.signal });
        // text() of a stream that a script handed over rejects with TypeError in Chromium, whatever the reason.
        const aborted = streaming.body.getReader();
        const reading = (async () => {
          while (!(await aborted.read()).done);
        })();
        setTimeout(() => controller.abort(), 100);
        return {
          empty: [empty.status, empty.body],
          echo: [echo.url.replace(location.origin, ''), echo.type, echo.redirected, echo.ok, (await echo.json()).body],
          upload: /filename="a.txt"[^]*hello/.test(upload.body),
          first,
          aborted: await Promise.race([caught(reading), new Promise((resolve) => setTimeout(resolve, 10_000, 'still reading'))]),
          early: await caught(fetch('/api/echo', { signal: AbortSignal.abort() })),
          network: await caught(fetch('/api/broken')),
        };
      });
      await eventually(() => run.gateway.streamsClosed === 2, 'both streams closed', 10_000).catch(() => {});
      return { ...answers, closed: run.gateway.streamsClosed };
    },
    check: (seen) =>
      assert.deepEqual(seen, {
        empty: [204, null],
        echo: ['/api/echo?x=1', 'basic', false, true, 'a=1+2'],
        upload: true,
        first: 'data: 1\n\n',
        aborted: 'AbortError',
        early: 'AbortError',
        network: 'TypeError',
        closed: 2,
      }),
    twins: [{ 'worker-script.ts': ["running.get(data.abort)?.abort()", 'void 0'] }, { 'worker.ts': ["Object.defineProperty(response, name, { value })", 'void value'] }],
  }));

test('worker: a browser that cannot hand over streams hands over whole bodies', () =>
  prove(browser, {
    async scenario(run) {
      const refuse = "const post = postMessage.bind(globalThis); globalThis.postMessage = (message, transfer) => { if (transfer?.[0] instanceof ReadableStream) throw new DOMException('no', 'DataCloneError'); post(message, transfer); };";
      for (const folder of ['client', 'weak']) {
        const file = run.gateway.files[`/${folder}/worker-script.js`];
        if (file) file.body = refuse + file.body;
      }
      const tab = await run.tab({ adapter: 'worker' });
      const signedIn = await run.signIn(tab);
      return {
        subject: signedIn.subject,
        answers: [await run.ask(tab), await run.ask(tab, '/api/empty')],
        body: await tab.evaluate(() => sessile.fetch('/api/echo', { method: 'POST', body: 'x' }).then((response) => response.json(), () => ({}))).then(({ body }) => body),
      };
    },
    check: (seen) => assert.deepEqual(seen, { subject: 'ada', answers: [200, 204], body: 'x' }),
    twins: [{ 'worker-script.ts': ['const buffer = await new Response(readable).arrayBuffer();', "throw new TypeError('no');\n      const buffer = new ArrayBuffer(0);"] }],
  }));

test('worker: an answer that nobody reads is not kept in mind', () =>
  prove(browser, {
    async scenario(run) {
      const before = () => {
        window.done = 0;
        const { set, get } = Object.getOwnPropertyDescriptor(Worker.prototype, 'onmessage');
        Object.defineProperty(Worker.prototype, 'onmessage', {
          get,
          set(handler) {
            set.call(this, (event) => {
              if (event.data.done && event.data.id > 1) window.done += 1;
              handler.call(this, event);
            });
          },
        });
      };
      const tab = await run.tab({ adapter: 'worker' }, { before });
      await run.signIn(tab);
      // In chunks, without a length.
      run.gateway.instead.set('/api/chunked', (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/plain' });
        for (let i = 0; i < 20; i += 1) response.write('x'.repeat(5000));
        response.end();
        return true;
      });
      for (let i = 0; i < 20; i += 1) await run.ask(tab, '/api/chunked');
      await tab.waitForFunction('window.done === 20', undefined, { timeout: 2000 }).catch(() => {});
      return tab.evaluate(() => window.done);
    },
    check: (seen) => assert.equal(seen, 20),
    twins: [{ 'worker-script.ts': ['new TransformStream<Uint8Array, Uint8Array>({}, {}, READ_AHEAD)', 'new TransformStream<Uint8Array, Uint8Array>()'] }],
  }));

test('worker: a strict content security policy without blob: is enough', () =>
  prove(browser, {
    async scenario(run) {
      const file = run.gateway.files[run.path];
      file.body = file.body.replace('<script ', '<script nonce="n1" ');
      file.headers = { 'content-security-policy': "default-src 'none'; script-src 'nonce-n1' 'strict-dynamic'; worker-src 'self'; connect-src 'self'; base-uri 'none'" };
      const tab = await run.tab({ adapter: 'worker' });
      await run.signIn(tab);
      const blob = await tab.evaluate(() =>
        new Promise((resolve) => {
          const worker = new Worker(URL.createObjectURL(new Blob(['postMessage(1)'])));
          worker.onmessage = () => resolve('runs');
          worker.onerror = () => resolve('refused');
        }),
      );
      return { blob, answer: await run.ask(tab), keptIn: await tab.evaluate(() => sessile.keptIn) };
    },
    check: (seen) => assert.deepEqual(seen, { blob: 'refused', answer: 200, keptIn: 'worker' }),
    twins: [{ 'worker.ts': ['export function inWorker(worker: Worker): Adapter {', "export function inWorker(given: Worker): Adapter {\n  const worker = new Worker(URL.createObjectURL(new Blob(['import \"/weak/worker-script.js\"'])), { type: 'module' });\n  given.terminate();"] }],
  }));

test('a worker that cannot be loaded is told of', () =>
  prove(browser, {
    async scenario(run) {
      run.gateway.files['/client/worker-script.js'] = run.gateway.files['/weak/worker-script.js'] = undefined;
      const tab = await run.tab({ adapter: 'worker' });
      const error = await Promise.race([run.signIn(tab), sleep(4000).then(() => ({ code: 'nothing' }))]);
      return error.code;
    },
    check: (seen) => assert.equal(seen, 'worker_failed'),
    twins: [{ 'worker.ts': ['worker.onerror = worker.onmessageerror = fail;', ''] }],
  }));

for (const [what, before] of [
  ['throws when it is reached for', () => Object.defineProperty(window, 'localStorage', { get: () => { throw new DOMException('The operation is insecure.', 'SecurityError'); } })],
  ['is full', () => { Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; }],
]) {
  test(`local-storage that ${what} is replaced by memory, and that is told`, () =>
    prove(browser, {
      gateway: { storage: 'local-storage' },
      async scenario(run) {
        const tab = await run.tab({ adapter: 'local-storage' }, { before });
        const answers = await signedInAndAsked(run, tab);
        return { answers, ...(await tab.evaluate(() => ({ keptIn: sessile.keptIn, told: events.filter(({ name }) => name === 'storage-blocked').length }))) };
      },
      check: (seen) => assert.deepEqual(seen, { answers: [200, 200], keptIn: 'memory', told: 1 }),
      twins: [{ 'web-storage.ts': ['context.blocked();', ''] }],
    }));
}

test('a body is sent as it is given, with its length, also when it is sent again', () =>
  prove(browser, {
    async scenario(run) {
      const tab = await run.tab({ adapter: 'memory' });
      await run.signIn(tab);
      run.gateway.endTokens();
      return tab.evaluate(async () => {
        const { body, length } = await (await sessile.fetch('/api/echo', { method: 'POST', body: 'twelve bytes' })).json();
        const request = new Request('/api/echo', { method: 'PUT', body: new Blob(['blob']), headers: { 'x-a': 'b' } });
        const second = await (await sessile.fetch(request)).json();
        return [body, length, second.method, second.body];
      });
    },
    check: (seen) => assert.deepEqual(seen, ['twelve bytes', '12', 'PUT', 'blob']),
    twins: [{ 'client.ts': ['deliver(again ? request.clone() : request)', 'deliver(new Request(request.url, { method: request.method, headers: request.headers }))'] }],
  }));
