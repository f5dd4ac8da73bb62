//! Every key there is. The documentation of a key is what `sessile config`, `sessile init` and
//! docs/configuration.md say about it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sessile::Access;
use sessile_core::cookie::SameSite;
use sessile_core::crypto::Algorithm;
use sessile_core::csrf::CsrfMode;
use sessile_core::origin::Origin;
use sessile_core::{SecretText, Storage};

use super::kinds::{
    AssumedDurability, ClientId, ClientStorage, CorsOrigin, ForwardedBy, HeaderSetting, HostName, HostSeen,
    HstsSetting, LogFormat, LogLevel, MethodAndPath, Network, Prefix, Profile, PublicUrl, Remember, StoreName,
    StoreUrl, UpstreamUrl,
};
use super::table::{Section, section};

section! {
    /// The public listener: what browsers connect to.
    Server = "server" {
        /// Where to listen. Loopback by default: nothing is exposed before somebody decides so.
        listen: SocketAddr = "127.0.0.1:8080";
        /// The origin people see in their address bar. Links, the cross-site check and the token issuer come from here, never from a request. Default: `localhost` at the listening port, https with a certificate. Plain http only for `localhost`, `127.0.0.1` and `[::1]`.
        public_url: Option<PublicUrl> = "";
        /// The app, if there is just one and no `[[route]]`: every path needs a session, except the `/auth` surface.
        upstream: Option<UpstreamUrl> = "";
        /// There is no app behind this gateway; another proxy asks it through `/auth/verify`. Said aloud, so that a forgotten upstream is noticed.
        forward_auth: bool = "false";
        /// Where Sessile's own endpoints and pages live.
        auth_prefix: Prefix = "/auth";
        /// Hosts accepted in requests beside the one of `public_url`. Everything else is refused.
        hosts: Vec<HostName> = "";
        /// Proxies in front whose word about client address and scheme is believed. Nobody by default.
        trusted_proxies: Vec<Network> = "";
        /// The one header field family those proxies write; the other is ignored, because a proxy passes it on as the client sent it.
        forwarded_field: ForwardedBy = "x-forwarded";
        /// Listen on a network address without TLS because a proxy in front terminates it. Whoever can read that network can read every session; give this listener a certificate, or loopback, where you can.
        danger_plain_http_behind_proxy: bool = "false";
        /// Threads, each with a runtime, a listening socket and upstream connections of its own. 0: one per core.
        workers: u32 = "0", within "0" to "1024";
        /// PEM file of certificate authorities for https upstreams. Default: those of the system.
        upstream_ca: Option<PathBuf> = "";
        /// How long requests in flight may take after SIGTERM.
        drain: Duration = "20s", within "0s" to "1h";
        /// How long readiness says no before the listener closes, so that a load balancer looks elsewhere first.
        drain_announce: Duration = "0s", within "0s" to "5m";
    }
}

section! {
    /// TLS of the public listener. Both files or neither; SIGHUP reads them again.
    Tls = "server.tls" {
        /// PEM file: the certificate, then its issuers.
        cert: Option<PathBuf> = "";
        /// PEM file: the key of that certificate. Nobody else may read it.
        key: Option<PathBuf> = "";
    }
}

section! {
    /// How much one client, or one upstream, can hold on to.
    ServerLimits = "server.limits" {
        /// Connections at a time; further ones wait in the kernel's queue.
        connections: u32 = "10000", within "1" to "1000000";
        /// Connections at a time from one IPv4 address or IPv6 /64. Trusted proxies are exempt.
        connections_per_network: u32 = "512", within "1" to "1000000";
        /// Slowest average of a request body, in bytes per second, once it stalled.
        request_body_rate: u32 = "256", within "0" to "1000000000";
        /// Idle connections kept per upstream and thread.
        upstream_idle_connections: u32 = "256", within "0" to "10000";
        /// Response head of an upstream, in bytes.
        upstream_head_bytes: u32 = "65536", within "8192" to "1048576";
        /// HTTP/2: requests at a time on one connection.
        h2_streams: u32 = "128", within "1" to "10000";
        /// HTTP/2: requests cancelled before they were looked at, before the connection is closed (CVE-2023-44487).
        h2_pending_resets: u32 = "20", within "1" to "10000";
        /// HTTP/2: requests cancelled because of the client's errors, before the connection is closed (CVE-2025-8671).
        h2_error_resets: u32 = "64", within "1" to "10000";
    }
}

