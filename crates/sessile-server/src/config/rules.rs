//! What settings must be to each other. Every rule looks only at settings in which no mistake was found, so
//! that one mistake is reported once.

use std::net::SocketAddr;
use std::time::Duration;

use sessile::Access;
use sessile_core::Storage;
use sessile_core::crypto::Algorithm;
use sessile_core::storage::{AccessTokenPlace, Renewal};

use super::kinds::{Prefix, StoreUrl};
use super::mistake::{Fault, Mistakes, Place};
use super::setting::duration_text;
use super::table::{Found, Refusable, Sound};
use super::{Purpose, RouteRow, Settings, Warning};

/// Checks every rule.
pub(super) fn check(settings: &Settings, purpose: Purpose, mistakes: &mut Mistakes) -> Vec<Warning> {
    let mut rules = Rules { settings, mistakes };
    rules.public_address();
    rules.listeners();
    rules.tls();
    rules.session();
    rules.storages();
    rules.past_staleness();
    rules.keys();
    rules.store(purpose);
    rules.sign_in();
    rules.routes(purpose);
    rules.clients();
    rules.secrets();
    warnings(settings)
}

struct Rules<'a> {
    settings: &'a Settings,
    mistakes: &'a mut Mistakes,
}

fn sound(settings: &[&dyn Sound]) -> bool {
    settings.iter().all(|setting| setting.is_sound())
}

fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The loopback origins that browsers trust over plain http. Names under `localhost` never leave the machine either
/// (RFC 6761 section 6.3); of the large browsers Safari alone does not resolve them.
fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
}

