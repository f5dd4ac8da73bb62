// The seven storages as seen from outside, and a page's own script for those whose token comes in a body.
import { COOKIE } from './names.mjs';

/**
 * `token`: where the access token goes. `cookies`: what the browser holds. `renewal`: whose doing it is. `readable`: where
 * a script that looks for the token finds it.
 */
export const STORAGES = {
  hybrid: { token: 'cookie', cookies: [COOKIE.session, COOKIE.access], renewal: 'gateway', readable: [] },
  'server-session': { token: 'server', cookies: [COOKIE.session], renewal: 'gateway', readable: [] },
  database: { token: 'cookie', cookies: [COOKIE.access], renewal: 'never', readable: [] },
  cookie: { token: 'cookie', cookies: [COOKIE.access], renewal: 'never', readable: [] },
  memory: { token: 'body', cookies: [COOKIE.session], renewal: 'client', readable: [] },
  'session-storage': { token: 'body', cookies: [COOKIE.session], renewal: 'client', readable: ['sessionStorage'] },
  'local-storage': { token: 'body', cookies: [COOKIE.session], renewal: 'client', readable: ['localStorage'] },
};

export const NAMES = Object.keys(STORAGES);
export const BODY_DELIVERED = NAMES.filter((name) => STORAGES[name].token === 'body');

/** The `[session]` table for a storage, with the acknowledgement that some of them ask for. */
export function sessionTable(storage, more = {}) {
  return { storage, ...(STORAGES[storage].readable.length > 0 ? { danger_script_readable_token: true } : {}), ...more };
}

/** What a JWT says, unverified. */
export const claimsOf = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));

/** Anything shaped like one of our JWTs. */
export const JWT = /eyJ[\w-]{10,}\.eyJ/;

/**
 * Runs in each page before its own scripts: `app` signs in, calls and refreshes, and keeps the token where `storage` says.
 * Of cookie storages it never sees one.
 */
export function appScript(storage) {
  let held;
  const key = 'access_token';
  const keeps = {
    'local-storage': { get: () => localStorage.getItem(key), set: (token) => localStorage.setItem(key, token) },
    'session-storage': { get: () => sessionStorage.getItem(key), set: (token) => sessionStorage.setItem(key, token) },
    memory: { get: () => held, set: (token) => (held = token) },
  };
  const keep = keeps[storage] ?? { get: () => undefined, set() {} };

  const call = async (path, { method = 'GET', json } = {}) => {
    const headers = {};
    if (json !== undefined) headers['content-type'] = 'application/json';
    const token = keep.get();
    if (token) headers.authorization = `Bearer ${token}`;
    const response = await fetch(path, { method, headers, body: json === undefined ? undefined : JSON.stringify(json) });
    return { status: response.status, text: await response.text() };
  };
  const keepTokenOf = (answer) => {
    const token = answer.status === 200 && JSON.parse(answer.text).access_token;
    if (token) keep.set(token);
    return answer;
  };

  const refresh = async () => keepTokenOf(await call('/auth/refresh', { method: 'POST' }));
  window.app = {
    call,
    refresh,
    signIn: async (json) => keepTokenOf(await call('/auth/sign-in', { method: 'POST', json })),
    /** As `call`, with one refresh when the token has ended: what a client of these storages has to do. */
    reach: async (path) => {
      const answer = await call(path);
      return answer.status === 401 && storage in keeps && (await refresh()).status === 200 ? call(path) : answer;
    },
  };
}

/** In which of the places that scripts can read a page's script finds `text`. */
export function readablePlaces(page, text) {
  return page.evaluate(async (text) => {
    const places = {
      'document.cookie': document.cookie,
      cookieStore: await cookieStore.getAll(),
      localStorage: { ...localStorage },
      sessionStorage: { ...sessionStorage },
      window: Object.values(window).filter((value) => typeof value === 'string'),
      document: document.documentElement.outerHTML,
    };
    return Object.keys(places).filter((name) => JSON.stringify(places[name]).includes(text));
  }, text);
}
