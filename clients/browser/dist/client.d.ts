import type { Sessile, SessileOptions } from './types.js';
export declare function createSessile(options?: SessileOptions): Sessile;
