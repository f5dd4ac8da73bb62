//! From checked settings to what each part of the program is told.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use sessile::password::{Argon2Cost, PasswordPolicy, ThrottlePolicy};
use sessile::{Access, ApiClient, EngineConfig, KeyPolicy, PastStaleness};
use sessile_core::cookie::CookieConfig;
use sessile_core::cors::{AllowedOrigins, CorsConfig};
use sessile_core::csrf::CsrfConfig;
use sessile_core::fault::{ConfigFault, Weight};
use sessile_core::headers::{self, Csp, Rule};
use sessile_core::origin::Origin;
use sessile_core::policy::Limits;
use sessile_core::{SecretText, Storage};

use super::document::Given;
use super::keys::{Argon2, Headers, RouteCors, RouteHeaders};
use super::kinds::{ForwardedBy, HeaderSetting, HostSeen, HstsSetting, LogFormat, LogLevel};
use super::mistake::{Fault, Mistakes, Place};
use super::store::{self, StoreSettings};
use super::table::{Found, Refusable, show};
use super::{Purpose, RouteRow, Settings, Warning, secret_file};
use crate::gateway::{
    DrainPolicy, ForwardedField, GatewaySettings, HostField, RouteSettings, StaticSettings, TargetSettings, TlsFiles,
    UpstreamSettings, limits::Limits as GatewayLimits, tls, tls::Certificate,
};

/// What the parts of the program are told.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The engine.
    pub engine: EngineConfig,
    /// The gateway.
    pub gateway: GatewaySettings,
    /// The operations listener.
    pub ops: OpsSettings,
    /// The store.
    pub store: StoreSettings,
    /// How much is logged.
    pub log_level: LogLevel,
    /// What log lines look like.
    pub log_format: LogFormat,
}

/// What the operations listener is told.
#[derive(Clone, Debug)]
pub struct OpsSettings {
    /// Where to listen.
    pub listen: std::net::SocketAddr,
    /// The bearer token of the admin API; without one it is off.
    pub admin_token: Option<SecretText>,
    /// Host names accepted beside the listener's own.
    pub hosts: Vec<String>,
}

/// Translates. Adds what only the parts themselves can find wrong.
pub(super) fn build(
    settings: &Settings,
    given: &BTreeMap<String, Given>,
    purpose: Purpose,
    mistakes: &mut Mistakes,
) -> Option<(Runtime, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let origin = public_origin(settings)?;
    let engine = engine(settings, origin, purpose, mistakes);
    let mut faults = engine.cookie.validate();
    if faults.iter().all(|fault| fault.weight == Weight::Warn) {
        reach(&engine, settings, mistakes);
    }
    faults.extend(engine.csrf.validate());
    faults.extend(engine.app_headers.validate());
    for fault in faults {
        place(fault, given, mistakes, &mut warnings);
    }
    for row in &settings.routes {
        check_cors(row, engine.public_origin.is_https(), mistakes, &mut warnings);
    }
    if purpose == Purpose::Serve {
        files(settings, mistakes);
    }
    let runtime = Runtime {
        gateway: gateway(settings, &engine.app_headers),
        ops: ops(settings, purpose, mistakes),
        store: store::settings(settings, mistakes),
        log_level: *settings.log.level,
        log_format: *settings.log.format,
        engine,
    };
    Some((runtime, warnings))
}

/// Puts what core found wrong at the place where it was written.
fn place(fault: ConfigFault, given: &BTreeMap<String, Given>, mistakes: &mut Mistakes, warnings: &mut Vec<Warning>) {
    match fault.weight {
        Weight::Warn => warnings.push(Warning { key: fault.key, text: format!("{}; {}", fault.problem, fault.remedy) }),
        Weight::Stop => {
            let given = given.get(fault.key);
            let place = given.map_or(Place::Default, |given| given.place.clone());
            mistakes.fault(
                fault.key,
                place,
                given.and_then(|given| show(&given.raw)),
                Fault::new(fault.problem, fault.remedy),
            );
        }
    }
}

