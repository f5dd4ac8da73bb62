// The injected script. What it may do, any script may that runs on the page: an injection, a dependency, a tag manager.
const LATE = here.has('late');
const captured = [];
const TOKEN = /[\w-]{8,}(?:\.[\w-]*){1,2}/g;

function keep(where, text) {
  for (const value of String(text).match(TOKEN) ?? []) {
    if (value.length >= 40 && captured.length < 50) captured.push({ where, value });
  }
}

// ---- waiting for a token to pass by

function wrap(object, name, look) {
  const original = object[name];
  object[name] = function (...given) {
    try {
      look.call(this, ...given);
    } catch {}
    return Reflect.apply(original, this, given);
  };
}

function listen() {
  const headersOf = (init) => [...new Headers(init?.headers ?? {})].join('\n');
  const original = window.fetch;
  window.fetch = async function (input, init) {
    keep('fetch', headersOf(init));
    if (input instanceof Request) keep('fetch', headersOf(input));
    const response = await Reflect.apply(original, this, [input, init]);
    response
      .clone()
      .text()
      .then((text) => keep('an answer to fetch', text))
      .catch(() => {});
    return response;
  };
  wrap(Headers.prototype, 'set', (name, value) => keep('Headers.set', value));
  wrap(Headers.prototype, 'append', (name, value) => keep('Headers.append', value));
  wrap(XMLHttpRequest.prototype, 'setRequestHeader', (name, value) => keep('XMLHttpRequest', value));
  wrap(Storage.prototype, 'setItem', (name, value) => keep('Storage.setItem', value));
  wrap(Worker.prototype, 'postMessage', (message) => keep('Worker.postMessage', JSON.stringify(message)));
  wrap(MessagePort.prototype, 'postMessage', (message) => keep('MessagePort.postMessage', JSON.stringify(message)));
  wrap(BroadcastChannel.prototype, 'postMessage', (message) => keep('BroadcastChannel', JSON.stringify(message)));
  wrap(JSON, 'parse', (text) => keep('JSON.parse', text));
  const { json } = Response.prototype;
  Response.prototype.json = async function () {
    const value = await Reflect.apply(json, this, []);
    keep('Response.json', JSON.stringify(value));
    return value;
  };
  window.Request = new Proxy(Request, {
    construct(target, given) {
      const request = Reflect.construct(target, given);
      keep('Request', headersOf(request));
      return request;
    },
  });
}

// ---- looking for a token at rest

/** Every text that can be reached from `root` by properties, entries and prototypes, and the way to it. */
function* reachable(root, name) {
  const seen = new Set([window.location]);
  const queue = [[root, name, 0]];
  while (queue.length > 0 && seen.size < 20_000) {
    const [value, path, depth] = queue.shift();
    if (typeof value === 'string') yield [path, value];
    if (value === null || (typeof value !== 'object' && typeof value !== 'function') || seen.has(value)) continue;
    seen.add(value);
    if (depth === 7 || value instanceof Node || value instanceof CSSStyleSheet) continue;
    try {
      if (value instanceof Map) queue.push([[...value], `${path}.entries`, depth + 1]);
      if (value instanceof Set) queue.push([[...value], `${path}.values`, depth + 1]);
      for (const key of Reflect.ownKeys(value)) {
        try {
          queue.push([value[key], `${path}.${String(key)}`, depth + 1]);
        } catch {}
      }
      const prototype = Object.getPrototypeOf(value);
      if (prototype && prototype !== Object.prototype && prototype !== Function.prototype) {
        for (const key of Reflect.ownKeys(prototype)) {
          try {
            if (Object.getOwnPropertyDescriptor(prototype, key)?.get) queue.push([value[key], `${path}.${String(key)}`, depth + 1]);
          } catch {}
        }
      }
    } catch {}
  }
}

async function* databases() {
  for (const { name } of (await indexedDB.databases?.()) ?? []) {
    const database = await new Promise((done, failed) => {
      const opening = indexedDB.open(name);
      opening.onsuccess = () => done(opening.result);
      opening.onerror = opening.onblocked = () => failed(opening.error);
    });
    for (const store of database.objectStoreNames) {
      const rows = await new Promise((done) => {
        const reading = database.transaction(store).objectStore(store).getAll();
        reading.onsuccess = () => done(reading.result);
        reading.onerror = () => done([]);
      });
      yield [`IndexedDB ${name}.${store}`, rows];
    }
    database.close();
  }
}

async function modules() {
  const loaded = performance.getEntriesByType('resource').map(({ name }) => name);
  const own = loaded.filter((url) => new URL(url).origin === location.origin && /\.m?js(\?|$)/.test(url));
  const all = await Promise.allSettled(own.filter((url) => !url.includes('driver')).map((url) => import(url)));
  return all.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
}

async function read() {
  const found = new Map();
  const look = (where, text) => {
    for (const value of text.match(TOKEN) ?? []) {
      if (value.length >= 40 && !found.has(value) && found.size < 30) found.set(value, where);
    }
  };
  look('document.cookie', document.cookie);
  for (const [name, store] of [['localStorage', localStorage], ['sessionStorage', sessionStorage]]) {
    for (let i = 0; i < store.length; i += 1) look(`${name}.${store.key(i)}`, store.getItem(store.key(i)));
  }
  look('the page\'s HTML', document.documentElement.outerHTML);
  try {
    for (const cookie of (await window.cookieStore?.getAll()) ?? []) look('cookieStore', `${cookie.name}=${cookie.value}`);
  } catch {}
  for await (const [where, rows] of databases()) for (const [path, text] of reachable(rows, where)) look(path, text);
  for (const [path, text] of reachable(window, 'window')) look(path, text);
  for (const module of await modules()) for (const [path, text] of reachable(module, 'a module of the page')) look(path, text);
  return [...found].map(([value, where]) => ({ where, value }));
}

if (!LATE) listen();
workFor('inject', {
  ...userActs,
  listen,
  captured: () => captured,
  read,
  // The app's own code sends it, with whatever it attaches.
  use: async ({ text }) => {
    const { call } = await app();
    return reply(await call('/api/notes', { method: 'POST', body: new URLSearchParams({ text }) }));
  },
  refresh: async () => {
    const response = await send('/auth/refresh', { method: 'POST' });
    const text = await response.text();
    return { status: response.status, found: (text.match(TOKEN) ?? []).filter((value) => value.length >= 40) };
  },
});
