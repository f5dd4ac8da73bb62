// What an app learns about its caller from headers is a function of the session alone (R-107, R-108, R-109; I20; P2, P13 to P15).
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { COOKIE } from './lib/names.mjs';
import { Client, SAME_ORIGIN } from './lib/client.mjs';
import { listen } from './lib/process.mjs';
import { Random, chooseSeed } from './lib/random.mjs';
import { fold, folded, startEcho } from './lib/sites.mjs';
import { startWorld } from './lib/world.mjs';

const ROUNDS = Number(process.env.SESSILE_SOAK ?? 1) * 150;
const ROUTES = { '/private/x': 'session', '/maybe/x': 'optional', '/open/x': 'public' };

/** Names an app might read its caller from. What the gateway turns out to add is tested beside these. */
const IDENTITY_NAMES = [
  'Sessile-Subject', 'Sessile-Session', 'Sessile-Claims', 'Sessile-Anything', 'Authorization',
  'X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-Uri', 'X-Forwarded-User', 'X-Forwarded-Email', 'X-Forwarded-Access-Token',
  'Forwarded', 'X-Real-IP', 'X-User', 'X-User-Id', 'X-Auth-Request-User', 'X-Auth-Request-Email', 'X-Remote-User', 'Remote-User',
];

/** Headers a client may rightly have a word in, or that belong to the connection: nobody reads a caller from them. */
const NOT_IDENTITY = new Set(['VIA', 'CONNECTION', 'CONTENT_LENGTH', 'TRANSFER_ENCODING', 'TE', 'UPGRADE', 'HOST', 'COOKIE']);

/** The upstream's view: identity headers under the names an app that folds would use. */
function view(record, alsoNames) {
  const names = new Set([...IDENTITY_NAMES.map(fold), ...alsoNames]);
  const seen = new Map();
  for (const [name, value] of folded(record.raw)) if (names.has(name) || name.startsWith('SESSILE_')) seen.set(name, value);
  return seen;
}

/** A random spelling that folds to the same name. */
function respell(random, name) {
  const separator = random.pick([(at) => at, () => '-', () => '_', () => '.']);
  return Array.from(name, (character) => {
    if (character === '-') return random.chance(0.8) ? separator('-') : random.pick(['-', '_', '.']);
    return random.chance(0.3) ? character.toUpperCase() : random.chance(0.5) ? character.toLowerCase() : character;
  }).join('');
}

/**
 * Sends spoofed headers and compares what the upstream sees with what it sees without them.
 * @returns {Promise<{reached: boolean, violation?: string}>}
 */
async function spoof({ client, echo, path, rawHeaders, baseline, canary }) {
  const before = echo.seen.length;
  const response = await client.get(path, { rawHeaders, keepCookies: false });
  if (echo.seen.length === before) {
    return response.status >= 400 && response.status < 500 ? { reached: false } : { reached: false, violation: `answered ${response.status} without asking the upstream` };
  }
  const now = view(echo.last(), baseline.names);
  for (const [name, value] of now) {
    if (value.includes(canary)) return { reached: true, violation: `${name} carries the client’s value ${value}` };
    if (!baseline.view.has(name)) return { reached: true, violation: `${name} appeared` };
    if (baseline.stable.has(name) && baseline.view.get(name) !== value) return { reached: true, violation: `${name} changed to ${value}` };
  }
  for (const name of baseline.view.keys()) if (!now.has(name)) return { reached: true, violation: `${name} was removed` };
  return { reached: true };
}

/** What the upstream sees of this client without any trick, and which values stay the same from request to request. */
async function learn(client, echo, path, sentNames) {
  await client.get(path);
  const first = folded(echo.last().raw);
  await client.get(path);
  const second = folded(echo.last().raw);
  const names = [...second.keys()].filter((name) => !sentNames.has(name) && !NOT_IDENTITY.has(name));
  const record = { raw: [...second].flat() };
  return { names, view: view(record, names), stable: new Set(names.filter((name) => first.get(name) === second.get(name))) };
}

/** Every trick of one seeded run; returns the violations found and how often the upstream was reached. */
async function campaign({ clients, echo, paths, seed, rounds }) {
  const random = new Random(seed);
  const sent = new Set(Object.keys(SAME_ORIGIN).map(fold));
  const violations = [];
  let reached = 0;
  for (const [who, client] of Object.entries(clients)) {
    for (const path of paths[who]) {
      const baseline = await learn(client, echo, path, sent);
      const names = [...IDENTITY_NAMES, ...baseline.names.map((name) => name.replaceAll('_', '-'))];
      const attempt = async (rawHeaders, what) => {
        const result = await spoof({ client, echo, path, rawHeaders, baseline, canary: 'canary' });
        if (result.reached) reached += 1;
        if (result.violation) violations.push(`${who} ${path} ${what}: ${result.violation}`);
      };
      // Each name once in its plain spelling and in every alias, so that no seed leaves one out.
      for (const name of names) {
        for (const spelling of new Set([name, name.toLowerCase(), name.replaceAll('-', '_'), name.replaceAll('-', '.')])) {
          await attempt([[spelling, 'canary']], spelling);
        }
      }
      // A Connection list that names what the gateway adds must not make it disappear.
      for (const list of [names.join(', '), names.map((name) => name.toLowerCase()).join(','), 'close, Authorization, Sessile-Subject, Cookie, Host']) {
        await attempt([['Connection', list]], 'Connection list');
      }
      for (let round = 0; round < rounds; round += 1) {
        const headers = Array.from({ length: random.between(1, 4) }, () => [respell(random, random.pick(names)), `canary${random.below(1000)}`]);
        if (random.chance(0.4)) headers.push(['Connection', Array.from({ length: random.between(1, 5) }, () => respell(random, random.pick(names))).join(', ')]);
        await attempt(headers, JSON.stringify(headers));
      }
    }
  }
  return { violations, reached };
}

