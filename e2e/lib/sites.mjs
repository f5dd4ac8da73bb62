// Servers that live in the test process: an upstream that tells what it received, and a hostile site.
import http from 'node:http';
import https from 'node:https';
import { listen } from './process.mjs';

/** As CGI, WSGI and PHP spell a field name: what an app behind such a gateway reads. */
export const fold = (name) => name.toUpperCase().replace(/[-.]/g, '_');

/** Raw headers as an app that folds names sees them: values of names that fold together, joined. */
export function folded(raw) {
  const seen = new Map();
  for (let i = 0; i < raw.length; i += 2) {
    const name = fold(raw[i].trim());
    seen.set(name, seen.has(name) ? `${seen.get(name)},${raw[i + 1]}` : raw[i + 1]);
  }
  return seen;
}

/**
 * An upstream that answers every request with its own method, target and raw headers.
 * @param {Record<string, {type: string, body: string | Buffer}>} [pages] paths that are answered with these instead
 */
export async function startEcho(pages = {}) {
  const seen = [];
  const server = http.createServer((request, response) => {
    const page = pages[request.url];
    if (page) {
      response.writeHead(200, { 'content-type': page.type });
      return response.end(page.body);
    }
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const record = { method: request.method, url: request.url, raw: request.rawHeaders, body: Buffer.concat(chunks).toString('latin1') };
      seen.push(record);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(record));
    });
  });
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    last: () => seen.at(-1),
    close: () => close(server),
  };
}

/**
 * An upstream with a login of its own: `POST .../login` is answered with an assertion of whatever its body says, and
 * every other request as by the echo.
 */
export async function startLogin() {
  const seen = [];
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('latin1');
      seen.push({ method: request.method, url: request.url, raw: request.rawHeaders, body });
      const asserts = request.method === 'POST' && request.url.endsWith('/login');
      response.writeHead(200, { 'content-type': 'text/plain', ...(asserts ? { 'sessile-sign-in': body } : {}) });
      response.end('done');
    });
  });
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}`, seen, last: () => seen.at(-1), close: () => close(server) };
}

/** The bearer token in a record of the echo upstream. */
export function bearerOf(record) {
  return /^Bearer (.+)$/.exec(folded(record.raw).get('AUTHORIZATION') ?? '')?.[1];
}

/**
 * A site that serves pages and redirects given as `routes`: path -> {status, headers, body} or a function of the request.
 * It answers under every name of the certificate, so it is evil.test, and app.test on another port, at once.
 */
export async function startSite({ certPem, keyPem }, routes = {}) {
  const seen = [];
  const server = https.createServer({ cert: certPem, key: keyPem }, (request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const url = new URL(request.url, 'https://site.invalid');
      seen.push({ method: request.method, url: request.url, host: request.headers.host, headers: request.headers, body: Buffer.concat(chunks).toString('utf8') });
      const route = routes[url.pathname];
      const answer = (typeof route === 'function' ? route(request, url) : route) ?? { status: 404, body: 'nothing here' };
      response.writeHead(answer.status ?? 200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store', ...answer.headers });
      response.end(answer.body ?? '');
    });
  });
  const port = await listen(server);
  return {
    port,
    routes,
    seen,
    origin: (host = 'evil.test') => `https://${host}:${port}`,
    close: () => close(server),
  };
}

function close(server) {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
}
