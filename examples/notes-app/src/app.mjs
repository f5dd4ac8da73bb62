// The service: which path does what, and what it answers when it will not.
import { createServer } from 'node:http';
import { checkPassword, signInHeader } from './accounts.mjs';
import { HttpError, readJson, sendJson, sendProblem } from './http.mjs';
import { KeysUnavailable, Unauthenticated, createVerifier } from './identity.mjs';
import { Live } from './live.mjs';
import { NoteRefused, Notes } from './notes.mjs';
import { STATIC, sendPrint, sendStatic } from './pages.mjs';
import { receiveUpload, sendDownload } from './transfer.mjs';

/**
 * @param {ReturnType<import('./config.mjs').readConfig>} config
 * @param {{keys?: import('jose').JWTVerifyGetKey, log?: (line: string) => void}} [options]
 */
export async function createApp(config, { keys, log = console.error } = {}) {
  const identify = createVerifier(config, keys);
  const notes = await Notes.open(config.notesFile);
  const live = new Live();

  async function answer(request, response) {
    const url = new URL(request.url, 'http://app.invalid');
    const { method } = request;
    const route = `${method === 'HEAD' ? 'GET' : method} ${url.pathname}`;

    // The two paths that need no token: is it up, and the sign-in of the app's own.
    if (route === 'GET /healthz') return sendJson(response, 200, { status: 'ok' });
    if (route === 'POST /api/login') return signIn(request, response);

    const claims = await identify(request);
    const subject = claims.sub;

    const file = method === 'GET' || method === 'HEAD' ? STATIC.get(url.pathname) : undefined;
    if (file) return sendStatic(response, file, method);

    switch (route) {
      case 'GET /print':
        return sendPrint(response, subject, notes.list(subject));
      case 'GET /api/me':
        return sendJson(response, 200, { sub: subject, sid: claims.sid, amr: claims.amr ?? [], expires_at: claims.exp });
      case 'GET /api/notes':
        return sendJson(response, 200, { notes: notes.list(subject) });
      case 'POST /api/notes': {
        const note = await notes.add(subject, (await readJson(request)).text);
        live.notesChanged(subject);
        return sendJson(response, 201, note);
      }
      case 'GET /api/events':
        return live.stream(subject, request, response);
      case 'POST /api/upload':
        return receiveUpload(request, response);
      case 'GET /api/download':
        return sendDownload(url, response);
      case 'POST /api/logout':
        response.writeHead(204, { 'sessile-sign-out': 'this', 'cache-control': 'no-store' });
        return response.end();
    }

    const id = /^\/api\/notes\/([0-9a-f-]{36})$/.exec(url.pathname)?.[1];
    if (method === 'DELETE' && id) {
      if (!(await notes.remove(subject, id))) throw new HttpError(404, 'There is no such note.');
      live.notesChanged(subject);
      response.writeHead(204, { 'cache-control': 'no-store' });
      return response.end();
    }
    throw new HttpError(404, 'There is nothing here.');
  }

  async function signIn(request, response) {
    if (config.accounts.size === 0) throw new HttpError(404, 'There is nothing here.');
    const { username, password, remember } = await readJson(request);
    const subject = checkPassword(config.accounts, username, password);
    if (subject === undefined) throw new HttpError(401, 'Name or password is wrong.');
    sendJson(response, 200, { signed_in: true }, { 'sessile-sign-in': signInHeader(subject, remember) });
  }

  function fail(error, response) {
    if (response.headersSent || response.destroyed) return response.destroy();
    if (error instanceof Unauthenticated) {
      return sendProblem(response, 401, 'A valid access token is needed.', { 'www-authenticate': 'Bearer' });
    }
    if (error instanceof HttpError) return sendProblem(response, error.status, error.message, error.headers);
    if (error instanceof NoteRefused) return sendProblem(response, 400, error.message);
    log(`notes: ${error.stack ?? error}`);
    if (error instanceof KeysUnavailable) return sendProblem(response, 503, 'Keys are not available.', { 'retry-after': '1' });
    return sendProblem(response, 500, 'Something went wrong.');
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error) => fail(error, response));
  });
  // Uploads may take as long as they keep moving; only a head that never ends is cut off.
  server.requestTimeout = 0;

  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    const refuse = (status) => socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    if (request.url !== '/api/live') return refuse('404 Not Found');
    identify(request).then(
      (claims) => live.upgrade(claims.sub, request, socket, head),
      (error) => refuse(error instanceof Unauthenticated ? '401 Unauthorized' : '503 Service Unavailable'),
    );
  });

  return {
    server,
    close() {
      live.close();
      server.close();
      server.closeIdleConnections();
    },
  };
}
