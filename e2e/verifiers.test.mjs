// Other people's libraries verify our tokens from the published keys alone, through planned rotations without one
// refusal, and stop at once when a key is revoked (R-057, R-162, R-164; fault rows X3, X4).
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { COOKIE, T_MS } from './lib/names.mjs';
import { eventually, sleep } from './lib/process.mjs';
import { bearerOf } from './lib/sites.mjs';
import { fetchJwks, joseVerifier, pyjwtVerifier } from './lib/verifiers.mjs';
import { startWorld } from './lib/world.mjs';

const ROTATIONS = 20;
/** A key is published this long before its first use; the test cannot wait minutes for each rotation. */
const ENV = {
  SESSILE_KEYS_PUBLISH_AHEAD: '4s',
  SESSILE_SESSION_STALENESS: '500ms',
  SESSILE_SESSION_ACCESS: '60s',
  SESSILE_SESSION_GRACE: '1s',
};

describe('foreign verifiers', () => {
  let world;
  let owner;
  let jwksUrl;
  let verifiers;
  let trust;

  before(async () => {
    world = await startWorld({ env: ENV });
    owner = await world.signedIn();
    jwksUrl = `${world.origin}/.well-known/jwks.json`;
    const token = await freshToken();
    const { iss, aud } = decodeJwt(token);
    trust = { jwksUrl, issuer: iss, audience: aud };
    verifiers = [joseVerifier(trust), await pyjwtVerifier(trust)];
  });
  after(async () => {
    await Promise.all((verifiers ?? []).map((verifier) => verifier.close()));
    await world?.close();
  });

  /** A token minted now, as the upstream receives it. */
  async function freshToken() {
    owner.dropAccessToken();
    const response = await owner.get('/echo');
    assert.equal(response.status, 200, response.text);
    return bearerOf(world.echo.last());
  }

  async function assertAll(token, ok, what, all = verifiers) {
    for (const verifier of all) {
      const verdict = await verifier.verify(token);
      assert.equal(verdict.ok, ok, `${verifier.name} ${what}: ${verdict.why ?? 'accepted'}`);
    }
  }

  /** Rotates the keys, and meanwhile lets new verifiers fetch the set every few milliseconds: one of them at the worst moment. */
  async function rotateUnderFetches(token) {
    const eager = [];
    let done = false;
    const rotating = world.sessile.cli(['keys', 'rotate']).finally(() => (done = true));
    while (!done) {
      const verifier = joseVerifier(trust);
      eager.push(verifier);
      await assertAll(token, true, 'during a rotation', [verifier]);
      await sleep(3);
    }
    await rotating;
    return eager;
  }

  test('R-057 the token is an RFC 9068 access token', async () => {
    const token = await freshToken();
    const header = decodeProtectedHeader(token);
    const claims = decodeJwt(token);
    assert.deepEqual([header.typ, header.alg], ['at+jwt', 'ES256']);
    for (const name of ['iss', 'sub', 'aud', 'client_id', 'iat', 'exp', 'jti', 'sid']) assert.ok(claims[name] !== undefined, name);
    assert.equal(claims.iss, world.origin);
    assert.equal(claims.sub, 'ada');
    assert.equal(claims.sid, owner.session.id);
    assert.ok(claims.exp - claims.iat <= 64, 'access lifetime with its jitter');
  });

  test('R-164 the key set has public parts only and says how long it may be kept', async () => {
    const { jwks, maxAgeMs, headers } = await fetchJwks(jwksUrl);
    assert.ok(jwks.keys.length >= 1);
    for (const key of jwks.keys) {
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) assert.ok(!(secret in key), secret);
      for (const name of ['kid', 'kty', 'alg', 'use']) assert.ok(key[name], name);
    }
    assert.equal(new Set(jwks.keys.map(({ kid }) => kid)).size, jwks.keys.length);
    assert.match(headers.get('content-type'), /^application\/(jwk-set\+)?json/);
    assert.ok(maxAgeMs >= 1000);
  });

  test('both refuse what they should (negative control)', async () => {
    const token = await freshToken();
    await assertAll(token, true, 'accepts the token itself');
    const [header, payload, signature] = token.split('.');
    const other = Buffer.from(JSON.stringify({ ...decodeJwt(token), sub: 'mallory' })).toString('base64url');
    await assertAll(`${header}.${other}.${signature}`, false, 'refuses other claims under the signature');
    const alien = Buffer.from(JSON.stringify({ ...decodeProtectedHeader(token), kid: 'unknown' })).toString('base64url');
    await assertAll(`${alien}.${payload}.${signature}`, false, 'refuses an unknown key');
  });

  test(`R-162 ${ROTATIONS} rotations: no token is refused, new or in flight`, { timeout: 240_000 }, async (t) => {
    const { maxAgeMs } = await fetchJwks(jwksUrl);
    assert.ok(maxAgeMs <= 5000, `the key set may be kept ${maxAgeMs} ms: too long for this test`);
    let inFlight = [await freshToken()];
    const kids = new Set(inFlight.map((token) => decodeProtectedHeader(token).kid));

    for (let rotation = 1; rotation <= ROTATIONS; rotation += 1) {
      const eager = await rotateUnderFetches(inFlight.at(-1));
      await eventually(
        async () => {
          const token = await freshToken();
          await assertAll(token, true, `rotation ${rotation}, fresh token`, [...verifiers, ...eager]);
          inFlight.push(token);
          const { kid } = decodeProtectedHeader(token);
          const isNew = !kids.has(kid);
          kids.add(kid);
          return isNew;
        },
        { ms: 2 * maxAgeMs + T_MS, every: 5, what: `a token of a new key after rotation ${rotation}` },
      );
      inFlight = inFlight.filter((token) => decodeJwt(token).exp * 1000 > Date.now() + 2000);
      const old = inFlight[0];
      await assertAll(old, true, `rotation ${rotation}, token in flight`);
      const holder = owner.holding({ [COOKIE.access]: old });
      assert.equal((await holder.get('/echo', { keepCookies: false })).status, 200, 'the gateway takes it as well');
    }
    assert.ok(kids.size >= ROTATIONS + 1, `${kids.size} different keys`);
    t.diagnostic(`jose fetched the key set ${verifiers[0].fetches} times`);
  });

  test('X4 a revoked key: its tokens are refused here within T and elsewhere when the cache ends', async () => {
    const token = await freshToken();
    const { kid } = decodeProtectedHeader(token);
    await assertAll(token, true, 'before the revocation');
    const holder = owner.holding({ [COOKIE.access]: token });
    assert.equal((await holder.get('/echo', { keepCookies: false })).status, 200, 'before the revocation');
    const { maxAgeMs } = await fetchJwks(jwksUrl);

    await world.sessile.cli(['keys', 'revoke', kid]);
    await eventually(async () => (await holder.get('/echo', { keepCookies: false })).status === 401, { ms: T_MS, what: 'the gateway’s refusal' });
    assert.ok(!(await fetchJwks(jwksUrl)).jwks.keys.some((key) => key.kid === kid), 'it is not published any more');
    await sleep(maxAgeMs);
    await assertAll(token, false, 'a token of the revoked key');

    const next = await freshToken();
    assert.notEqual(decodeProtectedHeader(next).kid, kid);
    await eventually(async () => (await Promise.all(verifiers.map((each) => each.verify(next)))).every(({ ok }) => ok), {
      ms: maxAgeMs + 1000,
      what: 'acceptance of the key that took over',
    });
    assert.equal((await owner.get('/echo')).status, 200, 'the session itself goes on');
  });

  test('keys list names every published key', async () => {
    const listed = (await world.sessile.cliJson(['keys', 'list'])).map(({ id }) => id);
    for (const { kid } of (await fetchJwks(jwksUrl)).jwks.keys) assert.ok(listed.includes(kid), kid);
  });
});
