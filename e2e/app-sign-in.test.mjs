// The app keeps its own sign-in endpoint and tells the gateway by a response header (product: app-asserted sign-in; ).
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { COOKIE, PASSWORD } from './lib/names.mjs';
import { listen } from './lib/process.mjs';
import { startWorld } from './lib/world.mjs';

describe('a sign-in of the app’s own', () => {
  let world;
  let elsewhere;

  before(async () => {
    // An upstream that asserts a sign-in on a route that is not configured for it.
    elsewhere = http.createServer((request, response) => {
      response.writeHead(200, { 'sessile-sign-in': '{"sub":"mallory"}', 'Sessile-Sign-Out': 'everywhere', 'content-type': 'text/plain' });
      response.end('hello');
    });
    const port = await listen(elsewhere);
    world = await startWorld({
      notes: true,
      notesEnv: { NOTES_ACCOUNTS: JSON.stringify({ grace: PASSWORD.grace }) },
      users: ['ada'],
      config: ({ notes }) => ({
        sign_in: { upstream_routes: ['POST /api/login', 'POST /api/logout'] },
        route: [
          { prefix: '/elsewhere', upstream: `http://127.0.0.1:${port}`, access: 'public' },
          { prefix: '/api/login', upstream: notes, access: 'public' },
          { prefix: '/', upstream: notes, access: 'session' },
        ],
      }),
    });
  });
  after(async () => {
    elsewhere?.closeAllConnections();
    elsewhere?.close();
    await world?.close();
  });

  const login = (client, password = PASSWORD.grace) => client.post('/api/login', { json: { username: 'grace', password } });

  test('the header becomes a session and never reaches the browser', async () => {
    const client = world.client();
    const response = await login(client);
    assert.equal(response.status, 200);
    assert.equal(response.headers['sessile-sign-in'], undefined);
    assert.deepEqual(response.json, { signed_in: true });
    assert.deepEqual([...client.cookies.keys()].sort(), Object.values(COOKIE).sort());
    const me = (await client.get('/api/me')).json;
    assert.equal(me.sub, 'grace');
    assert.deepEqual(me.amr, ['pwd']);
    assert.equal((await world.sessile.sessions('grace')).length, 1);
  });

  test('a wrong password makes no session', async () => {
    const client = world.client();
    assert.equal((await login(client, 'wrong')).status, 401);
    assert.equal(client.cookies.size, 0);
  });

  test('R-021 a second sign-in ends the session that was presented', async () => {
    const client = world.client();
    await login(client);
    const old = client.steal();
    await login(client);
    assert.equal((await client.get('/api/me')).status, 200);
    assert.equal((await old.get('/api/me')).status, 401);
  });

  test('the app’s sign-out header ends this session and is not passed on', async () => {
    const client = world.client();
    await login(client);
    const other = world.client();
    await login(other);
    const old = client.steal();
    const response = await client.post('/api/logout');
    assert.equal(response.status, 204);
    assert.equal(response.headers['sessile-sign-out'], undefined);
    assert.equal(client.cookies.size, 0);
    assert.equal((await old.get('/api/me')).status, 401);
    assert.equal((await other.get('/api/me')).status, 200);
  });

  test('negative control: the header from a route that is not configured counts for nothing', async () => {
    const signedIn = await world.signedIn('ada');
    for (const client of [world.client(), signedIn.steal()]) {
      const before = new Map(client.cookies);
      const response = await client.get('/elsewhere');
      assert.equal(response.text, 'hello');
      assert.equal(response.headers['sessile-sign-in'], undefined);
      assert.equal(response.headers['sessile-sign-out'], undefined);
      assert.deepEqual(client.cookies, before);
    }
    assert.equal((await world.sessile.sessions('mallory')).length, 0);
    assert.equal((await signedIn.get('/api/me')).json.sub, 'ada');
  });

  test('R-083 another site cannot sign a browser in through it', async () => {
    const client = world.client();
    const headers = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.test' };
    const response = await client.post('/api/login', { json: { username: 'grace', password: PASSWORD.grace }, headers });
    assert.equal(response.status, 403);
    assert.equal(client.cookies.size, 0);
  });
});