/// The public URL, or what follows from the listener.
fn public_origin(settings: &Settings) -> Option<Origin> {
    if let Some(url) = &*settings.server.public_url {
        return Some(url.0.clone());
    }
    let (scheme, default) = if settings.tls.cert.is_some() { ("https", 443) } else { ("http", 80) };
    let port = match settings.server.listen.port() {
        port if port == default => String::new(),
        port => format!(":{port}"),
    };
    Origin::parse(&format!("{scheme}://localhost{port}")).ok()
}

fn engine(settings: &Settings, origin: Origin, purpose: Purpose, mistakes: &mut Mistakes) -> EngineConfig {
    let base = EngineConfig::for_origin(origin.clone());
    let audience = &settings.token.audience;
    EngineConfig {
        issuer: settings.token.issuer.value.clone().unwrap_or(base.issuer),
        audience: if audience.is_empty() { base.audience } else { audience.value.clone() },
        client_id: settings.token.client_id.value.clone(),
        prefix: settings.server.auth_prefix.0.clone(),
        storage: *settings.session.storage,
        client_storages: settings.session.client_storages.iter().map(|storage| storage.0).collect(),
        route_storages: settings.routes.iter().filter_map(|row| *row.route.storage).collect(),
        limits: limits(settings),
        cookie: CookieConfig {
            path: settings.cookie.path.value.clone(),
            domain: settings.cookie.domain.value.clone(),
            same_site: *settings.cookie.same_site,
            embed: *settings.cookie.embed,
        },
        csrf: CsrfConfig {
            mode: *settings.csrf.mode,
            own_origins: vec![origin],
            trusted_origins: settings.csrf.trusted_origins.value.clone(),
        },
        keys: KeyPolicy {
            algorithm: *settings.keys.algorithm,
            rotate_every: *settings.keys.rotate,
            publish_ahead: *settings.keys.publish_ahead,
        },
        passwords: passwords(settings),
        sign_in_page: settings.sign_in.page.as_ref().map(|page| page.0.clone()),
        throttle: throttle(settings),
        fresh_for: *settings.session.fresh,
        app_headers: app_headers(&settings.headers),
        clients: clients(settings, purpose, mistakes),
        cache_tokens: count(*settings.session.cached_tokens),
        keep_events: *settings.store.keep_events,
        ..base
    }
}

fn limits(settings: &Settings) -> Limits {
    let session = &settings.session;
    let profile = session.profile.limits();
    Limits {
        access: *session.access,
        access_jitter_percent: u8::try_from(*session.access_jitter).unwrap_or(u8::MAX),
        idle: session.idle.unwrap_or(profile.idle),
        absolute: session.absolute.unwrap_or(profile.absolute),
        remember: session.remember.0,
        grace: *session.grace,
        staleness: *session.staleness,
        sessions_per_subject: *session.sessions_per_subject,
    }
}

fn passwords(settings: &Settings) -> PasswordPolicy {
    let sign_in = &settings.sign_in;
    PasswordPolicy {
        enabled: *sign_in.password,
        min_chars: count(*sign_in.min_length),
        max_bytes: count(*sign_in.max_length),
        argon2: argon2_cost(&settings.argon2),
        parallel_hashes: Some(count(*sign_in.parallel_hashes)).filter(|n| *n > 0),
        queue: count(*sign_in.queue),
        context: sign_in.words.value.clone(),
        ..PasswordPolicy::default()
    }
}

/// What hashing costs by these settings.
pub(super) fn argon2_cost(argon2: &Argon2) -> Argon2Cost {
    Argon2Cost { memory_kib: *argon2.memory_kib, iterations: *argon2.iterations, parallelism: *argon2.parallelism }
}

fn throttle(settings: &Settings) -> ThrottlePolicy {
    let throttle = &settings.throttle;
    ThrottlePolicy {
        free: *throttle.free,
        free_per_network: *throttle.free_per_network,
        first_wait: *throttle.first_wait,
        longest_wait: *throttle.longest_wait,
        longest_wait_per_network: *throttle.longest_wait_per_network,
        hard_stop: *throttle.hard_stop,
        forget_after: *throttle.forget_after,
        know_network_for: *throttle.know_network_for,
    }
}

