import { createCarrier, memoryVault } from './carrier.js';
import type { Adapter } from './types.js';

/**
 * Keeps the access token in a closure: gone on reload (the session is not; one renewal brings a new token), and out of
 * reach of scripts that arrive later and look for it. A script that was there first can watch it being put into a
 * request; `inWorker` is for that.
 */
export function inMemory(): Adapter {
  return (context) => createCarrier(context, 'memory', memoryVault());
}
