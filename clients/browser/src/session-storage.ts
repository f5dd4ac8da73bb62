import type { Adapter } from './types.js';
import { webStorage } from './web-storage.js';

/**
 * Keeps the access token in `sessionStorage`: it survives reloads of its tab, and every script of the tab, an injected
 * one too, can read it and carry it away.
 */
export function inSessionStorage(): Adapter {
  return webStorage('session-storage', false, () => globalThis.sessionStorage);
}
