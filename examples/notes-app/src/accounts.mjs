// A sign-in of the app's own. The app checks the password; the gateway, told by one response header,
// makes the session and its cookies. The app never sees either.
import { createHash, timingSafeEqual } from 'node:crypto';

/** @returns {string | undefined} the subject, when name and password fit an account */
export function checkPassword(accounts, username, password) {
  if (typeof username !== 'string' || typeof password !== 'string') return undefined;
  const known = accounts.get(username);
  // The comparison runs for an unknown name too, so that both cases take as long.
  const same = timingSafeEqual(digest(password), digest(known ?? ''));
  return known !== undefined && same ? username : undefined;
}

/** The value of `Sessile-Sign-In`: JSON in ASCII, since a header carries nothing else reliably. */
export function signInHeader(subject, remember) {
  return asciiJson({ sub: subject, claims: {}, amr: ['pwd'], remember: remember === true });
}

export function asciiJson(value) {
  return JSON.stringify(value).replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const digest = (text) => createHash('sha256').update(text, 'utf8').digest();
