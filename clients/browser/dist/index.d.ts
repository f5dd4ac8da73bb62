export { createSessile } from './client.js';
export { SessileError, type SessileErrorCode } from './errors.js';
export type { Listener, SessileEvent, SessileEvents } from './events.js';
export type { Adapter, AdapterContext, BodyStorage, Carrier, Credentials, Handling, Hold, KeptIn, Sessile, SessileOptions, Session, SignOutScope, StorageName, TokenStatus, } from './types.js';
