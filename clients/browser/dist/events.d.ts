import type { Session } from './types.js';
export interface SessileEvents {
    /** Somebody signed in: by this client (`here`), or in another tab. Without `session` it is not known who. */
    'signed-in': {
        readonly here: boolean;
        readonly session?: Session;
    };
    /** Nobody is signed in any more, or nobody was in the first place. */
    'signed-out': {
        /** This client was asked to, another tab was, or the server knows of no session. */
        readonly reason: 'sign-out' | 'elsewhere' | 'no_session';
    };
    /** The session was renewed, by this client (`here`) or in another tab. */
    renewed: {
        readonly here: boolean;
    };
    /** Each second of the last minute, or of what `endingSoon` says. Announces, and never extends anything. */
    'ending-soon': {
        readonly seconds: number;
    };
    /** The browser refused to store the token, which is in memory now: it works, until the page is reloaded. */
    'storage-blocked': {};
}
export type SessileEvent = keyof SessileEvents;
export type Listener<E extends SessileEvent> = (event: SessileEvents[E]) => void;
export declare function createEvents(): {
    on<E extends SessileEvent>(event: E, listener: Listener<E>): () => void;
    emit<E extends SessileEvent>(event: E, detail: SessileEvents[E]): void;
    clear: () => void;
};
