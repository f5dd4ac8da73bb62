import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { asciiJson } from '../src/accounts.mjs';
import { ConfigError, readConfig } from '../src/config.mjs';
import { startApp } from './world.mjs';

test('notes belong to their subject', async (t) => {
  const { call } = await startApp(t);
  const added = await call('POST', '/api/notes', { as: 'ada', body: { text: '  milk ' } });
  assert.equal(added.status, 201);
  const { id, text } = await added.json();
  assert.equal(text, 'milk');

  const of = async (subject) => (await (await call('GET', '/api/notes', { as: subject })).json()).notes.map((note) => note.id);
  assert.deepEqual(await of('ada'), [id]);
  assert.deepEqual(await of('grace'), []);
  assert.equal((await call('DELETE', `/api/notes/${id}`, { as: 'grace' })).status, 404);
  assert.deepEqual(await of('ada'), [id]);
  assert.equal((await call('DELETE', `/api/notes/${id}`, { as: 'ada' })).status, 204);
  assert.deepEqual(await of('ada'), []);
});

test('what is not a note is refused with a reason', async (t) => {
  const { call } = await startApp(t);
  const refused = async (options, status) => assert.equal((await call('POST', '/api/notes', { as: 'ada', ...options })).status, status);
  await refused({ body: { text: ' ' } }, 400);
  await refused({ body: { text: 7 } }, 400);
  await refused({ body: { text: 'x'.repeat(2001) } }, 400);
  await refused({ body: ['text'] }, 400);
  await refused({ body: { text: 'x'.repeat(70_000) } }, 413);
  await refused({ body: { text: 'x' }, headers: { 'content-type': 'text/plain' } }, 415);
});

test('text is text: the printed page shows markup, it does not run it', async (t) => {
  const { call } = await startApp(t);
  await call('POST', '/api/notes', { as: 'ada', body: { text: '<img src=x onerror=alert(1)>' } });
  const response = await call('GET', '/print', { as: 'ada' });
  const page = await response.text();
  assert.match(page, /&lt;img src=x/);
  assert.doesNotMatch(page, /<img src=x/);
  assert.equal(response.headers.get('cache-control'), 'no-store');
});

test('notes outlive a restart when there is a file for them', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'notes-'));
  t.after(() => rm(dir, { recursive: true }));
  const notesFile = join(dir, 'notes.json');
  const first = await startApp(t, { notesFile });
  await Promise.all(['a', 'b', 'c'].map((text) => first.call('POST', '/api/notes', { as: 'ada', body: { text } })));
  assert.equal((await stat(notesFile)).mode & 0o777, 0o600);
  assert.equal(JSON.parse(await readFile(notesFile, 'utf8')).ada.length, 3);

  const second = await startApp(t, { notesFile });
  const { notes } = await (await second.call('GET', '/api/notes', { as: 'ada' })).json();
  assert.deepEqual(notes.map((note) => note.text).sort(), ['a', 'b', 'c']);
});