impl Rules<'_> {
    /// A public address over plain http is refused; who terminates TLS is said.
    fn public_address(&mut self) {
        let Settings { server, tls, .. } = self.settings;
        let behind = &server.danger_plain_http_behind_proxy;
        if !sound(&[&server.listen, &server.public_url, &server.trusted_proxies, &tls.cert, behind]) {
            return;
        }
        let has_tls = tls.cert.is_some();
        let exposed = !is_loopback(&server.listen);
        if let Some(url) = &*server.public_url {
            let url = &url.0;
            if !url.is_https() && !is_local(url.host()) {
                server.public_url.refuse(
                    self.mistakes,
                    "a public address over plain http: everybody on the way could read and take over sessions",
                    format!(
                        "write \"https://{}\" and give server.tls.cert and server.tls.key, or serve localhost",
                        url.host()
                    ),
                );
            } else if !url.is_https() && has_tls {
                server.public_url.refuse(
                    self.mistakes,
                    "plain http, but the listener has a certificate",
                    "write https://, or leave server.tls out",
                );
            } else if url.is_https() && !has_tls && server.trusted_proxies.is_empty() {
                server.public_url.refuse(
                    self.mistakes,
                    "https, but this listener has no certificate and no trusted proxy could have ended TLS in front of it",
                    "give server.tls.cert and server.tls.key, or name the proxy in server.trusted_proxies",
                );
            }
        } else if exposed {
            server.listen.refuse(
                self.mistakes,
                "a network address, and nothing says what people see in their address bar",
                "set server.public_url, such as \"https://app.example\"",
            );
        } else if server.listen.port() == 0 {
            server.listen.refuse(
                self.mistakes,
                "any free port, so the public URL cannot be derived from it",
                "set server.public_url, or name a port",
            );
        }
        if exposed && !has_tls && !**behind {
            server.listen.refuse(
                self.mistakes,
                "a network address without TLS",
                "give server.tls.cert and server.tls.key, or listen on 127.0.0.1, or, if a proxy in front ends TLS, set \
                 server.danger_plain_http_behind_proxy = true",
            );
        }
        if **behind && (!exposed || has_tls) {
            behind.refuse(
                self.mistakes,
                "nothing to allow: the listener is on loopback or has a certificate",
                "remove it",
            );
        }
    }

    fn listeners(&mut self) {
        let Settings { server, ops, .. } = self.settings;
        if !sound(&[&server.listen, &ops.listen, &ops.danger_network_listen]) {
            return;
        }
        let (public, private) = (*server.listen, *ops.listen);
        let overlap = public.ip() == private.ip() || public.ip().is_unspecified() || private.ip().is_unspecified();
        if overlap && public.port() == private.port() && public.port() != 0 {
            ops.listen.refuse(
                self.mistakes,
                format!("the same address as server.listen ({public}): operations never share the public listener"),
                "choose another port",
            );
        }
        match (is_loopback(&private), *ops.danger_network_listen) {
            (false, false) => ops.listen.refuse(
                self.mistakes,
                "a network address: metrics and administration would be in reach of that network, without TLS",
                "listen on 127.0.0.1 or [::1], or set ops.danger_network_listen = true",
            ),
            (true, true) => {
                ops.danger_network_listen.refuse(
                    self.mistakes,
                    "nothing to allow: ops.listen is on loopback",
                    "remove it",
                );
            }
            (true, false) | (false, true) => {}
        }
    }

    fn tls(&mut self) {
        let tls = &self.settings.tls;
        if !sound(&[&tls.cert, &tls.key]) {
            return;
        }
        match (&*tls.cert, &*tls.key) {
            (Some(_), None) => tls.cert.refuse(self.mistakes, "a certificate without its key", "set server.tls.key"),
            (None, Some(_)) => tls.key.refuse(self.mistakes, "a key without its certificate", "set server.tls.cert"),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn session(&mut self) {
        let session = &self.settings.session;
        let profile = session.profile.limits();
        let idle = session.idle.unwrap_or(profile.idle);
        let absolute = session.absolute.unwrap_or(profile.absolute);
        if sound(&[&session.idle, &session.access, &session.profile]) && idle < *session.access {
            session.idle.refuse(
                self.mistakes,
                format!(
                    "shorter than the life of an access token ({}), at whose end activity is noticed",
                    duration_text(*session.access)
                ),
                "choose a longer session.idle or a shorter session.access",
            );
        }
        if sound(&[&session.idle, &session.absolute, &session.profile]) && absolute < idle {
            session.absolute.refuse(
                self.mistakes,
                format!("shorter than the idle timeout ({})", duration_text(idle)),
                "choose a longer session.absolute or a shorter session.idle",
            );
        }
        let remember = session.remember.0;
        if sound(&[&session.remember, &session.absolute, &session.profile])
            && !remember.is_zero()
            && remember < absolute
        {
            session.remember.refuse(
                self.mistakes,
                format!(
                    "shorter than session.absolute ({}): being remembered would change nothing",
                    duration_text(absolute)
                ),
                "choose a longer duration, or \"off\"",
            );
        }
        if sound(&[&session.grace, &session.access]) && *session.grace > *session.access {
            session.grace.refuse(
                self.mistakes,
                format!("longer than the life of an access token ({})", duration_text(*session.access)),
                "choose a shorter session.grace",
            );
        }
    }

    /// A token that scripts can read is somebody's spelled decision.
    fn storages(&mut self) {
        let Settings { session, routes, .. } = self.settings;
        let danger = &session.danger_script_readable_token;
        if !sound(&[&session.storage, &session.client_storages, danger]) {
            return;
        }
        const REMEDY: &str = "choose \"hybrid\", or \"memory\" if the page must hold a token, or set \
                              session.danger_script_readable_token = true";
        let refused = |storage: Storage| storage.shape().danger.filter(|_| !**danger);
        if let Some(why) = refused(*session.storage) {
            session.storage.refuse(self.mistakes, why, REMEDY);
        }
        if let Some(why) = session.client_storages.iter().find_map(|storage| refused(storage.0)) {
            session.client_storages.refuse(self.mistakes, why, REMEDY);
        }
        for row in routes {
            if let Some(why) = row.route.storage.filter(|_| row.route.storage.is_sound()).and_then(refused) {
                row.route.storage.refuse(self.mistakes, why, REMEDY);
            }
        }
        if **danger && storages(self.settings).all(|storage| storage.shape().danger.is_none()) {
            danger.refuse(self.mistakes, "nothing to allow: no storage in use hands its token to scripts", "remove it");
        }
    }

    /// A route whose token lives as long as its session, or is looked up with each request, has no short-lived token to
    /// go by.
    fn past_staleness(&mut self) {
        let Settings { session, routes, .. } = self.settings;
        for row in routes {
            let danger = &row.route.danger_serve_until_token_expiry;
            let storage = row.route.storage.unwrap_or(*session.storage);
            if !**danger || !sound(&[danger, &session.storage, &row.route.storage, &row.route.access]) {
                continue;
            }
            if storage.shape().renewal == Renewal::Never {
                danger.refuse(
                    self.mistakes,
                    format!("\"{storage}\" has no short-lived access token"),
                    "remove it, or choose another storage for this route",
                );
            } else if *row.route.access == Access::Public {
                danger.refuse(self.mistakes, "nobody's session is looked at on a public route", "remove it");
            }
        }
    }

    fn keys(&mut self) {
        let Settings { keys, session, .. } = self.settings;
        let least = *keys.publish_ahead + *session.access;
        if sound(&[&keys.rotate, &keys.publish_ahead, &session.access]) && *keys.rotate <= least {
            keys.rotate.refuse(
                self.mistakes,
                format!(
                    "not longer than keys.publish_ahead and session.access together ({}): keys would pile up",
                    duration_text(least)
                ),
                "choose a longer keys.rotate",
            );
        }
    }

    fn store(&mut self, purpose: Purpose) {
        let Settings { store, keys, .. } = self.settings;
        if purpose != Purpose::Serve && store.url.sound && matches!(*store.url, Some(StoreUrl::Memory)) {
            store.url.refuse(
                self.mistakes,
                "this store lives inside the server process; no command can open it from outside",
                "use the admin API of the operations listener, or a store that lasts",
            );
        }
        if store.url.sound {
            self.store_settings(purpose);
        }
        if sound(&[&keys.master_key, &keys.master_key_file])
            && keys.master_key.is_some()
            && keys.master_key_file.is_some()
        {
            keys.master_key_file.refuse(
                self.mistakes,
                "the master key is given twice: here and in the environment",
                "unset SESSILE_MASTER_KEY, or remove this",
            );
        }
    }

    /// A promise of another kind of store is not kept, and a danger of one must not wait unseen for the day the url
    /// changes.
    fn store_settings(&mut self, purpose: Purpose) {
        const SHARED: &str = "a shared store";
        let store = &self.settings.store;
        let url = store.url.as_ref();
        let shared = url.is_some_and(StoreUrl::is_shared);
        let redis = matches!(url, Some(StoreUrl::Redis(_)));
        let encrypted = url.is_some_and(StoreUrl::is_encrypted);
        let needs: [(&dyn Refusable, bool, bool, &str); 7] = [
            (&store.password_file, store.password_file.is_some(), shared, SHARED),
            (&store.ca, store.ca.is_some(), shared, SHARED),
            (&store.ca, store.ca.is_some() && shared, encrypted, "a server with TLS, such as rediss://"),
            (&store.replicas, *store.replicas > 0, redis, "Redis"),
            (&store.danger_allow_eviction, *store.danger_allow_eviction, redis, "Redis"),
            (&store.danger_assume_noeviction, *store.danger_assume_noeviction, redis, "Redis"),
            (&store.assume_durability, store.assume_durability.is_some(), redis, "Redis"),
        ];
        for (key, asked, fits, what) in needs {
            // Of the two stores of a move, what is set may be for the other one.
            if asked && !fits && purpose != Purpose::Move {
                key.refuse_with(
                    self.mistakes,
                    format!("there is nothing for it to do: store.url does not name {what}"),
                    "remove it, or name such a store in store.url",
                );
            }
        }
        // Of the two stores of a move, one may have its password in its url.
        let twice = store.password_file.is_some() && url.is_some_and(StoreUrl::has_password);
        if twice && purpose != Purpose::Move {
            store.password_file.refuse(
                self.mistakes,
                "the password is given twice: here and in store.url",
                "remove it from the url, or remove this",
            );
        }
        if *store.danger_assume_noeviction != store.assume_durability.is_some() {
            let given = if *store.danger_assume_noeviction {
                &store.danger_assume_noeviction as &dyn Refusable
            } else {
                &store.assume_durability
            };
            given.refuse_with(
                self.mistakes,
                "store.danger_assume_noeviction and store.assume_durability belong together".to_owned(),
                "give both for a server that does not tell its configuration, or neither",
            );
        }
    }

    fn sign_in(&mut self) {
        let Settings { sign_in, argon2, throttle, server, .. } = self.settings;
        if sound(&[&sign_in.password, &sign_in.upstream_routes, &server.forward_auth])
            && !*sign_in.password
            && sign_in.upstream_routes.is_empty()
        {
            sign_in.password.refuse(
                self.mistakes,
                "nobody could sign in: no passwords, and no route of the app that may",
                "set sign_in.upstream_routes = [\"POST /api/login\"], or leave passwords on",
            );
        }
        let cost = super::runtime::argon2_cost(argon2);
        if sound(&[&argon2.memory_kib, &argon2.iterations, &argon2.parallelism]) && cost.is_below_floor() {
            let given = if argon2.memory_kib.is_given() { &argon2.memory_kib } else { &argon2.iterations };
            given.refuse(
                self.mistakes,
                "less work for an attacker than 19 MiB in two passes",
                "raise sign_in.argon2.memory_kib or sign_in.argon2.iterations",
            );
        }
        if sound(&[&throttle.free, &throttle.hard_stop]) && *throttle.free >= *throttle.hard_stop {
            throttle.free.refuse(self.mistakes, "not below sign_in.throttle.hard_stop", "choose a smaller number");
        }
        if sound(&[&throttle.first_wait, &throttle.longest_wait]) && *throttle.first_wait > *throttle.longest_wait {
            throttle.first_wait.refuse(
                self.mistakes,
                "longer than sign_in.throttle.longest_wait",
                "choose a shorter wait",
            );
        }
        self.sign_in_page();
        self.sign_in_routes();
    }

    /// A sign-in page that needs a session leads people round in a circle.
    fn sign_in_page(&mut self) {
        let Settings { sign_in, server, routes, .. } = self.settings;
        let Some(page) = &*sign_in.page else { return };
        if !sound(&[&sign_in.page, &server.upstream])
            || routes.iter().any(|row| !row.route.prefix.sound || !row.route.access.sound)
        {
            return;
        }
        let (problem, remedy) = match covering(routes, &page.0) {
            Some(row) if *row.route.access == Access::Session => (
                "its route needs a session: nobody without one could see it",
                "give it a [[route]] with access = \"optional\"",
            ),
            Some(_) => return,
            None if server.upstream.is_some() => (
                "with server.upstream every path needs a session: nobody without one could see it",
                "write a [[route]] for the app, and one with access = \"optional\" for this page",
            ),
            None => ("no [[route]] leads to it", "add a [[route]] whose prefix covers it"),
        };
        sign_in.page.refuse(self.mistakes, problem, remedy);
    }

    /// A sign-in route must lead to an app, and at least one must be open to people without a session.
    fn sign_in_routes(&mut self) {
        let Settings { sign_in, server, routes, .. } = self.settings;
        let all = &sign_in.upstream_routes;
        if !sound(&[all, &server.upstream])
            || routes.iter().any(|row| !row.route.prefix.sound || !row.route.access.sound)
        {
            return;
        }
        let (mut open, mut lost) = (0, 0);
        for wanted in all.iter() {
            match covering(routes, &wanted.path.0) {
                Some(row) if row.route.folder.is_some() => {
                    lost += 1;
                    all.refuse(
                        self.mistakes,
                        format!("\"{wanted}\" leads to files, not to an app"),
                        "name a route of the app",
                    );
                }
                Some(row) => open += usize::from(*row.route.access != Access::Session),
                None if server.upstream.is_some() => {}
                None => {
                    lost += 1;
                    all.refuse(
                        self.mistakes,
                        format!("no [[route]] leads to \"{wanted}\""),
                        "add a [[route]] whose prefix covers it",
                    );
                }
            }
        }
        if sign_in.password.sound && !*sign_in.password && !all.is_empty() && open == 0 && lost == 0 {
            all.refuse(
                self.mistakes,
                "each of these needs a session already, and there are no passwords: nobody could sign in",
                "add a [[route]] with access = \"public\" for the login endpoint",
            );
        }
    }

    fn routes(&mut self, purpose: Purpose) {
        let Settings { server, routes, .. } = self.settings;
        if sound(&[&server.auth_prefix])
            && (server.auth_prefix.0 == "/" || overlaps(&server.auth_prefix, "/.well-known"))
        {
            server.auth_prefix.refuse(self.mistakes, "a path that others need", "choose a path such as \"/auth\"");
        }
        if sound(&[&server.upstream]) && server.upstream.is_some() && !routes.is_empty() {
            server.upstream.refuse(
                self.mistakes,
                "one app for everything, and [[route]] tables beside it: which is meant?",
                "write this address as upstream of a [[route]] with prefix = \"/\", or remove the routes",
            );
        }
        let nothing = server.upstream.is_none() && routes.is_empty();
        if sound(&[&server.upstream, &server.forward_auth]) {
            if *server.forward_auth && !nothing {
                server.forward_auth.refuse(
                    self.mistakes,
                    "there is an app behind this gateway",
                    "remove it, or the app",
                );
            } else if purpose == Purpose::Serve && nothing && !*server.forward_auth {
                let fault = Fault::new(
                    "there is nothing to serve: no app and no files",
                    "name the app with --upstream http://127.0.0.1:3000, or write a [[route]], or set server.forward_auth = true \
                     if another proxy asks /auth/verify",
                );
                self.mistakes.fault("server.upstream", Place::Default, None, fault);
            }
        }
        for (index, row) in routes.iter().enumerate() {
            self.route(row, &routes[..index], purpose);
        }
    }

    fn route(&mut self, row: &RouteRow, earlier: &[RouteRow], purpose: Purpose) {
        let route = &row.route;
        let prefixes =
            [&self.settings.server.auth_prefix.0, "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"];
        match &*route.prefix {
            Some(prefix) => {
                if let Some(ours) = prefixes.into_iter().find(|ours| Prefix((*ours).to_owned()).covers(&prefix.0)) {
                    route.prefix.refuse(
                        self.mistakes,
                        format!("{ours} is answered by Sessile itself"),
                        "choose another prefix",
                    );
                }
                if earlier.iter().any(|other| other.route.prefix.as_ref() == Some(prefix)) {
                    route.prefix.refuse(self.mistakes, "an earlier [[route]] has this prefix", "remove one of the two");
                }
            }
            None if route.prefix.sound => self.missing("route.prefix", row, "add prefix = \"/\" or prefix = \"/api\""),
            None => {}
        }
        if sound(&[&route.upstream, &route.folder]) {
            match (&*route.upstream, &*route.folder) {
                (Some(_), Some(_)) => {
                    route.folder.refuse(
                        self.mistakes,
                        "a route leads to an app or to files, not to both",
                        "remove upstream or static",
                    );
                }
                (None, None) => self.missing(
                    "route.upstream",
                    row,
                    "add upstream = \"http://127.0.0.1:3000\" or static = \"FOLDER\"",
                ),
                (None, Some(folder)) if purpose == Purpose::Serve && !folder.is_dir() => {
                    route.folder.refuse(self.mistakes, "no folder is there", "name a folder that this user may read");
                }
                (Some(_), None) | (None, Some(_)) => {}
            }
        }
        if row.cors.origins.sound && row.cors.origins.is_empty() && row.cors.is_given() {
            let fault = Fault::new(
                "no origin is listed, so the rest of [route.cors] means nothing",
                "list origins, or remove the section",
            );
            self.mistakes.fault("route.cors.origins", row.place.clone(), None, fault);
        }
        let files = route.folder.is_some();
        if *route.spa && !files {
            route.spa.refuse(
                self.mistakes,
                "only files have an index.html to answer with",
                "remove it, or serve files with static",
            );
        }
        if files && *route.http2 {
            route.http2.refuse(self.mistakes, "there is no app to speak to", "remove it");
        }
        if files && *route.upgrade == Some(true) {
            route.upgrade.refuse(self.mistakes, "files have no WebSockets", "remove it");
        }
        if *route.access == Access::Public && route.max_auth_age.is_some() {
            route.max_auth_age.refuse(
                self.mistakes,
                "a public route asks nobody to sign in",
                "remove it, or set access = \"session\"",
            );
        }
    }

    fn missing(&mut self, key: &str, row: &RouteRow, remedy: &str) {
        self.mistakes.fault(key, row.place.clone(), None, Fault::new("missing", remedy));
    }

    fn clients(&mut self) {
        let clients = &self.settings.clients;
        for (index, client) in clients.iter().enumerate() {
            let other_place =
                || if client.id.is_given() { client.id.place.clone() } else { client.secret_file.place.clone() };
            if client.id.sound && client.id.is_none() {
                let fault = Fault::new("missing", "add id = \"NAME\"");
                self.mistakes.fault("client.id", other_place(), None, fault);
            }
            if client.secret_file.sound && client.secret_file.is_none() {
                let fault = Fault::new("missing", "add secret_file = \"PATH\"");
                self.mistakes.fault("client.secret_file", other_place(), None, fault);
            }
            if client.id.is_some() && clients[..index].iter().any(|earlier| *earlier.id == *client.id) {
                client.id.refuse(self.mistakes, "an earlier [[client]] has this id", "give it another one");
            }
        }
    }

    fn secrets(&mut self) {
        let ops = &self.settings.ops;
        if sound(&[&ops.admin_token, &ops.admin_token_file])
            && ops.admin_token.is_some()
            && ops.admin_token_file.is_some()
        {
            ops.admin_token_file.refuse(
                self.mistakes,
                "the admin token is given twice: here and in SESSILE_OPS_ADMIN_TOKEN",
                "keep one of the two",
            );
        }
    }
}

/// The route that a path leads to.
fn covering<'a>(routes: &'a [RouteRow], path: &str) -> Option<&'a RouteRow> {
    routes
        .iter()
        .filter(|row| row.route.prefix.as_ref().is_some_and(|prefix| prefix.covers(path)))
        .max_by_key(|row| row.route.prefix.as_ref().map_or(0, |prefix| prefix.0.len()))
}

