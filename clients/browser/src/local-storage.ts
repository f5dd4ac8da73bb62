import type { Adapter } from './types.js';
import { webStorage } from './web-storage.js';

/**
 * Keeps the access token in `localStorage`: it survives reloads, all tabs share it, and every script of the origin,
 * an injected one too, can read it and carry it away.
 */
export function inLocalStorage(): Adapter {
  return webStorage('local-storage', true, () => globalThis.localStorage);
}