test('streams count and make bytes without keeping them', async (t) => {
  const { call, origin, token } = await startApp(t);
  const body = Buffer.alloc(3_000_001, 'notes');
  const response = await fetch(`${origin}/api/upload`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await token()}` },
    body,
  });
  assert.deepEqual(await response.json(), { bytes: body.length, sha256: createHash('sha256').update(body).digest('hex') });

  for (const bytes of [0, 1, 65_536, 200_001]) {
    const download = await call('GET', `/api/download?bytes=${bytes}`, { as: 'ada' });
    assert.equal((await download.arrayBuffer()).byteLength, bytes);
  }
  for (const bytes of ['', '-1', '1e3', '99999999999999']) {
    assert.equal((await call('GET', `/api/download?bytes=${bytes}`, { as: 'ada' })).status, 400, bytes);
  }
});

test('an event stream tells only its own subject that notes changed', async (t) => {
  const { call } = await startApp(t);
  const listen = async (subject) => {
    const response = await call('GET', '/api/events', { as: subject });
    const seen = { text: '' };
    const decoder = new TextDecoder();
    seen.done = (async () => {
      for await (const chunk of response.body) {
        seen.text += decoder.decode(chunk, { stream: true });
        if (seen.text.includes('event: notes')) break;
      }
    })();
    return seen;
  };
  const ada = await listen('ada');
  const grace = await listen('grace');
  await call('POST', '/api/notes', { as: 'ada', body: { text: 'x' } });
  await ada.done;
  assert.match(ada.text, /event: ready[^]*event: notes/);
  assert.doesNotMatch(grace.text, /event: notes/);
});

test('the WebSocket needs a token and counts open pages', async (t) => {
  const { origin, token } = await startApp(t);
  const url = `${origin.replace('http', 'ws')}/api/live`;
  const open = (headers) =>
    new Promise((resolve) => {
      const socket = new WebSocket(url, { headers });
      const inbox = [];
      socket.on('message', (data) => inbox.push(JSON.parse(data)));
      socket.on('open', () => resolve({ socket, inbox }));
      socket.on('unexpected-response', (_, response) => resolve({ status: response.statusCode }));
      socket.on('error', () => {});
    });
  assert.equal((await open({})).status, 401);
  const authorization = `Bearer ${await token()}`;
  const first = await open({ authorization });
  const second = await open({ authorization });
  await until(() => first.inbox.at(-1)?.open === 2);
  first.socket.send('{"type":"ping"}');
  await until(() => first.inbox.at(-1)?.type === 'pong');
  second.socket.close();
  await until(() => first.inbox.at(-1)?.open === 1);
  first.socket.close();
});

test('the app’s own sign-in names the subject in a header, for the right password only', async (t) => {
  const accounts = { grace: 'a long enough password', 'zoë': 'another long password' };
  const { call } = await startApp(t, { accounts });
  const login = (body) => call('POST', '/api/login', { body });

  const good = await login({ username: 'grace', password: accounts.grace, remember: true });
  assert.equal(good.status, 200);
  assert.deepEqual(JSON.parse(good.headers.get('sessile-sign-in')), { sub: 'grace', claims: {}, amr: ['pwd'], remember: true });

  const accented = await login({ username: 'zoë', password: accounts['zoë'] });
  assert.match(accented.headers.get('sessile-sign-in'), /^[\x20-\x7e]+$/);
  assert.equal(JSON.parse(accented.headers.get('sessile-sign-in')).sub, 'zoë');

  for (const body of [{ username: 'grace', password: 'wrong' }, { username: 'nobody', password: '' }, { username: 'constructor', password: '' }, {}]) {
    const bad = await login(body);
    assert.equal(bad.status, 401, JSON.stringify(body));
    assert.equal(bad.headers.get('sessile-sign-in'), null);
  }
  const { call: without } = await startApp(t);
  assert.equal((await without('POST', '/api/login', { body: {} })).status, 404);
});

test('signing out through the app asks the gateway to end this session', async (t) => {
  const { call } = await startApp(t);
  const response = await call('POST', '/api/logout', { as: 'ada' });
  assert.equal(response.status, 204);
  assert.equal(response.headers.get('sessile-sign-out'), 'this');
});

test('configuration: all mistakes in one message', () => {
  assert.throws(
    () => readConfig({ PORT: 'x', SESSILE_JWKS: 'file:///etc/passwd', NOTES_ACCOUNTS: '[1]' }),
    (error) => error instanceof ConfigError && ['PORT', 'SESSILE_JWKS', 'SESSILE_ISSUER', 'SESSILE_AUDIENCE', 'NOTES_ACCOUNTS'].every((name) => error.message.includes(name)),
  );
  assert.equal(readConfig({ SESSILE_JWKS: 'http://127.0.0.1/x', SESSILE_ISSUER: 'i', SESSILE_AUDIENCE: 'a' }).port, 3000);
});

test('JSON in a header stays ASCII', () => {
  assert.equal(asciiJson('é\u{1F600}'), '"\\u00e9\\ud83d\\ude00"');
});

async function until(condition) {
  for (const end = Date.now() + 5000; !condition(); ) {
    assert.ok(Date.now() < end, 'waited five seconds');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
