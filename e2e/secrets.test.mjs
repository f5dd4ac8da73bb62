// fault row K5: a whole life of sessions with logs at TRACE, and no secret in any log, metric, event or store byte.
// And what a thief of the store finds of sessions of each storage: nothing that opens anything.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { COOKIE, PASSWORD } from './lib/names.mjs';
import { sleep } from './lib/process.mjs';
import { Canaries, readTree } from './lib/secrets.mjs';
import { Sessile } from './lib/sessile.mjs';
import { bearerOf, startLogin } from './lib/sites.mjs';
import { NAMES, STORAGES, claimsOf } from './lib/storages.mjs';
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

describe('a copy of the store, of sessions of all seven storages', () => {
  const copy = () => join(world.dir, 'copy');
  let world;
  let app;
  let canaries;
  /** By storage: a client with all it was given, and what its newest access token says. */
  const holders = new Map();

  before(async () => {
    app = await startLogin();
    world = await startWorld({
      users: [],
      config: () => ({
        session: { danger_script_readable_token: true, access: '2s', grace: '1s' },
        sign_in: { upstream_routes: NAMES.map((storage) => `POST /${storage}/login`) },
        route: NAMES.flatMap((storage) => [
          { prefix: `/${storage}/login`, upstream: app.url, access: 'public', storage },
          { prefix: `/${storage}`, upstream: app.url, access: 'session', storage },
        ]),
      }),
    });
    canaries = new Canaries();
    for (const storage of NAMES) holders.set(storage, { client: await begin(storage) });
    for (const storage of NAMES) await use(storage);
    await sleep(2400);
    // Renewed where there is such a thing; the second request shows that the renewal arrived.
    for (const storage of NAMES) await use(storage).then(() => use(storage));
    await world.sessile.stop();
    cpSync(world.data, copy(), { recursive: true, filter: (path) => !path.endsWith('master.key') });
  });
  after(async () => {
    await world?.close();
    await app?.close();
  });

  /** A sign-in that the app vouches for, with a claim that nobody else would write. */
  async function begin(storage) {
    const client = world.client();
    const canary = `claim-${storage}-${randomBytes(12).toString('hex')}`;
    canaries.addText(`claim of ${storage}`, canary);
    const json = JSON.stringify({ sub: `user-of-${storage}`, claims: { canary } });
    assert.equal((await client.post(`/${storage}/login`, { body: json, headers: { 'content-type': 'application/json' } })).status, 200);
    return client;
  }

  async function use(storage) {
    const holder = holders.get(storage);
    if (STORAGES[storage].token === 'body') assert.equal((await holder.client.refresh()).status, 200);
    assert.equal((await holder.client.get(`/${storage}/data`)).status, 200);
    const jwt = bearerOf(app.last());
    holder.tokens = { ...holder.tokens, [jwt]: claimsOf(jwt) };
    canaries.addToken(`access token of ${storage}`, jwt);
    canaries.addText(`claims in the access token of ${storage}`, jwt.split('.')[1]);
    if (holder.client.sessionToken) canaries.addToken(`session token of ${storage}`, holder.client.sessionToken);
  }

  const search = (marks) => readTree(copy()).flatMap(({ path, bytes }) => marks.search(path, bytes));

  test('holds no token, no signature, no MAC and no claim', () => {
    assert.equal(canaries.size, 7 + 7 + 7 + 5, 'claims, tokens and what they say of seven, session tokens of five');
    const renewed = NAMES.filter((storage) => Object.keys(holders.get(storage).tokens).length > 1);
    assert.deepEqual(renewed, NAMES.filter((storage) => STORAGES[storage].renewal !== 'never'), 'old and new ones were looked for');
    assert.deepEqual(search(canaries), []);
  });

  test('negative control: the same search finds what is planted, and the ids that are no secret', () => {
    const planted = new Canaries();
    const [token] = Object.keys(holders.get('hybrid').tokens);
    planted.addToken('access token', token);
    writeFileSync(join(copy(), 'planted'), Buffer.concat([randomBytes(100), Buffer.from(token.split('.')[2], 'base64url'), randomBytes(100)]));
    assert.deepEqual(search(planted), ['access token in planted']);

    for (const storage of NAMES) {
      const ids = new Canaries();
      for (const { jti, sid } of Object.values(holders.get(storage).tokens)) {
        ids.addText('token id', Buffer.from(jti, 'base64url'));
        ids.addText('session id', Buffer.from(sid, 'base64url'));
      }
      const found = new Set(search(ids).map((each) => each.split(' in ')[0]));
      assert.ok(found.has('session id'), storage);
      assert.equal(found.has('token id'), storage === 'database', storage);
    }
  });

  test('what it does hold opens nothing at the gateway on the original data', async () => {
    await world.sessile.start();
    for (const storage of NAMES) {
      const { client, tokens } = holders.get(storage);
      const [{ jti, sid }] = Object.values(tokens).slice(-1);
      const forms = [jti, sid, `${sid}.0.${jti}`, `${sid}.1.${jti}`, `${sid}.0.`, Buffer.from(jti, 'base64url').toString('hex')];
      for (const form of forms) {
        for (const holder of [client.holding({}, form), client.holding({ [COOKIE.session]: form }), client.holding({ [COOKIE.access]: form }), client.holding({ [COOKIE.session]: form, [COOKIE.access]: form }, form)]) {
          assert.equal((await holder.get(`/${storage}/data`)).status, 401, `${storage}: ${form}`);
          assert.notEqual((await holder.refresh()).status, 200);
        }
      }
      await use(storage);
      assert.equal(Object.values(tokens)[0].sid, sid, 'negative control: the session itself goes on, from what its browser holds');
    }
  });

  test('a gateway on the copy alone does not start, and says why; negative control: with the key it does', async () => {
    const thief = new Sessile({ ...world.sessile.options, data: copy() });
    await world.sessile.stop();
    try {
      await thief.start({ ready: false });
      const exit = await Promise.race([thief.exited(), sleep(10_000)]);
      assert.equal(exit?.code, 78);
      assert.match(thief.output, /master\.key is missing/);
      cpSync(join(world.data, 'master.key'), join(copy(), 'master.key'));
      await thief.start();
    } finally {
      await thief.stop();
    }
  });
});
