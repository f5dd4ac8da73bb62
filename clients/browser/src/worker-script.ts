import { createCarrier, memoryVault } from './carrier.js';
import { inScope } from './scope.js';
import type { Carrier, Handling } from './types.js';
import type { FromWorker, ToWorker, WireRequest, WireResponse } from './worker-wire.js';

/** What there is of a dedicated worker's global scope for us to use. */
interface Scope {
  readonly location: { readonly origin: string };
  onmessage: ((event: { readonly data: ToWorker }) => void) | null;
  postMessage(message: FromWorker, transfer?: unknown[]): void;
}

/** As much of a body is read ahead in bytes, so that one that nobody reads does not keep its connection. */
const READ_AHEAD = { highWaterMark: 256 * 1024, size: (chunk: Uint8Array) => chunk.byteLength };

const scope = globalThis as unknown as Scope;
const running = new Map<number, AbortController>();
let carrier: Carrier | undefined;

scope.onmessage = ({ data }) => {
  if ('open' in data) {
    // The origin is not for the page to choose, and nothing is for it to change later.
    const { paths, trustRedirects } = data.open;
    const mayCarry = (url: string) => inScope(url, scope.location.origin, paths);
    carrier ??= createCarrier({ mayCarry, trustRedirects, fetch: fetch.bind(globalThis) }, 'memory', memoryVault());
  } else if ('send' in data) {
    void serve(data.id, data.send, data.handling);
  } else if ('abort' in data) {
    running.get(data.abort)?.abort();
  } else {
    carrier?.clear();
  }
};

async function serve(id: number, { url, ...init }: WireRequest, handling: Handling) {
  const controller = new AbortController();
  running.set(id, controller);
  const done = () => {
    if (running.delete(id)) scope.postMessage({ id, done: true });
  };
  try {
    const answer = await carrier!.send(new Request(url, { ...init, signal: controller.signal }), handling);
    const response = describe(answer);
    const reply = { id, response, status: carrier!.status() };
    // Some browsers give an answer that can have no body an empty one.
    if (!answer.body || [204, 205, 304].includes(answer.status)) {
      scope.postMessage(reply);
      return done();
    }
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>({}, {}, READ_AHEAD);
    // Settles when the body was read to its end, failed, or was given up by the page.
    const piped = answer.body.pipeTo(writable).catch(() => {});
    try {
      scope.postMessage({ ...reply, response: { ...response, body: readable } }, [readable]);
    } catch {
      // This browser cannot hand a stream to the page.
      const buffer = await new Response(readable).arrayBuffer();
      scope.postMessage({ ...reply, response: { ...response, body: buffer } }, [buffer]);
    }
    void piped.then(done);
  } catch (error) {
    running.delete(id);
    const { name, message } = error as Error;
    scope.postMessage({ id, failure: { name, message } });
  }
}

function describe({ url, type, redirected, status, statusText, headers }: Response): WireResponse {
  return { url, type, redirected, status, statusText, headers: [...headers], body: null };
}
