import type { Listener, SessileEvent } from './events.js';

/** The seven values of the server's `storage` setting. */
export type StorageName = BodyStorage | 'cookie' | 'server-session' | 'database' | 'hybrid';

/** The storages whose access token travels in response bodies, so that this client keeps it. */
export type BodyStorage = 'local-storage' | 'session-storage' | 'memory';

/** Where the access token of this page is: `cookie` if the browser or the server keeps it and no script does. */
export type KeptIn = BodyStorage | 'worker' | 'cookie';

/** Which sessions a sign-out ends. */
export type SignOutScope = 'this' | 'others' | 'everywhere';

/** A session as the server describes it. Nothing in it is secret. Times are those of the server (RFC 3339). */
export interface Session {
  readonly id: string;
  readonly subject: string;
  readonly storage: StorageName;
  /** When it ends if nothing happens. */
  readonly expires_at: string;
  /** When it ends whatever happens. */
  readonly absolute_end: string;
  readonly remember?: boolean;
  readonly created_at?: string;
  readonly authenticated_at?: string;
  readonly last_seen_at?: string;
  readonly client?: { readonly browser?: string; readonly platform?: string; readonly language?: string; readonly network?: string };
}

export interface Credentials {
  username: string;
  password: string;
  /** Ask for a session that outlives the browser. */
  remember?: boolean;
  /**
   * Insist on one of the storages the deployment offers. Without it the adapter's own is asked for, and if that is
   * not offered, the deployment's choice is taken.
   */
  storage?: StorageName;
}

/** An access token with what is needed to renew it in time. Times in milliseconds of this browser's clock. */
export interface Held {
  readonly token: string;
  /** When it was received. */
  readonly at: number;
  /** How long it lives from then. */
  readonly life: number;
}

/** What may be known of a token without knowing the token. */
export type TokenStatus = Omit<Held, 'token'>;

/** What an adapter is told about its surroundings. */
export interface AdapterContext {
  /** The gateway's origin; no token goes anywhere else. */
  readonly origin: string;
  readonly prefix: string;
  /** Path prefixes that get the token. */
  readonly paths: readonly string[];
  readonly trustRedirects: boolean;
  readonly fetch: typeof fetch;
  /** Whether a request to `url` may carry the token. */
  readonly mayCarry: (url: string) => boolean;
  /** To be called when the browser refuses to store the token and it is kept in memory instead. */
  readonly blocked: () => void;
  /** What to reject with when the token is out of reach: the worker failed. */
  readonly broken: (message: string) => Error;
}

/** How a request treats the token: put it in, or take a new one out of the answer. */
export type Handling = 'bearer' | 'absorb';

/** Whoever holds the token and sends the requests that need it. The rest of the client never sees the token. */
export interface Carrier {
  /** The storage to ask the server for. */
  readonly asks: BodyStorage;
  /** Whether other tabs see the same token. */
  readonly shared: boolean;
  readonly keptIn: KeptIn;
  status(): TokenStatus | null;
  send(request: Request, handling: Handling): Promise<Response>;
  clear(): void;
  close(): void;
}

/** Made by the functions of the adapter entries; what `createSessile({ storage })` takes. */
export type Adapter = (context: AdapterContext) => Carrier;

export interface SessileOptions {
  /** Where the access token is kept, by one of the adapter entries. None: in cookies, which need no keeping. */
  storage?: Adapter;
  /** The gateway's prefix. `/auth` unless told otherwise. */
  prefix?: string;
  /** The gateway's origin. The page's own unless told otherwise. */
  origin?: string;
  /** Path prefixes of that origin which the session is for, and the token. All unless told otherwise. */
  paths?: readonly string[];
  /** Hold requests that are refused because nobody is signed in, and send them after sign-in. Off unless given. */
  hold?: Hold;
  /** How many seconds before a session's end `ending-soon` begins. 60 unless told otherwise. */
  endingSoon?: number;
  /**
   * Follow redirects with the token and trust the browser to drop it where they leave the origin. The Fetch standard
   * has asked for that since 2022; older browsers do not do it.
   */
  trustRedirects?: boolean;
  /** What to send requests with. The platform's, as it is now, unless given. */
  fetch?: typeof fetch;
}

export interface Hold {
  /** How many requests wait at most. 20 unless told otherwise. */
  max?: number;
  /** How long each waits at most, in seconds. 120 unless told otherwise. */
  seconds?: number;
}

export interface Sessile {
  /** As the platform's, with the session looked after. Patches nothing. */
  readonly fetch: typeof fetch;
  signIn(credentials: Credentials): Promise<Session>;
  /** Forgets first, here and in other tabs, then tells the server. Of `this` session unless told otherwise. */
  signOut(scope?: SignOutScope): Promise<void>;
  /** Renews now. `fetch` does so by itself. */
  refresh(): Promise<void>;
  /** Who is signed in, as the server sees it. Extends nothing. */
  session(): Promise<Session | null>;
  /** Returns what ends the subscription. */
  on<E extends SessileEvent>(event: E, listener: Listener<E>): () => void;
  /** Where the access token is now. */
  readonly keptIn: KeptIn;
  /** Lets go of timers, tabs, held requests and the worker. The session stays. */
  close(): void;
}
