// The names of Sessile's outside surface that these tests rely on, in one place.

export const COOKIE = { session: '__Host-Http-sessile', access: '__Host-Http-sessile-at' };

export const METRIC = { rotations: 'sessile_session_rotations_total' };

export const EVENT = { reuse: 'authn_token_reuse', csrf: 'malicious_csrf', regressed: 'sys_store_regressed' };

/** Staleness bound T of the default configuration, in milliseconds. */
export const T_MS = 5000;

/** Passwords of test accounts: long enough for the policy, unlike any word on a blocklist. */
export const PASSWORD = { ada: 'correct-mallet-ferry-91', grace: 'violet-anchor-sundial-47', alan: 'pebble-octave-lantern-58' };