fn app_headers(headers: &Headers) -> headers::Policy {
    let mut policy = headers::Policy::proxied_default();
    policy.hide_versions = *headers.hide_versions;
    policy.strict_transport_security = headers.strict_transport_security.0;
    set_csp(&mut policy, &headers.content_security_policy);
    for (ours, setting) in managed(&mut policy).into_iter().zip([
        &*headers.x_frame_options,
        &*headers.x_content_type_options,
        &*headers.referrer_policy,
        &*headers.cross_origin_opener_policy,
        &*headers.cross_origin_resource_policy,
        &*headers.cross_origin_embedder_policy,
        &*headers.permissions_policy,
        &*headers.x_xss_protection,
    ]) {
        *ours = setting.over(ours);
    }
    policy
}

/// The headers of a route: those of `[headers]`, but for what the route says itself.
fn route_headers(general: &headers::Policy, own: &RouteHeaders) -> headers::Policy {
    let mut policy = general.clone();
    if let Some(HstsSetting(hsts)) = &*own.strict_transport_security {
        policy.strict_transport_security = *hsts;
    }
    if let Some(setting) = &*own.content_security_policy {
        set_csp(&mut policy, setting);
    }
    for (ours, setting) in managed(&mut policy).into_iter().zip([
        &*own.x_frame_options,
        &*own.x_content_type_options,
        &*own.referrer_policy,
        &*own.cross_origin_opener_policy,
        &*own.cross_origin_resource_policy,
        &*own.cross_origin_embedder_policy,
        &*own.permissions_policy,
        &*own.x_xss_protection,
    ]) {
        if let Some(setting) = setting {
            *ours = setting.over(ours);
        }
    }
    policy
}

/// The headers with one plain value, in the order of the table.
fn managed(policy: &mut headers::Policy) -> [&mut headers::Managed; 8] {
    [
        &mut policy.x_frame_options,
        &mut policy.x_content_type_options,
        &mut policy.referrer_policy,
        &mut policy.cross_origin_opener_policy,
        &mut policy.cross_origin_resource_policy,
        &mut policy.cross_origin_embedder_policy,
        &mut policy.permissions_policy,
        &mut policy.x_xss_protection,
    ]
}

fn set_csp(policy: &mut headers::Policy, setting: &HeaderSetting) {
    policy.content_security_policy_rule = setting.rule;
    match (&setting.value, setting.rule) {
        (Some(value), _) => policy.content_security_policy = Csp::parse(value),
        (None, Rule::Off) => policy.content_security_policy = Csp::new(),
        (None, Rule::Override | Rule::AddIfMissing | Rule::KeepStricter) => {}
    }
}

fn clients(settings: &Settings, purpose: Purpose, mistakes: &mut Mistakes) -> Vec<ApiClient> {
    let mut clients = Vec::new();
    for client in settings.clients.iter().filter(|_| purpose == Purpose::Serve) {
        let (Some(id), Some(path)) = (&*client.id, &*client.secret_file) else { continue };
        if let Some(secret) = secret_of(&client.secret_file, path, mistakes) {
            let secret_digest = sessile_aws_lc::provider().sha256(secret.expose().as_bytes());
            clients.push(ApiClient { id: id.0.clone(), secret_digest });
        }
    }
    clients
}

fn secret_of<T>(key: &Found<T>, path: &std::path::Path, mistakes: &mut Mistakes) -> Option<SecretText> {
    match secret_file::read(path).and_then(|secret| secret_file::strong(&secret).map(|()| secret)) {
        Ok(secret) => Some(secret),
        Err(fault) => {
            key.refuse(mistakes, fault.problem, fault.remedy);
            None
        }
    }
}

