// Two verifiers that know nothing of Sessile: Node's jose and Python's PyJWT. Both trust Cache-Control to the letter.
import { fileURLToPath } from 'node:url';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { Child, run } from './process.mjs';

const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'PS256'];

export async function fetchJwks(url) {
  const asked = Date.now();
  const response = await fetch(url);
  const maxAge = /max-age=(\d+)/.exec(response.headers.get('cache-control') ?? '');
  return { jwks: await response.json(), maxAgeMs: maxAge ? Number(maxAge[1]) * 1000 : 0, asked, headers: response.headers };
}

/** `verify(token)` resolves to {ok, sub?, kid?, why?}. A key that is not in the cached set is refused, not looked up again. */
export function joseVerifier({ jwksUrl, issuer, audience }) {
  let keys;
  let freshUntil = 0;
  return {
    name: 'jose',
    fetches: 0,
    async verify(token) {
      if (Date.now() >= freshUntil) {
        const fetched = await fetchJwks(jwksUrl);
        this.fetches += 1;
        freshUntil = fetched.asked + fetched.maxAgeMs;
        keys = createLocalJWKSet(fetched.jwks);
      }
      try {
        const { payload, protectedHeader } = await jwtVerify(token, keys, {
          issuer, audience, typ: 'at+jwt', algorithms: ALGORITHMS, requiredClaims: ['exp', 'iat', 'sub', 'jti'],
        });
        return { ok: true, sub: payload.sub, kid: protectedHeader.kid };
      } catch (error) {
        return { ok: false, why: `${error.code}: ${error.message}` };
      }
    },
    async close() {},
  };
}

/** The same in another process and another language. */
export async function pyjwtVerifier({ jwksUrl, issuer, audience }) {
  const python = await pythonWithJwt();
  const child = new Child(python, [fileURLToPath(new URL('../foreign/verify.py', import.meta.url)), jwksUrl, issuer, audience]);
  const waiting = [];
  let buffer = '';
  child.onStdout((text) => {
    buffer += text;
    const lines = buffer.split('\n');
    buffer = lines.pop();
    for (const line of lines) waiting.shift()?.resolve(JSON.parse(line));
  });
  child.exited().then(() => waiting.splice(0).forEach(({ reject }) => reject(new Error(`The Python verifier ended:\n${child.tail()}`))));
  return {
    name: 'PyJWT',
    verify(token) {
      return new Promise((resolve, reject) => {
        if (child.exit) return reject(new Error(`The Python verifier ended:\n${child.tail()}`));
        waiting.push({ resolve, reject });
        child.stdin.write(`${token}\n`);
      });
    },
    close: () => child.stop(),
  };
}

// Debian's own Python has PyJWT from its package; another python3 may come first on the path.
async function pythonWithJwt() {
  const candidates = [process.env.PYTHON, '/usr/bin/python3', 'python3'].filter(Boolean);
  for (const python of candidates) {
    const result = await run(python, ['-c', 'import jwt, cryptography; jwt.PyJWK']);
    if (result.code === 0) return python;
  }
  throw new Error(`None of ${candidates.join(', ')} has PyJWT and cryptography. Run scripts/setup-tests.`);
}
