import { SessileError, type SessileErrorCode } from './errors.js';

interface Problem {
  readonly code?: string;
  readonly detail?: string;
  readonly max_age?: number;
}

/** The problem document (RFC 9457) of an answer, without using up its body. */
async function problemOf(response: Response): Promise<Problem> {
  if (!response.ok && response.headers.get('content-type')?.startsWith('application/problem+json')) {
    try {
      return await response.clone().json();
    } catch {
      // Not what it says it is.
    }
  }
  return {};
}

export const problemCode = async (response: Response) => (await problemOf(response)).code;

/** Codes of the server that are told on under their own name. */
const OWN: readonly unknown[] = [
  'no_session',
  'sign_in_failed',
  'too_many_attempts',
  'storage_not_offered',
  'csrf_refused',
  'fresh_authentication_required',
] satisfies SessileErrorCode[];

/** Why the server did not do what it was asked, as an error. `asked` says what that was. */
export async function failureOf(asked: string, response: Response): Promise<SessileError> {
  const { code, detail, max_age: maxAge } = await problemOf(response);
  const { status } = response;
  const message = `${asked}: ${detail ?? `the server answered ${status}`}`;
  // Seconds. The form with a date would depend on two clocks, and is not read.
  const wait = parseInt(response.headers.get('retry-after')!, 10);
  const retryAfter = wait >= 0 ? wait : undefined;
  // Each code declares which of these belong to it.
  if (OWN.includes(code)) return new SessileError(code as 'too_many_attempts', message, { retryAfter, ...{ maxAge } });
  // Whoever in front of the gateway says so, it is never a statement about the session.
  if (status === 429 || status >= 500) return new SessileError('unavailable', message, { retryAfter });
  return new SessileError('unexpected', message, { status, problem: code });
}
