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

/** An upstream that answers every request with its own method, target and raw headers. */
export async function startEcho() {
  const seen = [];
  const server = http.createServer((request, response) => {
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
