// Who is calling: decided from the access token alone, never from a convenience header.
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

/** No usable token. The caller answers 401 and says nothing about the reason. */
export class Unauthenticated extends Error {}

/** The key set could not be had, so the token can be neither accepted nor refused. The caller answers 503. */
export class KeysUnavailable extends Error {}

/**
 * What Sessile signs with. The list is fixed here because the header of a token is the sender's word:
 * the verifier says which algorithms it takes, not the token (RFC 8725 section 3.1).
 */
const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'Ed25519', 'PS256'];

/**
 * Makes a verifier for requests that come through the gateway. Reaching the service some other way brings
 * no such token, so direct access is refused.
 *
 * @param {{jwks: URL, issuer: string, audience: string}} config
 * @param {import('jose').JWTVerifyGetKey} [keys] a key set to use instead of the remote one
 */
export function createVerifier({ jwks, issuer, audience }, keys = createRemoteJWKSet(jwks, { cooldownDuration: 1000 })) {
  return async function identify(request) {
    const token = bearer(request);
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer,
        audience,
        typ: 'at+jwt',
        algorithms: ALGORITHMS,
        requiredClaims: ['sub', 'sid', 'jti', 'iat', 'exp'],
      });
      if (typeof payload.sub !== 'string' || payload.sub === '') throw new Unauthenticated('empty subject');
      return payload;
    } catch (error) {
      if (error instanceof Unauthenticated) throw error;
      if (isAboutTheToken(error)) throw new Unauthenticated(error.code, { cause: error });
      throw new KeysUnavailable('key set not available', { cause: error });
    }
  };
}

function bearer(request) {
  const fields = request.headersDistinct?.authorization ?? [];
  if (fields.length !== 1) throw new Unauthenticated('one Authorization header is needed');
  const match = /^Bearer ([A-Za-z0-9_\-.]{1,8192})$/.exec(fields[0]);
  if (!match) throw new Unauthenticated('not a bearer token');
  return match[1];
}

function isAboutTheToken(error) {
  return (
    error instanceof errors.JWTExpired ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  );
}
