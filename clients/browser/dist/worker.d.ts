import type { Adapter } from './types.js';
/**
 * Keeps the access token in a dedicated worker, which sends the requests that need it. No script of the page can read
 * it there; scripts can still ask for what it opens.
 *
 * `worker` runs `@sessile/client/worker-script` and belongs to this client from now on; `close()` terminates it. It
 * serves the origin its script comes from, and no other.
 */
export declare function inWorker(worker: Worker): Adapter;