section! {
    /// How long each phase of a request may take.
    Timeouts = "server.timeouts" {
        /// From accept to the end of the TLS handshake.
        tls_handshake: Duration = "10s", within "100ms" to "1h";
        /// From the first byte of a request head to its last.
        head: Duration = "10s", within "100ms" to "1h";
        /// Between requests on one connection.
        keep_alive: Duration = "75s", within "100ms" to "1h";
        /// How long a client may send nothing of a body it has begun.
        request_body_idle: Duration = "30s", within "100ms" to "1h";
        /// How long a client may take nothing of what is sent to it.
        send_stall: Duration = "60s", within "100ms" to "1h";
        /// To connect to an upstream.
        upstream_connect: Duration = "5s", within "10ms" to "10m";
        /// From the end of a request to the head of the upstream's response.
        upstream_head: Duration = "60s", within "10ms" to "24h";
        /// How long an upstream may send nothing of a body it has begun.
        upstream_body_idle: Duration = "60s", within "10ms" to "24h";
        /// The same for event streams and WebSockets.
        stream_idle: Duration = "10m", within "1s" to "30d";
        /// How long an idle upstream connection is kept. Below the 5 s of Node, so that the gateway lets go first.
        upstream_keep_alive: Duration = "4s", within "100ms" to "10m";
    }
}

section! {
    /// The operations listener: health, metrics, administration. Never on the public one.
    Ops = "ops" {
        /// Where to listen. Loopback by default.
        listen: SocketAddr = "127.0.0.1:9901";
        /// File with the bearer token of the admin API, at least 32 random characters. Without one the admin API is off.
        admin_token_file: Option<PathBuf> = "";
        /// The token itself.
        admin_token: Option<SecretText> = "";
        /// Host names accepted in requests beside `localhost` and this listener's address. Others are refused, against DNS rebinding.
        hosts: Vec<HostName> = "";
        /// Listen on a network address. Metrics, health and, with a token, administration are then in reach of that network, without TLS.
        danger_network_listen: bool = "false";
    }
}

section! {
    /// Where sessions, accounts, keys and events are kept.
    Store = "store" {
        /// `memory:` loses everything with the process; `sqlite:` serves one process; several nodes share `postgres://` (14 or newer) or Redis (7 or newer, or Valkey): `redis://`, `redis+sentinel://`, `redis+cluster://`, with `rediss` for TLS. docs/operations.md compares them. Default: `sessile.db` in the data directory.
        url: Option<StoreUrl> = "";
        /// File with the password for a shared store, in place of one in the url. Nobody else may read it.
        password_file: Option<PathBuf> = "";
        /// Tells deployments on one server apart: the schema in PostgreSQL, the beginning of every key in Redis.
        name: StoreName = "sessile";
        /// PEM file of the authorities that a shared store's certificate is verified by. Default: those of the system.
        ca: Option<PathBuf> = "";
        /// Stop at the start if the store cannot be reached, as is done anyway with one on this machine. Otherwise a shared store is waited for: the node says that it is not ready and answers 503.
        required: bool = "false";
        /// PostgreSQL: connections for requests. Two more are kept, one so that ending sessions works under a flood of sign-ins.
        connections: u32 = "10", within "1" to "1000";
        /// How long a read from a shared store may take, waiting included, before the answer is 503.
        read_deadline: Duration = "500ms", within "10ms" to "1m";
        /// The same for a write.
        write_deadline: Duration = "2s", within "10ms" to "1m";
        /// Redis: replicas that must have a write before it counts. 0 waits for none: a failover can then lose what was acknowledged.
        replicas: u32 = "0", within "0" to "16";
        /// Redis: use a server that evicts data when its memory is full. Sessions end without notice, and a revocation may vanish before nodes have read it.
        danger_allow_eviction: bool = "false";
        /// Redis: believe that a server which does not tell its configuration never evicts. Needs `assume_durability`.
        danger_assume_noeviction: bool = "false";
        /// Redis: what the acknowledgements of such a server survive.
        assume_durability: Option<AssumedDurability> = "";
        /// Directory of the embedded database and of the master key, and of nothing else.
        data: PathBuf = "./sessile-data";
        /// How long security events are kept in the store. The log has them too.
        keep_events: Duration = "90d", within "1h" to "36500d";
    }
}