fn ops(settings: &Settings, purpose: Purpose, mistakes: &mut Mistakes) -> OpsSettings {
    let ops = &settings.ops;
    let admin_token = match (&*ops.admin_token, &*ops.admin_token_file) {
        _ if purpose != Purpose::Serve => None,
        (None, None) => None,
        (None, Some(path)) => secret_of(&ops.admin_token_file, path, mistakes),
        (Some(token), _) => {
            if let Err(fault) = secret_file::strong(token) {
                ops.admin_token.refuse(mistakes, fault.problem, fault.remedy);
            }
            Some(token.clone())
        }
    };
    OpsSettings { listen: *ops.listen, admin_token, hosts: ops.hosts.iter().map(|host| host.0.clone()).collect() }
}

/// Certificates that a server would have to load (A17: what cannot be loaded stops the start).
fn files(settings: &Settings, mistakes: &mut Mistakes) {
    let Settings { tls, server, .. } = settings;
    if let (Some(cert), Some(key)) = (&*tls.cert, &*tls.key) {
        match secret_file::check(key) {
            Err(fault) => tls.key.refuse(mistakes, fault.problem, fault.remedy),
            Ok(()) => {
                if let Err(error) = Certificate::load(TlsFiles { cert: cert.clone(), key: key.clone() }) {
                    tls.cert.refuse(
                        mistakes,
                        error.to_string(),
                        "name a PEM file with the certificate first and its issuers after it, and its key",
                    );
                }
            }
        }
    }
    if let Some(ca) = &*server.upstream_ca
        && let Err(error) = tls::client_config(Some(ca))
    {
        server.upstream_ca.refuse(mistakes, error.to_string(), "name a PEM file of certificate authorities");
    }
}

/// The surface's own endpoints must be in reach of the cookies.
fn reach(engine: &EngineConfig, settings: &Settings, mistakes: &mut Mistakes) {
    if !engine.cookie.reaches(engine.public_origin.host(), &engine.prefix) {
        let given = if settings.cookie.domain.is_given() {
            &settings.cookie.domain as &dyn Refusable
        } else {
            &settings.cookie.path
        };
        given.refuse_with(
            mistakes,
            format!("a browser would not send the cookies to {}{}", engine.public_origin, engine.prefix),
            "choose a cookie path that covers server.auth_prefix, and a domain that server.public_url is under",
        );
    }
}

fn gateway(settings: &Settings, headers: &headers::Policy) -> GatewaySettings {
    let server = &settings.server;
    let tls = match (&*settings.tls.cert, &*settings.tls.key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert: cert.clone(), key: key.clone() }),
        _ => None,
    };
    let routes = match &*server.upstream {
        Some(url) => {
            let everything = RouteSettings::new("/", TargetSettings::upstream(url.0.as_str()), Access::Session);
            vec![RouteSettings { headers: headers.clone(), storage: *settings.session.storage, ..everything }]
        }
        None => settings.routes.iter().filter_map(|row| route(row, headers, *settings.session.storage)).collect(),
    };
    GatewaySettings {
        tls,
        workers: NonZeroUsize::new(count(*server.workers)),
        hosts: server.hosts.iter().map(|host| host.0.clone()).collect(),
        trusted_proxies: server.trusted_proxies.iter().map(|network| network.0).collect(),
        forwarded_field: match *server.forwarded_field {
            ForwardedBy::XForwarded => ForwardedField::XForwarded,
            ForwardedBy::Forwarded => ForwardedField::Forwarded,
        },
        sign_in_routes: settings.sign_in.upstream_routes.iter().map(ToString::to_string).collect(),
        upstream_ca: server.upstream_ca.value.clone(),
        limits: gateway_limits(settings),
        drain: DrainPolicy { announce: *server.drain_announce, finish: *server.drain },
        ..GatewaySettings::new(*server.listen, routes)
    }
}

