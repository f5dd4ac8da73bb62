// A small server that plays the gateway's contract, an app behind it, and the pages of the browser tests. Sessions
// rotate and notice reuse as the real ones do. Tests steer it through the object that startGateway returns.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

export const COOKIE = '__Host-Http-sessile';
export const CSRF_TOKEN = 'csrf-1';
export const USERS = { ada: 'correct horse battery', grace: 'staple of the navy' };
const GRACE_MS = 10_000;
const IN_BODY = ['local-storage', 'session-storage', 'memory'];

// Tests set the client's clock; the server keeps its own.
const now = Date.now.bind(Date);

const json = (response, status, body, headers = {}) => {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(JSON.stringify(body));
};
const problem = (response, status, code, headers = {}, extra = {}) =>
  json(response, status, { status, code, title: code, detail: `Refused: ${code}.`, ...extra }, { 'content-type': 'application/problem+json', ...headers });

/**
 * @param {object} [options]
 * @param {string} [options.storage] the deployment's own storage
 * @param {string[]} [options.offers] what clients may ask for instead
 * @param {number} [options.access] life of an access token in seconds
 * @param {boolean} [options.clearSiteData] whether sign-out asks the browser to clear what the origin stored
 * @param {Record<string, {type: string, body: string}>} [options.files] what to serve besides
 */