section! {
    /// How long sessions and tokens last, and where the token lives.
    Session = "session" {
        /// Where the JWT lives; docs/storages.md compares the seven. `hybrid`: a short access JWT in one HttpOnly cookie, the session token in another, renewal by the gateway.
        storage: Storage = "hybrid";
        /// Body-delivered storages that a client may choose when it signs in, by `"storage"` in its request. Their tokens are taken on every route beside those of the route's own storage.
        client_storages: Vec<ClientStorage> = "";
        /// Ready values for `idle` and `absolute`: NIST SP 800-63B-4 AAL1 (30 days), AAL2 (24 hours, 1 hour idle), AAL3 (12 hours, 15 minutes idle).
        profile: Profile = "aal2";
        /// Life of an access token: short enough to matter.
        access: Duration = "5m", within "1s" to "1h";
        /// Percent by which each token's life is randomly shortened, so that sessions that began together do not renew together.
        access_jitter: u32 = "5", within "0" to "50";
        /// A session without activity for this long ends. Default: of the profile, 1h. Recorded at renewal, so exact to one access-token life.
        idle: Option<Duration> = "", within "1s" to "400d";
        /// A session ends this long after sign-in, whatever happens. Default: of the profile, 24h.
        absolute: Option<Duration> = "", within "1s" to "400d";
        /// Whether "remember me" is offered, and the absolute end of such a session.
        remember: Remember = "off", within "off" to "400d";
        /// G: how long the preceding session token is still answered after its successor arrived: parallel tabs, lost responses.
        grace: Duration = "10s", within "1s" to "60s";
        /// T: the longest a node trusts what it knows of revocations without hearing from the store.
        staleness: Duration = "5s", within "200ms" to "60s";
        /// Live sessions a subject may have; a further sign-in ends the oldest.
        sessions_per_subject: u32 = "50", within "1" to "10000";
        /// How recent a sign-in must be for sensitive acts, such as ending one's other sessions.
        fresh: Duration = "10m", within "1s" to "24h";
        /// Verified tokens a node remembers, each about 2 kB of its memory.
        cached_tokens: u32 = "65536", within "16" to "10000000";
        /// Allow `local-storage` and `session-storage`, whose token every script of the page can read and carry away. `memory` hides it better; a script that may call `/auth/refresh` gets a token in all three.
        danger_script_readable_token: bool = "false";
    }
}

section! {
    /// The two cookies.
    Cookie = "cookie" {
        /// Requests under this path carry the cookies. Anything but `/` costs the `__Host-Http-` prefix.
        path: String = "/";
        /// Share the cookies with every host under this domain. Costs the prefix too: each of those hosts can replace a session.
        domain: Option<String> = "";
        /// When other sites cause requests with the cookies. Links from elsewhere work with `strict` through a bounce.
        same_site: SameSite = "strict";
        /// The site lives in frames of other sites: `SameSite=None` with `Partitioned`, and only together.
        embed: bool = "false";
    }
}

section! {
    /// Cross-site request forgery.
    Csrf = "csrf" {
        /// What is done with a request that may be forged. `report` only logs it, for rolling the policy out; `danger_off` does not look.
        mode: CsrfMode = "enforce";
        /// Other origins of the same site whose pages may act for the user, and read what Sessile answers them (CORS, with cookies).
        trusted_origins: Vec<Origin> = "";
    }
}

section! {
    /// Signing keys of access tokens, and the master key everything in the store is sealed under.
    Keys = "keys" {
        /// ES256 is verified by every gateway and language. HS256 makes every verifier a signer.
        algorithm: Algorithm = "ES256";
        /// How long a key signs.
        rotate: Duration = "30d", within "1m" to "3650d";
        /// How long before its first use a key is published: longer than `session.staleness` and a second. The key set may be cached for the rest of it, less a minute or a fifth for clocks that differ, so that whoever caches it has the key in time.
        publish_ahead: Duration = "5m", within "1s" to "24h";
        /// File with the master key. Default: `master.key` in the data directory, made once, mode 0600.
        master_key_file: Option<PathBuf> = "";
        /// The master key itself: 32 random bytes as base64.
        master_key: Option<SecretText> = "", alias "SESSILE_MASTER_KEY";
    }
}

section! {
    /// How users sign in.
    SignIn = "sign_in" {
        /// Built-in accounts with passwords, and the sign-in page.
        password: bool = "true";
        /// The app's own login endpoints, whose answer may carry `Sessile-Sign-In` or `Sessile-Sign-Out`. From everywhere else these headers are removed.
        upstream_routes: Vec<MethodAndPath> = "";
        /// The app's own sign-in page, such as `"/login"`: people without a session are sent there, with `?return_to=` and the path they wanted, and not to ours. Its route must be open to them.
        page: Option<Prefix> = "";
        /// Fewest characters of a new password. 15, because it is the only factor (NIST SP 800-63B-4).
        min_length: u32 = "15", within "15" to "128";
        /// Most bytes of a password. Longer ones are refused, never cut.
        max_length: u32 = "1024", within "64" to "4096";
        /// Words an attacker would try here first, such as the names of product and company.
        words: Vec<String> = "";
        /// Passwords hashed at a time. 0: one for every two cores.
        parallel_hashes: u32 = "0", within "0" to "1024";
        /// Sign-ins that may wait for their turn; whoever comes after them is told to come back.
        queue: u32 = "32", within "1" to "10000";
    }
}

