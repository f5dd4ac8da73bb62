import type { Adapter, Handling, TokenStatus } from './types.js';
import type { FromWorker, ToWorker, WireResponse } from './worker-wire.js';

interface Call {
  readonly answer: (response: Response) => void;
  readonly fail: (reason: unknown) => void;
  readonly forget: () => void;
}

/**
 * Keeps the access token in a dedicated worker, which sends the requests that need it. No script of the page can read
 * it there; scripts can still ask for what it opens.
 *
 * `worker` runs `@sessile/client/worker-script` and belongs to this client from now on; `close()` terminates it. It
 * serves the origin its script comes from, and no other.
 */
export function inWorker(worker: Worker): Adapter {
  return ({ paths, trustRedirects, broken: toError }) => {
    const calls = new Map<number, Call>();
    let last = 0;
    let status: TokenStatus | null = null;
    /** Answers to calls up to this one were asked for before the token was cleared. */
    let cleared = 0;
    let broken: Error | undefined;
    const post = (message: ToWorker) => worker.postMessage(message);

    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      const call = calls.get(data.id);
      if (!call) return;
      if ('done' in data) call.forget();
      else if ('response' in data) {
        if (data.id > cleared) status = data.status;
        call.answer(rebuild(data.response));
      } else {
        call.forget();
        const { name, message } = data.failure;
        call.fail(name === 'AbortError' ? new DOMException(message, name) : new TypeError(message));
      }
    };
    const fail = () => {
      broken = toError('The worker was closed or failed. Is its address right, and allowed by the content security policy?');
      for (const call of calls.values()) {
        call.forget();
        call.fail(broken);
      }
    };
    worker.onerror = worker.onmessageerror = fail;
    post({ open: { paths, trustRedirects } });

    async function send(request: Request, handling: Handling): Promise<Response> {
      const body = request.body === null || /^(GET|HEAD)$/.test(request.method) ? null : await request.blob();
      const { url, method, cache, credentials, integrity, keepalive, mode, redirect, referrerPolicy, signal } = request;
      signal.throwIfAborted();
      if (broken) throw broken;
      const id = (last += 1);
      return new Promise((answer, reject) => {
        const abort = () => {
          post({ abort: id });
          reject(signal.reason);
        };
        const forget = () => {
          calls.delete(id);
          signal.removeEventListener('abort', abort);
        };
        calls.set(id, { answer, fail: reject, forget });
        signal.addEventListener('abort', abort);
        const headers = [...request.headers];
        post({
          id,
          handling,
          send: { url, method, headers, body, cache, credentials, integrity, keepalive, mode, redirect, referrerPolicy },
        });
      });
    }

    return {
      asks: 'memory',
      shared: false,
      keptIn: 'worker',
      status: () => status,
      send,
      clear() {
        status = null;
        cleared = last;
        post({ clear: true });
      },
      close() {
        worker.terminate();
        fail();
      },
    };
  };
}

/** The answer as `fetch` would have given it. `Response` cannot be told some of its properties in any other way. */
function rebuild({ body, status, statusText, headers, ...own }: WireResponse): Response {
  const response = status ? new Response(body, { status, statusText, headers }) : Response.error();
  for (const [name, value] of Object.entries(own)) Object.defineProperty(response, name, { value });
  return response;
}