/// Every storage that is in use.
fn storages(settings: &Settings) -> impl Iterator<Item = Storage> {
    let session = &settings.session;
    let of_clients = session.client_storages.iter().map(|storage| storage.0);
    let of_routes = settings.routes.iter().filter_map(|row| *row.route.storage);
    std::iter::once(*session.storage).chain(of_clients).chain(of_routes)
}

fn overlaps(prefix: &Found<Prefix>, other: &str) -> bool {
    prefix.covers(other) || Prefix(other.to_owned()).covers(&prefix.0)
}

fn warnings(settings: &Settings) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |key: &'static str, text: String| warnings.push(Warning { key, text });
    let store = &settings.store;
    for danger in [
        &settings.server.danger_plain_http_behind_proxy,
        &settings.ops.danger_network_listen,
        &store.danger_allow_eviction,
        &store.danger_assume_noeviction,
    ] {
        if **danger {
            warn(danger.key().path, danger.key().why.trim().to_owned());
        }
    }
    for row in &settings.routes {
        let danger = &row.route.danger_serve_until_token_expiry;
        if **danger {
            let prefix = row.route.prefix.as_ref().map_or("", |prefix| &prefix.0);
            warn(danger.key().path, format!("prefix {prefix:?}: {}", danger.key().why.trim()));
        }
    }
    if *settings.session.danger_script_readable_token {
        for storage in storages(settings) {
            if let Some(why) = storage.shape().danger {
                warn("session.danger_script_readable_token", format!("storage \"{storage}\": {why}"));
            }
        }
    }
    let mut in_one_cookie: Vec<_> =
        storages(settings).filter(|storage| storage.shape().access_token == AccessTokenPlace::Cookie).collect();
    in_one_cookie.sort_unstable();
    in_one_cookie.dedup();
    if let [first, second, ..] = in_one_cookie[..] {
        warn(
            "route.storage",
            format!(
                "\"{first}\" and \"{second}\" keep their JWT in the same cookie: a browser that goes from one route to the other \
                 is given a new one each time, and a JWT that is never renewed beside one that is; use one of them for the whole site"
            ),
        );
    }
    if *settings.keys.algorithm == Algorithm::Hs256 {
        warn(
            "keys.algorithm",
            "HS256 keys are never published: an app behind the gateway cannot verify its tokens, and whoever could, could make them".into(),
        );
    }
    if *settings.session.staleness > Duration::from_secs(10) {
        let bound = duration_text(*settings.session.staleness);
        warn(
            "session.staleness",
            format!("a revocation may take up to {bound} to reach a node that lost touch with the store"),
        );
    }
    warnings
}
