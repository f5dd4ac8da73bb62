// What a browser adds to Node.js' fetch: a cookie jar and Fetch Metadata, shared by its tabs.
export class Browser {
  cookies = new Map();
  /** Set to make the network fail. */
  offline = false;
  fetchMetadata = true;

  constructor(origin) {
    this.origin = origin;
  }

  fetch = async (request) => {
    if (this.offline) throw new TypeError('fetch failed');
    const headers = new Headers(request.headers);
    if (this.fetchMetadata) headers.set('sec-fetch-site', new URL(request.url).origin === this.origin ? 'same-origin' : 'cross-site');
    if (new URL(request.url).origin === this.origin && this.cookies.size) {
      headers.set('cookie', [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '));
    }
    const response = await fetch(new Request(request, { headers }));
    // Node.js shows a redirect that it does not follow; a browser hides all of it.
    if (request.redirect === 'manual' && response.headers.has('location')) return Object.defineProperty(Response.error(), 'type', { value: 'opaqueredirect' });
    for (const line of response.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split('; ');
      const at = pair.indexOf('=');
      if (attributes.includes('Max-Age=0')) this.cookies.delete(pair.slice(0, at));
      else this.cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return response;
  };
}

/** Web Locks as far as the client uses them. */
export function fakeLocks() {
  const tails = new Map();
  return {
    held: new Set(),
    async request(name, { signal }, work) {
      const before = tails.get(name) ?? Promise.resolve();
      let release;
      tails.set(name, before.then(() => new Promise((resolve) => (release = resolve))));
      await Promise.race([
        before,
        new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
      ]).catch((error) => {
        before.then(() => release());
        throw error;
      });
      this.held.add(name);
      try {
        return await work({ name });
      } finally {
        this.held.delete(name);
        await Promise.resolve();
        release();
      }
    },
  };
}

/** A web storage in memory; `refuse` names what throws: 'access', 'getItem', 'setItem'. */
export function fakeStorage() {
  const items = new Map();
  const storage = {
    refuse: new Set(),
    items,
    getItem: (key) => (check('getItem'), items.get(key) ?? null),
    setItem: (key, value) => (check('setItem'), void items.set(key, String(value))),
    removeItem: (key) => void items.delete(key),
  };
  const check = (name) => {
    if (storage.refuse.has(name)) throw new DOMException('refused', name === 'setItem' ? 'QuotaExceededError' : 'SecurityError');
  };
  return storage;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` holds, and fails if it does not in time. */
export async function eventually(condition, what = String(condition), ms = 5000) {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`did not happen in ${ms} ms: ${what}`);
    await sleep(10);
  }
}