fn route(row: &RouteRow, headers: &headers::Policy, storage: Storage) -> Option<RouteSettings> {
    let route = &row.route;
    let target = match (&*route.upstream, &*route.folder) {
        (Some(url), _) => TargetSettings::Upstream(UpstreamSettings {
            url: url.0.as_str().to_owned(),
            http2: *route.http2,
            host: match *route.host {
                HostSeen::Upstream => HostField::Upstream,
                HostSeen::Public => HostField::Public,
            },
        }),
        (None, Some(folder)) => TargetSettings::Static(StaticSettings { root: folder.clone(), spa: *route.spa }),
        (None, None) => return None,
    };
    let mut settings = RouteSettings::new(route.prefix.as_ref()?.0.clone(), target, *route.access);
    settings.storage = route.storage.unwrap_or(storage);
    settings.max_auth_age = *route.max_auth_age;
    if *route.danger_serve_until_token_expiry {
        settings.past_staleness = PastStaleness::DangerServeUntilTokenExpiry;
    }
    settings.upgrade = *route.upgrade;
    settings.max_body = route.max_body.map(u64::from);
    settings.headers = route_headers(headers, &row.headers);
    settings.cors = cors(&row.cors);
    Some(settings)
}

fn cors(section: &RouteCors) -> Option<CorsConfig> {
    let listed: Vec<&str> = section.origins.iter().map(|origin| origin.0.as_str()).collect();
    if listed.is_empty() {
        return None;
    }
    Some(CorsConfig {
        // A list that does not read was refused before anybody acts on this.
        origins: AllowedOrigins::parse(&listed).unwrap_or(AllowedOrigins::Listed(Vec::new())),
        methods: section.methods.value.clone(),
        headers: section.headers.value.clone(),
        expose: section.expose.value.clone(),
        max_age: *section.max_age,
        credentials: *section.credentials,
    })
}

/// What is wrong with who may read a route's answers.
fn check_cors(row: &RouteRow, https: bool, mistakes: &mut Mistakes, warnings: &mut Vec<Warning>) {
    let section = &row.cors;
    let listed: Vec<&str> = section.origins.iter().map(|origin| origin.0.as_str()).collect();
    if let Err(invalid) = AllowedOrigins::parse(&listed) {
        section.origins.refuse(
            mistakes,
            format!("\"*\" stands alone or not at all: {invalid}"),
            "list the origins, or \"*\" and nothing else",
        );
        return;
    }
    for fault in cors(section).map(|cors| cors.validate(https)).unwrap_or_default() {
        let at: &dyn Refusable = match fault.key {
            "cors.methods" => &section.methods,
            "cors.headers" => &section.headers,
            "cors.expose" => &section.expose,
            _ => &section.origins,
        };
        match fault.weight {
            Weight::Stop => at.refuse_with(mistakes, fault.problem, fault.remedy),
            Weight::Warn => warnings
                .push(Warning { key: "route.cors.origins", text: format!("{}; {}", fault.problem, fault.remedy) }),
        }
    }
}

fn gateway_limits(settings: &Settings) -> GatewayLimits {
    let (limits, timeouts) = (&settings.limits, &settings.timeouts);
    GatewayLimits {
        connections: count(*limits.connections),
        connections_per_network: count(*limits.connections_per_network),
        tls_handshake: *timeouts.tls_handshake,
        head: *timeouts.head,
        keep_alive: *timeouts.keep_alive,
        request_body_idle: *timeouts.request_body_idle,
        request_body_rate: u64::from(*limits.request_body_rate),
        send_stall: *timeouts.send_stall,
        upstream_connect: *timeouts.upstream_connect,
        upstream_head: *timeouts.upstream_head,
        upstream_body_idle: *timeouts.upstream_body_idle,
        stream_idle: *timeouts.stream_idle,
        upstream_keep_alive: *timeouts.upstream_keep_alive,
        upstream_idle_connections: count(*limits.upstream_idle_connections),
        upstream_head_bytes: count(*limits.upstream_head_bytes),
        h2_streams: *limits.h2_streams,
        h2_pending_resets: count(*limits.h2_pending_resets),
        h2_error_resets: count(*limits.h2_error_resets),
    }
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
