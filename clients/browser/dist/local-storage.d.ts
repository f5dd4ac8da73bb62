import type { Adapter } from './types.js';
/**
 * Keeps the access token in `localStorage`: it survives reloads, all tabs share it, and every script of the origin,
 * an injected one too, can read it and carry it away.
 */
export declare function inLocalStorage(): Adapter;
