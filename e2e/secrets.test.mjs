// fault row K5: a whole life of sessions with logs at TRACE, and no secret in any log, metric, event or store byte.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { COOKIE, PASSWORD } from './lib/names.mjs';
import { sleep } from './lib/process.mjs';
import { Canaries, readTree } from './lib/secrets.mjs';
import { bearerOf } from './lib/sites.mjs';
import { startWorld } from './lib/world.mjs';

const WRONG_PASSWORD = 'mistyped-harbour-lantern-63';
const MASTER_KEY = randomBytes(32);

describe('secrets', () => {
  let world;
  let canaries;
  let places;
  let sessionId;

  before(async () => {
    world = await startWorld({
      env: {
        SESSILE_LOG: 'trace',
        SESSILE_SESSION_ACCESS: '2s',
        SESSILE_SESSION_GRACE: '1s',
        SESSILE_MASTER_KEY: MASTER_KEY.toString('base64'),
      },
      users: ['ada', 'grace'],
    });
    canaries = new Canaries();
    canaries.addText('password', PASSWORD.ada);
    canaries.addText('other password', PASSWORD.grace);
    canaries.addText('wrong password', WRONG_PASSWORD);
    canaries.addText('master key', MASTER_KEY);
    await live();
    places = await collect();
  });
  after(() => world?.close());

  /** Everything that carries a secret at least once: sign-in, renewal, reuse, sign-out, revocation, errors, key changes. */
  async function live() {
    const { sessile } = world;
    const collected = new Map();
    const note = (client) => {
      for (const [name, value] of client.cookies) collected.set(value, name);
    };
    const use = async (client) => {
      note(client);
      const response = await client.get('/data');
      note(client);
      if (response.status === 200) collected.set(bearerOf(world.echo.last()), 'upstream token');
      return response.status;
    };

    await world.client().post('/auth/sign-in', { json: { username: 'ada', password: WRONG_PASSWORD } });
    await world.client().post('/auth/sign-in', { form: { username: 'ada', password: WRONG_PASSWORD } });
    await world.client().post('/auth/sign-in', { body: `{"username":"ada","password":"${WRONG_PASSWORD}"`, headers: { 'content-type': 'application/json' } });
    await world.client().get(`/auth/sign-in?username=ada&password=${WRONG_PASSWORD}`);

    const owner = await world.signedIn('ada');
    const other = await world.signedIn('ada', { remember: true });
    const grace = await world.signedIn('grace');
    const thief = owner.steal();
    sessionId = owner.session.id;
    note(thief);
    for (const client of [owner, other, grace]) assert.equal(await use(client), 200);
    const csrf = await owner.get('/auth/csrf');
    collected.set(csrf.json.csrf_token, 'CSRF token');

    await sleep(2400);
    assert.equal(await use(owner), 200, 'renewal');
    assert.equal(await use(owner), 200);
    for (const [name, value] of owner.cookies) {
      await use(owner.holding({ [name]: `${value.slice(0, -2)}xx` }));
      await use(owner.holding({ [name]: `${value}${value}` }));
    }
    await owner.get('/x', { headers: { authorization: `Bearer ${owner.accessToken}` } });
    await owner.get(`/x?token=${owner.accessToken}`);
    await sleep(2400);
    assert.equal(await use(thief), 401, 'reuse');
    await grace.post('/auth/sign-out', { json: { scope: 'this' } });
    await use(grace);
    await sessile.cli(['keys', 'rotate']);
    await sessile.revoke(other.session.id);
    await use(other);
    await sessile.tryCli(['user', 'passwd', 'grace', '--password-stdin'], { input: `${PASSWORD.grace}\n` });

    // A token in the query of a forwarded request is the client's own doing; the gateway still must not log it.
    for (const [secret, name] of collected) if (secret) canaries.addToken(name, secret);
    assert.ok(collected.size >= 12, `${collected.size} tokens seen`);
  }

  /** Every place an operator or a thief of files could read. */
  async function collect() {
    const { sessile } = world;
    const outputs = [
      ['command output', sessile.cliOutput],
      ['metrics', await sessile.metrics()],
      ['audit export', (await sessile.tryCli(['audit', 'export', '--json'])).output],
      ['session list', (await sessile.tryCli(['session', 'list', '--json'])).output],
      ['keys list', (await sessile.tryCli(['keys', 'list', '--json'])).output],
    ];
    const running = readTree(world.data).map(({ path, bytes }) => [`${path} (running)`, bytes]);
    await sessile.stop();
    const stopped = readTree(world.data).map(({ path, bytes }) => [`${path} (stopped)`, bytes]);
    return [['log', sessile.output], ...outputs, ...running, ...stopped];
  }

  test('R-169 no secret is in any log, metric, event or store byte', () => {
    assert.deepEqual(places.flatMap(([place, bytes]) => canaries.search(place, bytes)), []);
  });

  test('negative control: the logs are at TRACE and the places are the right ones', () => {
    const marks = new Canaries();
    marks.addText('session id', sessionId);
    const found = places.flatMap(([place, bytes]) => marks.search(place, bytes));
    assert.ok(found.includes('session id in audit export'), found.join('\n'));
    assert.ok(found.includes('session id in log'), found.join('\n'));
    assert.match(world.sessile.output, /"level":"debug","message":"answered"/, 'the log is on a level below info');
    assert.ok(places.some(([place, bytes]) => / \(running\)$/.test(place) && bytes.includes('SQLite format 3')), 'the store file was read');
  });

  test('negative control: a planted canary is found, in each spelling and in each kind of place', () => {
    const file = join(world.dir, 'planted');
    const token = `AAAAAAAAAAAAAAAAAAAAAA.3.${randomBytes(32).toString('base64url')}`;
    const mac = Buffer.from(token.split('.')[2], 'base64url');
    const planted = new Canaries();
    planted.addToken('session token', token);
    planted.addText('password', PASSWORD.ada);
    for (const bytes of [
      `cookie: ${COOKIE.session}=${token}`,
      mac,
      `mac=${mac.toString('hex')}`,
      `Secret([${[...mac].join(', ')}])`,
    ]) {
      writeFileSync(file, 'noise ');
      appendFileSync(file, bytes);
      const [{ bytes: read }] = readTree(world.dir).filter(({ path }) => path === 'planted');
      assert.deepEqual(planted.search('file', read), ['session token in file']);
    }
    assert.deepEqual(planted.search('log', `form: password=${encodeURIComponent(PASSWORD.ada)}`), ['password in log']);
    assert.deepEqual(planted.search('log', `AAAAAAAAAAAAAAAAAAAAAA is a session id`), [], 'the public part alone is no secret');
  });

  test('R-165 the data directory and the key in it are the owner’s alone', async () => {
    const keyed = await startWorld({ users: [] });
    try {
      const key = readTree(keyed.data).filter(({ bytes, path }) => bytes.length <= 200 && bytes.length >= 32 && /key/i.test(path));
      assert.equal(key.length, 1, 'one master key file');
      assert.equal(key[0].mode, 0o600);
      const own = new Canaries();
      own.addText('master key', key[0].bytes.toString('utf8').trim());
      own.addText('master key bytes', Buffer.from(key[0].bytes.toString('utf8').trim(), 'base64'));
      const elsewhere = [['log', keyed.sessile.output], ...readTree(keyed.data).filter(({ path }) => path !== key[0].path).map(({ path, bytes }) => [path, bytes])];
      assert.deepEqual(elsewhere.flatMap(([place, bytes]) => own.search(place, bytes)), []);
    } finally {
      await keyed.close();
    }
  });
});
