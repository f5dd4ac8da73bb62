/** What belongs to each code beside the message. */
interface Details {
  /** Nobody is signed in in this browser. */
  no_session: {};
  /** The server cannot be reached or cannot answer now. Nobody was signed out. `retryAfter` in seconds. */
  unavailable: { readonly retryAfter?: number | undefined };
  /** Wrong user name or password; the server does not say which. */
  sign_in_failed: {};
  /** Too many failed sign-ins. `retryAfter` in seconds. */
  too_many_attempts: { readonly retryAfter?: number | undefined };
  /** The deployment does not offer the storage that was insisted on. */
  storage_not_offered: {};
  /** The server took the request for another site's, even with a CSRF token. */
  csrf_refused: {};
  /** This step needs a sign-in not older than `maxAge` seconds. */
  fresh_authentication_required: { readonly maxAge?: number | undefined };
  /** This browser forgot the session, but the server could not be told to end it. Why is in `cause`. */
  sign_out_unconfirmed: {};
  /** Somebody else signed in since this page's owner was last known, so the request was not sent. */
  subject_changed: {};
  /** A request with a token was answered with a redirect, which is not followed. */
  redirected: {};
  /** The deployment delivers tokens in bodies, and this client was given no adapter to keep one. */
  adapter_missing: {};
  /** The worker that holds the token failed. */
  worker_failed: {};
  /** `close()` was called. */
  closed: {};
  /** An answer that this client does not know. `problem` is the code of its problem document, if it had one. */
  unexpected: { readonly status: number; readonly problem?: string | undefined };
}

export type SessileErrorCode = keyof Details;

interface Base<C extends SessileErrorCode> extends Error {
  readonly name: 'SessileError';
  readonly code: C;
}

/** Everything this client throws of its own, told apart by `code`. Codes are stable; messages are for people. */
export type SessileError = { [C in SessileErrorCode]: Base<C> & Readonly<Details[C]> }[SessileErrorCode];

interface SessileErrorConstructor {
  new <C extends SessileErrorCode>(
    code: C,
    message: string,
    details?: Details[C] & { cause?: unknown },
  ): Extract<SessileError, { code: C }>;
  readonly prototype: SessileError;
}

class Failure extends Error {
  override readonly name = 'SessileError';

  constructor(
    readonly code: SessileErrorCode,
    message: string,
    { cause, ...details }: { cause?: unknown } = {},
  ) {
    super(message, cause ? { cause } : undefined);
    Object.assign(this, JSON.parse(JSON.stringify(details))); // Without those that are undefined.
  }
}

export const SessileError = Failure as unknown as SessileErrorConstructor;