section! {
    /// What hashing a password costs (Argon2id, RFC 9106). Less work than the default is refused.
    Argon2 = "sign_in.argon2" {
        /// Memory in KiB.
        memory_kib: u32 = "19456", within "7168" to "4194304";
        /// Passes over it.
        iterations: u32 = "2", within "1" to "100";
        /// Lanes.
        parallelism: u32 = "1", within "1" to "16";
    }
}

section! {
    /// Slowing down guessers without locking out their victims.
    Throttle = "sign_in.throttle" {
        /// Failures for one account before waiting begins.
        free: u32 = "5", within "1" to "100";
        /// Failures from one network before waiting begins. More: an office shares an address.
        free_per_network: u32 = "20", within "1" to "10000";
        /// The first wait; each further failure doubles it.
        first_wait: Duration = "1s", within "100ms" to "1m";
        /// The longest wait for an account.
        longest_wait: Duration = "15m", within "1s" to "24h";
        /// The longest wait for a network.
        longest_wait_per_network: Duration = "1m", within "1s" to "24h";
        /// Failures after which an account takes no more tries from unknown networks. NIST SP 800-63B-4 allows at most 100.
        hard_stop: u32 = "100", within "5" to "100";
        /// Failures are forgotten when none was added for this long.
        forget_after: Duration = "24h", within "1h" to "365d";
        /// A network stays known to an account for this long after a sign-in from it.
        know_network_for: Duration = "90d", within "1h" to "3650d";
    }
}

section! {
    /// Security headers added to the app's pages. Our own pages have stricter ones, which are not settings.
    Headers = "headers" {
        /// Ours is added to what the app sends; browsers enforce both, so the app's is never weakened.
        content_security_policy: HeaderSetting = "add-if-missing: object-src 'none'; base-uri 'self'; frame-ancestors 'self'";
        /// Over https only. Switch `includeSubDomains` off if some host below this one is plain http.
        strict_transport_security: HstsSetting = "keep-stricter: max-age=31536000; includeSubDomains";
        /// Who may put the pages into frames.
        x_frame_options: HeaderSetting = "add-if-missing: SAMEORIGIN";
        /// Content types are not guessed.
        x_content_type_options: HeaderSetting = "override: nosniff";
        /// What other sites learn of the address a link stood on.
        referrer_policy: HeaderSetting = "add-if-missing: strict-origin-when-cross-origin";
        /// Whether other sites' windows keep a handle on ours.
        cross_origin_opener_policy: HeaderSetting = "add-if-missing: same-origin-allow-popups";
        /// Which sites may load our resources.
        cross_origin_resource_policy: HeaderSetting = "add-if-missing: same-origin";
        /// Off: it breaks images of other sites.
        cross_origin_embedder_policy: HeaderSetting = "off";
        /// Browser features that frames of other sites get only if the app says so.
        permissions_policy: HeaderSetting = "add-if-missing: camera=(self), display-capture=(self), geolocation=(self), microphone=(self), midi=(self), payment=(self), usb=(self)";
        /// `0`: the filter is gone from current browsers, and in old ones `1; mode=block` let an attacker switch off chosen scripts.
        x_xss_protection: HeaderSetting = "override: 0";
        /// Remove fields that reveal products and versions from the app's answers.
        hide_versions: bool = "true";
    }
}

section! {
    /// What access tokens say about where they come from and whom they are for.
    Token = "token" {
        /// `iss`. Default: the public URL.
        issuer: Option<String> = "";
        /// `aud`. Default: the public URL.
        audience: Vec<String> = "";
        /// `client_id`.
        client_id: String = "sessile";
    }
}

section! {
    /// The log, on standard output.
    Log = "log" {
        /// How much. No level ever shows a secret.
        level: LogLevel = "info", alias "SESSILE_LOG";
        /// Text on a terminal, JSON lines elsewhere.
        format: LogFormat = "auto";
    }
}

