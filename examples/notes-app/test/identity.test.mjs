// whoever reaches the service without the gateway's token is refused; so is every token that is not exactly it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SignJWT, UnsecuredJWT, generateKeyPair } from 'jose';
import { AUDIENCE, ISSUER, startApp } from './world.mjs';

const PROTECTED = ['GET /', 'GET /app.js', 'GET /print', 'GET /api/me', 'GET /api/notes', 'POST /api/notes', 'DELETE /api/notes/0',
  'GET /api/events', 'POST /api/upload', 'GET /api/download?bytes=1', 'POST /api/logout', 'GET /nothing-here'];

test('R-121 direct access is refused on every path, whatever the convenience headers say', async (t) => {
  const { call } = await startApp(t);
  for (const route of PROTECTED) {
    const [method, path] = route.split(' ');
    const response = await call(method, path, { headers: { 'sessile-subject': 'ada', 'sessile-session': 's1' } });
    assert.equal(response.status, 401, route);
    assert.equal(response.headers.get('www-authenticate'), 'Bearer');
    await response.arrayBuffer();
  }
});

test('negative control: the same paths are not 401 with a good token', async (t) => {
  const { call } = await startApp(t);
  for (const route of PROTECTED) {
    const [method, path] = route.split(' ');
    const response = await call(method, path, { as: 'ada' });
    assert.notEqual(response.status, 401, route);
    await response.body?.cancel();
  }
});

test('R-035, R-036, R-046, R-051, R-054, R-055: a token that is not exactly ours is refused', async (t) => {
  const { call, token, publicJwk } = await startApp(t);
  const foreign = (await generateKeyPair('ES256')).privateKey;
  const now = Math.floor(Date.now() / 1000);
  const publicKeyAsSecret = new TextEncoder().encode(JSON.stringify(publicJwk));
  const bad = {
    'other key': await token({ key: foreign }),
    'unknown kid': await token({ key: foreign, header: { kid: 'k2' } }),
    'id token by typ': await token({ header: { typ: 'JWT' } }),
    'no typ': await token({ header: { typ: undefined } }),
    'expired': await token({ claims: { iat: now - 600, exp: now - 300 } }),
    'no exp': await token({ claims: { exp: undefined } }),
    'exp as text': await token({ claims: { exp: String(now + 60) } }),
    'other issuer': await token({ claims: { iss: `${ISSUER}.evil.test` } }),
    'other audience': await token({ claims: { aud: `${AUDIENCE}/other` } }),
    'no session': await token({ claims: { sid: undefined } }),
    'no subject': await token({ claims: { sub: undefined } }),
    'empty subject': await token({ claims: { sub: '' } }),
    'JA-01 none': new UnsecuredJWT({ sub: 'ada', sid: 's1', jti: '1' }).setIssuer(ISSUER).setAudience(AUDIENCE).setIssuedAt().setExpirationTime('1m').encode(),
    'JA-04 public key as HMAC secret': await new SignJWT({ sid: 's1', jti: '1' })
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: 'k1' })
      .setSubject('ada').setIssuer(ISSUER).setAudience(AUDIENCE).setIssuedAt().setExpirationTime('1m').sign(publicKeyAsSecret),
    'truncated': (await token()).slice(0, -4),
    'empty': '',
  };
  for (const [what, value] of Object.entries(bad)) {
    const response = await call('GET', '/api/me', { authorization: `Bearer ${value}` });
    assert.equal(response.status, 401, what);
  }
  for (const authorization of [`Basic ${await token()}`, `bearer ${await token()}`, `Bearer  ${await token()}`]) {
    assert.equal((await call('GET', '/api/me', { authorization })).status, 401);
  }
  const good = await call('GET', '/api/me', { authorization: `Bearer ${await token()}` });
  assert.equal(good.status, 200, 'negative control: the unchanged token passes');
});

test('identity is the token, not the headers beside it', async (t) => {
  const { call } = await startApp(t);
  const response = await call('GET', '/api/me', { as: 'ada', headers: { 'sessile-subject': 'mallory' } });
  assert.equal((await response.json()).sub, 'ada');
});