describe('spoofed headers', () => {
  let world;
  let clients;
  const paths = { 'signed in': Object.keys(ROUTES), anonymous: ['/maybe/x', '/open/x'] };

  before(async () => {
    world = await startWorld({
      config: ({ echo }) => ({
        route: Object.entries(ROUTES).map(([path, access]) => ({ prefix: path.slice(0, -2), upstream: echo, access })),
      }),
    });
    clients = { 'signed in': await world.signedIn(), anonymous: world.client() };
  });
  after(() => world?.close());

  test('R-107, R-108, R-109 the upstream’s view does not depend on what the client sends', async (t) => {
    const seed = chooseSeed();
    t.diagnostic(`seed ${seed}`);
    const { violations, reached } = await campaign({ clients, echo: world.echo, paths, seed, rounds: ROUNDS });
    assert.deepEqual(violations, []);
    assert.ok(reached > ROUNDS, `the upstream was reached ${reached} times, so not everything was simply refused`);
  });

  test('the identity is there at all where it should be, and only there', async () => {
    const seenOn = async (client, path) => {
      await client.get(path);
      return view(world.echo.last(), []);
    };
    const signedIn = await seenOn(clients['signed in'], '/private/x');
    assert.match(signedIn.get('AUTHORIZATION'), /^Bearer [\w-]+\.[\w-]+\.[\w-]+$/);
    assert.equal(signedIn.get('SESSILE_SUBJECT'), 'ada');
    assert.equal(signedIn.get('SESSILE_SESSION'), clients['signed in'].session.id);
    for (const path of paths.anonymous) {
      const anonymous = await seenOn(clients.anonymous, path);
      for (const name of ['AUTHORIZATION', 'SESSILE_SUBJECT', 'SESSILE_SESSION']) assert.ok(!anonymous.has(name), `${path} ${name}`);
    }
  });

  test('R-013 the app’s cookies pass, ours do not', async () => {
    const client = clients['signed in'].steal();
    client.cookies.set('theme', 'dark');
    for (const path of Object.keys(ROUTES)) {
      await client.get(path);
      assert.equal(folded(world.echo.last().raw).get('COOKIE'), 'theme=dark', path);
    }
    await clients['signed in'].get('/private/x');
    assert.equal(folded(world.echo.last().raw).get('COOKIE'), undefined);
    const text = JSON.stringify(world.echo.seen);
    assert.ok(!text.includes(COOKIE.session) && !text.includes(clients['signed in'].sessionToken), 'in no request of this whole file');
  });

  test('names with blanks or control characters reach nobody', async () => {
    const cookie = `${COOKIE.access}=${clients['signed in'].accessToken}`;
    const port = world.gatewayPort;
    for (const line of ['Sessile-Subject : canary', ' Sessile-Subject: canary', 'Sessile-Subject\t: canary', 'Sessile\x00-Subject: canary', 'Sessile Subject: canary', ': canary']) {
      const before = world.echo.seen.length;
      const answer = await raw(port, `GET /private/x HTTP/1.1\r\nHost: localhost:${port}\r\nCookie: ${cookie}\r\nConnection: close\r\n${line}\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 400 /, JSON.stringify(line));
      assert.equal(world.echo.seen.length, before, JSON.stringify(line));
    }
    const before = world.echo.seen.length;
    await raw(port, `GET /private/x HTTP/1.1\r\nHost: localhost:${port}\r\nCookie: ${cookie}\r\nConnection: close\r\nAccept: */*\r\n\r\n`);
    assert.equal(world.echo.seen.length, before + 1, 'negative control: a clean request of the same making arrives');
  });
});

test('negative control: the campaign finds what is wrong with a careless proxy', async () => {
  const echo = await startEcho();
  // Strips exact names only, and obeys the client's Connection list after adding its own headers.
  const careless = http.createServer((request, response) => {
    const headers = { ...request.headers, cookie: undefined };
    for (const name of ['sessile-subject', 'sessile-session', 'authorization']) delete headers[name];
    Object.assign(headers, { 'sessile-subject': 'ada', authorization: 'Bearer a.b.c' });
    for (const name of (request.headers.connection ?? '').split(',')) delete headers[name.trim().toLowerCase()];
    for (const name of Object.keys(headers)) if (headers[name] === undefined) delete headers[name];
    http.get(echo.url + request.url, { headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode);
      answer.pipe(response);
    });
  });
  const port = await listen(careless);
  try {
    const client = new Client({ origin: `http://localhost:${port}` });
    const { violations } = await campaign({ clients: { somebody: client }, echo, paths: { somebody: ['/x'] }, seed: 1, rounds: 5 });
    for (const expected of [/Sessile_Subject: SESSILE_SUBJECT carries/, /Sessile\.Subject: SESSILE_SUBJECT carries/, /Connection list: SESSILE_SUBJECT was removed/, /X-Forwarded-For carries|X_FORWARDED_FOR carries/]) {
      assert.ok(violations.some((each) => expected.test(each)), `${expected} among ${violations.length}`);
    }
    assert.ok(!violations.some((each) => / Sessile-Subject:/.test(each)), 'and does not cry over what that proxy does right');
  } finally {
    careless.closeAllConnections();
    careless.close();
    await echo.close();
  }
});

/** Sends bytes and returns all that comes back until the other side closes. */
function raw(port, bytes) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
    let answer = '';
    socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}