section! {
    /// One part of the site. The longest prefix decides.
    Route = "route" repeated true {
        /// Required. `/api` covers `/api` and `/api/...`, never `/apix`.
        prefix: Option<Prefix> = "";
        /// The app behind it. Either this or `static`.
        upstream: Option<UpstreamUrl> = "";
        /// A folder of files. The prefix stays part of the path: `/docs/a.css` of prefix `/docs` is `FOLDER/docs/a.css`.
        folder: Option<PathBuf> = "", named "static";
        /// Who may pass: everybody and the app is told of nobody, everybody and the app is told who is signed in, or signed-in users.
        access: Access = "session";
        /// Where the JWT lives for requests under this prefix, and for sessions begun here. Default: `session.storage`.
        storage: Option<Storage> = "";
        /// How recently the user must have signed in.
        max_auth_age: Option<Duration> = "", within "1s" to "400d";
        /// When the store is away for longer than `session.staleness`, let requests pass on their access token alone, until it expires, instead of answering 503. Whoever was signed out meanwhile, or robbed, is let through too.
        danger_serve_until_token_expiry: bool = "false";
        /// Whether WebSocket handshakes pass. Default: where a session is needed, so that each connection has a session to end with.
        upgrade: Option<bool> = "";
        /// The largest request body in bytes. Default: no limit of ours, bodies stream.
        max_body: Option<u32> = "";
        /// Speak HTTP/2 to the app.
        http2: bool = "false";
        /// What the app sees as `Host`.
        host: HostSeen = "upstream";
        /// Answer pages that are not there with `index.html`, for single-page applications. Only with `static`.
        spa: bool = "false";
    }
}

section! {
    /// Security headers of this route, where they differ from `[headers]`.
    RouteHeaders = "route.headers" repeated true {
        /// Ours is added to what the app sends; browsers enforce both, so the app's is never weakened.
        content_security_policy: Option<HeaderSetting> = "";
        /// Over https only. Switch `includeSubDomains` off if some host below this one is plain http.
        strict_transport_security: Option<HstsSetting> = "";
        /// Who may put the pages into frames.
        x_frame_options: Option<HeaderSetting> = "";
        /// Content types are not guessed.
        x_content_type_options: Option<HeaderSetting> = "";
        /// What other sites learn of the address a link stood on.
        referrer_policy: Option<HeaderSetting> = "";
        /// Whether other sites' windows keep a handle on ours.
        cross_origin_opener_policy: Option<HeaderSetting> = "";
        /// Which sites may load our resources.
        cross_origin_resource_policy: Option<HeaderSetting> = "";
        /// Off: it breaks images of other sites.
        cross_origin_embedder_policy: Option<HeaderSetting> = "";
        /// Browser features that frames of other sites get only if the app says so.
        permissions_policy: Option<HeaderSetting> = "";
        /// `0`: the filter is gone from current browsers, and in old ones `1; mode=block` let an attacker switch off chosen scripts.
        x_xss_protection: Option<HeaderSetting> = "";
    }
}

section! {
    /// Which other origins may read this route's answers (CORS). Nobody, unless origins are listed.
    RouteCors = "route.cors" repeated true {
        /// Exact origins, or `*` alone for everybody, then without credentials.
        origins: Vec<CorsOrigin> = "";
        /// Methods other origins may use, `GET`, `HEAD` and `POST` included.
        methods: Vec<String> = "GET,HEAD,POST";
        /// Request headers other origins may send, in lower case.
        headers: Vec<String> = "";
        /// Response headers other origins may read.
        expose: Vec<String> = "";
        /// How long browsers may remember this.
        max_age: Duration = "10m", within "0s" to "24h";
        /// Whether such requests may carry cookies and be read. The cookies are `SameSite=Strict`, so this reaches origins of the same site only.
        credentials: bool = "false";
    }
}

section! {
    /// A resource server that may introspect and revoke tokens (RFC 7662, RFC 7009), by HTTP Basic authentication.
    Client = "client" repeated true {
        /// Required. Its name.
        id: Option<ClientId> = "";
        /// Required. File with its secret, at least 32 random characters.
        secret_file: Option<PathBuf> = "";
    }
}

/// Every section, in the order of the reference.
pub const SECTIONS: &[Section] = &[
    Server::SECTION,
    Tls::SECTION,
    ServerLimits::SECTION,
    Timeouts::SECTION,
    Ops::SECTION,
    Store::SECTION,
    Session::SECTION,
    Cookie::SECTION,
    Csrf::SECTION,
    Keys::SECTION,
    SignIn::SECTION,
    Argon2::SECTION,
    Throttle::SECTION,
    Headers::SECTION,
    Token::SECTION,
    Log::SECTION,
    Route::SECTION,
    RouteHeaders::SECTION,
    RouteCors::SECTION,
    Client::SECTION,
];
