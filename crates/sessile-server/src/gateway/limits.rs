//! Time and size limits, one for every phase of a request (R-119, P25, fault row H10).

use std::time::Duration;

/// Limits of the gateway. Each bounds what one client, or one upstream, can hold on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Connections at a time from one IPv4 address or IPv6 /64. Trusted proxies are exempt, and for a public URL that is not of this
    /// machine so is what connects from this machine: a proxy nobody mentioned.
    pub connections_per_network: usize,
    /// From accept to the end of the TLS handshake.
    pub tls_handshake: Duration,
    /// From the first byte of a request head (on a new connection: from accept) to its last.
    pub head: Duration,
    /// Between requests on one connection.
    pub keep_alive: Duration,
    /// How long a client may send nothing of a body it has begun.
    pub request_body_idle: Duration,
    /// Slowest average of a request body, in bytes per second, once `request_body_idle` was spent waiting for it.
    /// Time in which the upstream takes nothing does not count.
    pub request_body_rate: u64,
    /// How long a client may take nothing of what is sent to it.
    pub send_stall: Duration,
    /// To connect to an upstream.
    pub upstream_connect: Duration,
    /// From the end of a request, or the last piece of its body, to the upstream's response head.
    pub upstream_head: Duration,
    /// How long an upstream may send nothing of a body it has begun.
    pub upstream_body_idle: Duration,
    /// The same for event streams, and for both directions of a WebSocket together.
    pub stream_idle: Duration,
    /// How long an idle upstream connection is kept. Below Node's keep-alive of 5 s, so that we are the side that lets go.
    pub upstream_keep_alive: Duration,
    /// Idle connections kept per upstream and thread.
    pub upstream_idle_connections: usize,
    /// Response head of an upstream, in bytes.
    pub upstream_head_bytes: usize,
    /// HTTP/2: requests at a time on one connection.
    pub h2_streams: u32,
    /// HTTP/2: requests cancelled before they were looked at, before the connection is closed (CVE-2023-44487).
    pub h2_pending_resets: usize,
    /// HTTP/2: requests this side had to cancel because of the peer's errors, before the connection is closed (CVE-2025-8671).
    pub h2_error_resets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_network: 512,
            tls_handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            request_body_idle: Duration::from_secs(30),
            request_body_rate: 256,
            send_stall: Duration::from_secs(60),
            upstream_connect: Duration::from_secs(5),
            upstream_head: Duration::from_secs(60),
            upstream_body_idle: Duration::from_secs(60),
            stream_idle: Duration::from_secs(600),
            upstream_keep_alive: Duration::from_secs(4),
            upstream_idle_connections: 256,
            upstream_head_bytes: 64 * 1024,
            h2_streams: 128,
            h2_pending_resets: 20,
            h2_error_resets: 64,
        }
    }
}
