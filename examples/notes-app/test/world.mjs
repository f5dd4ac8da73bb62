// A service under test with a key set of its own, on a free loopback port.
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { SignJWT, createLocalJWKSet, exportJWK, generateKeyPair } from 'jose';
import { createApp } from '../src/app.mjs';

export const ISSUER = 'https://gateway.test';
export const AUDIENCE = 'https://notes.test';

export async function startApp(t, { accounts = {}, notesFile } = {}) {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] };
  const config = {
    port: 0,
    jwks: new URL('http://127.0.0.1:9/unused'),
    issuer: ISSUER,
    audience: AUDIENCE,
    notesFile,
    accounts: new Map(Object.entries(accounts)),
  };
  const app = await createApp(config, { keys: createLocalJWKSet(keys), log: () => {} });
  app.server.listen(0, '127.0.0.1');
  await once(app.server, 'listening');
  t.after(() => {
    app.close();
    app.server.closeAllConnections();
  });

  const origin = `http://127.0.0.1:${app.server.address().port}`;

  /** A token as the gateway makes it, with single parts replaced. */
  async function token({ header = {}, claims = {}, key = privateKey, subject = 'ada' } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const payload = {
      iss: ISSUER, aud: AUDIENCE, sub: subject, client_id: 'notes', sid: 's1', jti: randomUUID(), iat: now, exp: now + 60, ...claims,
    };
    for (const [name, value] of Object.entries(payload)) if (value === undefined) delete payload[name];
    return new SignJWT(payload).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'k1', ...header }).sign(key);
  }

  async function call(method, path, { as, authorization, body, headers = {} } = {}) {
    const bearer = authorization ?? (as ? `Bearer ${await token({ subject: as })}` : undefined);
    return fetch(origin + path, {
      method,
      headers: {
        ...(bearer ? { authorization: bearer } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  }

  return { origin, call, token, publicJwk: keys.keys[0] };
}