export async function startGateway({ storage = 'memory', offers = [], access = 300, clearSiteData = true, files = {} } = {}) {
  const sessions = new Map();
  const tokens = new Map();
  const gateway = {
    storage,
    offers,
    access,
    files,
    /** Seconds until a session ends. */
    life: 3600,
    /** Whether an unsafe request needs a CSRF token, as from a browser that sends no Fetch Metadata. */
    wantsCsrfToken: false,
    /** Answers to give instead, by path: a function of (request, response) that returns whether it answered. */
    instead: new Map(),
    /** How often each endpoint was asked. */
    asked: {},
    /** What was forwarded to the app. */
    forwarded: [],
    /** Raw requests: method, url, headers. */
    seen: [],
    /** How often a superseded session token was presented: a client must never cause it. */
    reuse: 0,
    endSessions: () => sessions.clear(),
    endTokens: () => tokens.clear(),
    sessions,
  };

  const cookieOf = (request) => new RegExp(`(?:^|; )${COOKIE}=([^;]*)`).exec(request.headers.cookie ?? '')?.[1];
  const setCookie = (session) => ({ 'set-cookie': `${COOKIE}=${session.id}.${session.generation}; Path=/; Secure; HttpOnly; SameSite=Strict` });

  function bySessionToken(request) {
    const [id, generation] = (cookieOf(request) ?? '').split('.');
    const session = sessions.get(id);
    if (!session) return undefined;
    if (Number(generation) < session.generation - 1) {
      gateway.reuse += 1;
      sessions.delete(id);
      return undefined;
    }
    return { session, generation: Number(generation) };
  }

  function admitted(request) {
    const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (bearer !== undefined) {
      const token = tokens.get(bearer);
      const session = token && now() < token.end && sessions.get(token.id);
      // A token counts only where its storage puts it.
      return session && IN_BODY.includes(session.storage) && takes(session.storage) ? session : undefined;
    }
    const found = bySessionToken(request)?.session;
    return found && !IN_BODY.includes(storageNow(found)) ? found : undefined;
  }
  const takes = (name) => name === gateway.storage || gateway.offers.includes(name);
  const storageNow = (session) => (takes(session.storage) ? session.storage : gateway.storage);

  function describe(session) {
    return {
      id: session.id,
      subject: session.subject,
      storage: session.storage,
      remember: session.remember,
      expires_at: new Date(Math.floor(session.end / 1000) * 1000).toISOString().replace('.000', ''),
      absolute_end: new Date(session.end + 86_400_000).toISOString(),
    };
  }
  function withToken(session) {
    const body = { session: describe(session) };
    if (!IN_BODY.includes(session.storage)) return body;
    const token = `token-of-${session.subject}-${randomBytes(9).toString('base64url')}`;
    tokens.set(token, { id: session.id, end: now() + gateway.access * 1000 });
    return { ...body, access_token: token, token_type: 'Bearer', expires_in: gateway.access };
  }

  const endpoints = {
    'POST /auth/sign-in'(request, response, body) {
      const { username, password, remember = false, storage: wanted = gateway.storage } = JSON.parse(body);
      if (!takes(wanted)) return problem(response, 400, 'storage_not_offered');
      if (USERS[username] !== password) return problem(response, 401, 'sign_in_failed');
      const presented = bySessionToken(request);
      if (presented) sessions.delete(presented.session.id);
      const session = {
        id: randomBytes(8).toString('hex'),
        subject: username,
        generation: 0,
        rotated: 0,
        storage: wanted,
        remember,
        end: now() + gateway.life * 1000,
      };
      sessions.set(session.id, session);
      return json(response, 200, withToken(session), setCookie(session));
    },
    'POST /auth/refresh'(request, response) {
      const presented = bySessionToken(request);
      if (!presented || now() >= presented.session.end) return problem(response, 401, 'no_session');
      const { session, generation } = presented;
      session.storage = storageNow(session);
      if (['cookie', 'database'].includes(session.storage)) return problem(response, 400, 'storage_without_renewal');
      // At most one rotation per grace.
      if (generation === session.generation && now() - session.rotated >= GRACE_MS) {
        session.generation += 1;
        session.rotated = now();
      }
      return json(response, 200, withToken(session), setCookie(session));
    },
    'GET /auth/session'(request, response) {
      const session = bySessionToken(request)?.session;
      if (!session || now() >= session.end) return problem(response, 401, 'no_session');
      return json(response, 200, { session: describe(session) });
    },
    'GET /auth/csrf': (_request, response) => json(response, 200, { csrf_token: CSRF_TOKEN }),
    'POST /auth/sign-out'(request, response, body) {
      const { scope = 'this' } = JSON.parse(body || '{}');
      const session = bySessionToken(request)?.session;
      if (scope === 'others' && !session) return problem(response, 401, 'no_session');
      for (const [id, each] of sessions) {
        if (scope === 'this' ? each === session : each.subject === session?.subject && (scope === 'everywhere' || each !== session)) sessions.delete(id);
      }
      const headers = scope === 'others' ? {} : { 'set-cookie': `${COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0`, ...(clearSiteData && { 'clear-site-data': '"cache", "storage"' }) };
      return json(response, 200, { ended: 1 }, headers);
    },
  };

  const app = {
    echo: (request, response, body, session) =>
      json(response, 200, { method: request.method, body, subject: session.subject, bearer: 'authorization' in request.headers, length: request.headers['content-length'] ?? null }),
    'own-401': (_request, response) => json(response, 401, { error: 'the app says no' }),
    redirect(request, response) {
      response.writeHead(307, { location: new URL(request.url, 'http://localhost').searchParams.get('to') });
      response.end();
    },
    stream(_request, response) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let count = 0;
      const timer = setInterval(() => response.write(`data: ${(count += 1)}\n\n`), 20);
      response.on('close', () => {
        clearInterval(timer);
        gateway.streamsClosed = (gateway.streamsClosed ?? 0) + 1;
      });
    },
    empty(_request, response) {
      response.writeHead(204);
      response.end();
    },
  };

  async function serve(request, response) {
    const { pathname } = new URL(request.url, 'http://localhost');
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    gateway.seen.push({ method: request.method, url: request.url, headers: request.headers });
    if (pathname.startsWith('/auth/')) gateway.asked[pathname.slice(6)] = (gateway.asked[pathname.slice(6)] ?? 0) + 1;
    if (gateway.instead.get(pathname)?.(request, response)) return;

    const file = gateway.files[pathname];
    if (file) {
      response.writeHead(200, { 'content-type': file.type, 'cache-control': 'no-store', ...file.headers });
      response.end(file.body);
      return;
    }
    const unsafe = !['GET', 'HEAD'].includes(request.method);
    const proven = gateway.wantsCsrfToken ? request.headers['x-csrf-token'] === CSRF_TOKEN : request.headers['sec-fetch-site'] === 'same-origin';
    if (unsafe && !proven && !request.headers.authorization) return problem(response, 403, 'csrf_refused');
    const endpoint = endpoints[`${request.method} ${pathname}`];
    if (endpoint) return endpoint(request, response, body);
    if (pathname.startsWith('/api/')) {
      const session = admitted(request);
      if (!session) return problem(response, 401, 'no_session', { 'www-authenticate': 'Bearer' });
      gateway.forwarded.push({ method: request.method, url: request.url, body, subject: session.subject });
      const handler = app[pathname.slice(5)];
      if (handler) return handler(request, response, body, session);
    }
    return problem(response, 404, 'not_found');
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error) => {
      response.writeHead(500);
      response.end(String(error));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  gateway.origin = `http://localhost:${server.address().port}`;
  gateway.close = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return gateway;
}

/** Another origin, which lets everybody ask and writes down what it is sent. */
export async function startStranger() {
  const seen = [];
  const server = createServer((request, response) => {
    const allow = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*, authorization', 'access-control-allow-methods': '*' };
    if (request.method !== 'OPTIONS') seen.push({ method: request.method, url: request.url, headers: request.headers });
    response.writeHead(200, { 'content-type': 'application/json', ...allow });
    response.end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://localhost:${server.address().port}`,
    seen,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** An answer for `instead`: 503, `times` times. */
export function unavailable(times, retryAfter) {
  let left = times;
  return (_request, response) => {
    if ((left -= 1) < 0) return false;
    problem(response, 503, 'unavailable', retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) });
    return true;
  };
}

/** An answer for `instead`: the connection breaks. */
export const broken = (request) => {
  request.socket.destroy();
  return true;
};

/** An answer for `instead` that never comes. */
export const hanging = () => true;

/** An answer for `instead`. */
export const refusal = (status, code, headers, extra) => (_request, response) => {
  problem(response, status, code, headers, extra);
  return true;
};
