import { failureOf, problemCode } from './answers.js';
import { SessileError } from './errors.js';
import type { AdapterContext, Carrier, Session } from './types.js';

/** What the gateway's endpoints answer, and by which clock. */
export interface Answer {
  readonly session?: Session;
  /** There is an access token, and it lives for so many seconds. */
  readonly expires_in?: number;
  readonly csrf_token?: string;
  readonly date: string | null;
}

interface Asking {
  readonly body?: object;
  /** The answer may bring a token, which is for the carrier. */
  readonly absorb?: boolean;
  readonly keepalive?: boolean;
}

/** No answer of the gateway takes this long; one that does is not coming. */
const TIMEOUT_MS = 15_000;

/** The endpoints under the prefix, and the CSRF token for browsers that need one. */
export function createGateway({ origin, prefix, fetch }: AdapterContext, carrier: Carrier | undefined) {
  let csrfToken: string | undefined;

  /** Asks an endpoint. Throws why it did not do what it was asked. */
  async function ask(method: string, path: string, { body, absorb, keepalive = false }: Asking = {}): Promise<Answer> {
    const asked = `${method} ${prefix}${path}`;
    const go = () => {
      const request = prove(
        new Request(origin + prefix + path, {
          method,
          credentials: 'include',
          cache: 'no-store',
          redirect: 'error',
          keepalive,
          signal: AbortSignal.timeout(TIMEOUT_MS),
          ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
        }),
      );
      return absorb && carrier ? carrier.send(request, 'absorb') : fetch(request);
    };
    try {
      let response = await go();
      if (await canProve(method, response)) response = await go();
      if (!response.ok) throw await failureOf(asked, response);
      return { ...parse(await response.text()), date: response.headers.get('date') };
    } catch (error) {
      if (error instanceof SessileError) throw error;
      throw new SessileError('unavailable', `${asked}: the server could not be reached`, { cause: error });
    }
  }

  /** Puts the CSRF token into an unsafe request, if this browser turned out to need one. */
  function prove(request: Request): Request {
    if (csrfToken && !isSafe(request.method)) request.headers.set('x-csrf-token', csrfToken);
    return request;
  }

  /** Whether a request was refused for want of a CSRF token, and there is one now. */
  async function canProve(method: string, response: Response): Promise<boolean> {
    if (isSafe(method) || (await problemCode(response)) !== 'csrf_refused') return false;
    // If this fails, the refusal says more than the failure would.
    csrfToken = await ask('GET', '/csrf').then(
      (answer) => answer.csrf_token,
      () => undefined,
    );
    return !!csrfToken;
  }

  return { ask, prove, canProve };
}

const isSafe = (method: string) => /^(GET|HEAD|OPTIONS)$/.test(method);

function parse(text: string): object {
  try {
    return JSON.parse(text);
  } catch {
    return {}; // Whoever needs something of it will miss it.
  }
}
