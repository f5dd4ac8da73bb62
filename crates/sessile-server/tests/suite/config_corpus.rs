//! Bad configurations: each is refused with its key and a remedy, and all mistakes are reported at once
//! (R-178, X7, D1, A17).

use std::collections::BTreeSet;

use sessile_server::config::{Mistakes, Purpose, Sources, load_text};

/// A configuration in which nothing is wrong, for the cases to spoil.
const GOOD: &str = "[server]\nupstream = \"http://127.0.0.1:3000\"\n";

pub(crate) fn load(text: &str) -> Result<sessile_server::config::Loaded, Mistakes> {
    load_text("sessile.toml", text, &Sources::default(), Purpose::Serve)
}

fn refused(text: &str) -> Mistakes {
    match load(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(mistakes) => mistakes,
    }
}

/// What is wrong, where (key and line), a word of the problem, a word of the remedy.
struct Case(&'static str, &'static str, usize, &'static str, &'static str);

/// Each text stands behind [`GOOD`], whose two lines it does not repeat.
const CASES: &[Case] = &[
    // Names.
    Case("lisen = \"127.0.0.1:1\"\n", "server.lisen", 3, "did you mean server.listen?", "config"),
    Case("[sesion]\naccess = \"5m\"\n", "sesion.access", 4, "did you mean session.access?", "remove"),
    Case("[cookie]\naccess = \"5m\"\n", "cookie.access", 4, "did you mean session.access?", "remove"),
    Case("[serverr]\n", "serverr", 3, "no such key", "remove"),
    Case("[[routes]]\nprefix = \"/\"\n", "[[routes]]", 3, "did you mean route?", "remove"),
    Case("[[session]]\naccess = \"5m\"\n", "[[session]]", 3, "one section", "[session]"),
    Case("limits = 5\n", "server.limits", 3, "section", "[server.limits]"),
    // Types.
    Case("[session]\naccess = 300\n", "session.access", 4, "whole number", "in quotes"),
    Case("[session]\naccess = 1.5\n", "session.access", 4, "fraction", "duration"),
    Case("[session]\naccess = true\n", "session.access", 4, "true or false", "duration"),
    Case("[session]\nsessions_per_subject = \"50\"\n", "session.sessions_per_subject", 4, "a string", "without quotes"),
    Case("[sign_in]\npassword = \"yes\"\n", "sign_in.password", 4, "a string", "true or false"),
    Case(
        "[csrf]\ntrusted_origins = \"https://a.example\"\n",
        "csrf.trusted_origins",
        4,
        "not a list",
        "square brackets",
    ),
    Case("trusted_proxies = [1]\n", "server.trusted_proxies", 3, "whole number", "networks"),
    Case("[session]\nidle = 2026-01-01\n", "session.idle", 4, "a date", "duration"),
    Case("listen = { port = 1 }\n", "server.listen.port", 3, "no such key", "remove"),
    // Values.
    Case("listen = \"localhost:8080\"\n", "server.listen", 3, "IP address", "127.0.0.1:8080"),
    Case("listen = \"127.0.0.1\"\n", "server.listen", 3, "port", "127.0.0.1:8080"),
    Case("listen = \"127.0.0.1:99999\"\n", "server.listen", 3, "port", "127.0.0.1:8080"),
    Case("[session]\naccess = \"5 minutes\"\n", "session.access", 4, "not a duration", "5m"),
    Case("[session]\naccess = \"0s\"\n", "session.access", 4, "between 1s and 1h", "from 1s to 1h"),
    Case("[session]\naccess = \"2h\"\n", "session.access", 4, "between", "from 1s to 1h"),
    Case("[session]\ngrace = \"10m\"\n", "session.grace", 4, "between", "60s"),
    Case("[session]\nabsolute = \"9999d\"\n", "session.absolute", 4, "between", "400d"),
    Case("[session]\nabsolute = \"99999999999999999999d\"\n", "session.absolute", 4, "duration", "5m"),
    Case("[session]\nstaleness = \"1h\"\n", "session.staleness", 4, "between", "60s"),
    Case("[session]\nstorage = \"hybird\"\n", "session.storage", 4, "did you mean \"hybrid\"?", "hybrid"),
    Case("[sign_in]\npage = \"/login\"\n", "sign_in.page", 4, "every path needs a session", "optional"),
    Case("[session]\nstorage = \"local-storage\"\n", "session.storage", 4, "carry it away", "danger_script"),
    Case("[session]\nstorage = \"session-storage\"\n", "session.storage", 4, "carry it away", "\"memory\""),
    Case("[session]\nclient_storages = [\"local-storage\"]\n", "session.client_storages", 4, "carry it", "danger_"),
    Case("[session]\nclient_storages = [\"hybrid\"]\n", "session.client_storages", 4, "a site's choice", "memory"),
    Case("[session]\nprofile = \"aal4\"\n", "session.profile", 4, "did you mean", "aal2"),
    Case("[session]\nsessions_per_subject = 0\n", "session.sessions_per_subject", 4, "between", "from 1"),
    Case("[session]\nsessions_per_subject = -1\n", "session.sessions_per_subject", 4, "whole number", "whole number"),
    Case("[cookie]\nsame_site = \"Strict\"\n", "cookie.same_site", 4, "choices", "strict"),
    Case("[cookie]\nsame_site = \"none\"\n", "cookie.same_site", 4, "any site", "embed"),
    Case("[cookie]\nembed = true\n", "cookie.embed", 4, "frame", "none"),
    Case("[cookie]\npath = \"api\"\n", "cookie.path", 4, "not a cookie path", "/api"),
    Case("[cookie]\npath = \"/api\"\n", "cookie.path", 4, "would not send", "auth_prefix"),
    Case("[cookie]\ndomain = \"com\"\n", "cookie.domain", 4, "shared", "two labels"),
    Case("[cookie]\ndomain = \"other.example\"\n", "cookie.domain", 4, "would not send", "public_url"),
    Case("[csrf]\nmode = \"off\"\n", "csrf.mode", 4, "full name", "danger_off"),
    Case("[csrf]\ntrusted_origins = [\"https://*.example\"]\n", "csrf.trusted_origins", 4, "wildcards", "exactly"),
    Case("[csrf]\ntrusted_origins = [\"https://a.example/\"]\n", "csrf.trusted_origins", 4, "no slash", "exactly"),
    Case("[csrf]\ntrusted_origins = [\"null\"]\n", "csrf.trusted_origins", 4, "null", "origin"),
    Case("[keys]\nalgorithm = \"RS256\"\n", "keys.algorithm", 4, "never issued", "ES256"),
    Case("[keys]\nalgorithm = \"none\"\n", "keys.algorithm", 4, "not an algorithm", "ES256"),
    Case("[keys]\nalgorithm = \"es256\"\n", "keys.algorithm", 4, "did you mean \"ES256\"?", "ES256"),
    Case("[keys]\nrotate = \"6m\"\n", "keys.rotate", 4, "pile up", "longer"),
    Case(
        "[keys]\nmaster_key = \"TopSecretTopSecret\"\n",
        "keys.master_key",
        4,
        "secret in the configuration file",
        "_file",
    ),
    Case(
        "[ops]\nadmin_token = \"TopSecretTopSecret\"\n",
        "ops.admin_token",
        4,
        "secret in the configuration file",
        "_file",
    ),
    Case("[store]\nurl = \"postgres://u:TopSecretTopSecret@db/x\"\n", "store.url", 4, "a password", "password_file"),
    Case("[store]\nurl = \"redis://u:TopSecretTopSecret@r\"\n", "store.url", 4, "a password", "SESSILE_STORE_URL"),
    Case("[store]\nurl = \"postgres://db.example/x\"\n", "store.url", 4, "names no user", "postgres://USER@HOST"),
    Case(
        "[store]\nurl = \"postgres://u@db.example/x?sslmode=prefer\"\n",
        "store.url",
        4,
        "sslmode=verify-full",
        "postgres://USER@HOST",
    ),
    Case("[store]\nurl = \"redis://r#insecure\"\n", "store.url", 4, "# and ?", "redis://HOST"),
    Case("[store]\nurl = \"redis+clusters://r\"\n", "store.url", 4, "sentinel or cluster", "redis+cluster"),
    Case("[store]\nurl = \"redis://r\"\nname = \"Shop\"\n", "store.name", 5, "not a name", "a-z"),
    Case("[store]\nreplicas = 1\n", "store.replicas", 4, "does not name Redis", "store.url"),
    Case(
        "[store]\ndanger_allow_eviction = true\n",
        "store.danger_allow_eviction",
        4,
        "does not name Redis",
        "remove it",
    ),
    Case("[store]\nurl = \"redis://r\"\nca = \"ca.pem\"\n", "store.ca", 5, "rediss", "remove it"),
    Case(
        "[store]\nurl = \"redis://r\"\nassume_durability = \"memory\"\n",
        "store.assume_durability",
        5,
        "belong together",
        "both",
    ),
    Case(
        "[store]\nurl = \"redis://r\"\npassword_file = \"/nowhere/at/all\"\n",
        "store.password_file",
        5,
        "No such file",
        "a file",
    ),
    Case("[store]\nurl = \"mysql://x\"\n", "store.url", 4, "no kind of store", "sqlite:PATH"),
    Case("[store]\nurl = \"sqlite:\"\n", "store.url", 4, "no path", "sqlite:PATH"),
    Case("[sign_in]\nmin_length = 8\n", "sign_in.min_length", 4, "between 15", "from 15"),
    Case("[sign_in]\nupstream_routes = [\"/api/login\"]\n", "sign_in.upstream_routes", 4, "method", "POST /api/login"),
    Case(
        "[sign_in]\nupstream_routes = [\"GET /api/login\"]\n",
        "sign_in.upstream_routes",
        4,
        "changes something",
        "POST /api/login",
    ),
    Case("[sign_in.argon2]\nmemory_kib = 8192\n", "sign_in.argon2.memory_kib", 4, "less work", "raise"),
    Case("[sign_in.throttle]\nhard_stop = 1000\n", "sign_in.throttle.hard_stop", 4, "between", "100"),
    Case("[log]\nlevel = \"verbose\"\n", "log.level", 4, "choices", "trace"),
    Case("trusted_proxies = [\"0.0.0.0/0\"]\n", "server.trusted_proxies", 3, "everybody", "10.0.0.0/8"),
    Case("trusted_proxies = [\"::/0\"]\n", "server.trusted_proxies", 3, "everybody", "networks"),
    Case("trusted_proxies = [\"10.0.0.5/8\"]\n", "server.trusted_proxies", 3, "behind the prefix", "10.0.0.0/8"),
    Case("[headers]\nx_frame_options = \"DENY\"\n", "headers.x_frame_options", 4, "no rule", "override"),
    Case(
        "[headers]\nx_frame_options = \"overide: DENY\"\n",
        "headers.x_frame_options",
        4,
        "did you mean \"override\"?",
        "override",
    ),
    Case(
        "[headers]\nstrict_transport_security = \"override: max-age=x\"\n",
        "headers.strict_transport_security",
        4,
        "max-age",
        "max-age",
    ),
    Case("[token]\nclient_id = \"\"\n", "token.client_id", 4, "empty", "text"),
    Case("[server.timeouts]\nhead = \"0s\"\n", "server.timeouts.head", 4, "between", "100ms"),
    // Contradictions.
    Case("public_url = \"http://app.example\"\n", "server.public_url", 3, "plain http", "https://app.example"),
    Case("public_url = \"http://app.localhost.example:8080\"\n", "server.public_url", 3, "plain http", "localhost"),
    Case("public_url = \"https://app.example\"\n", "server.public_url", 3, "no certificate", "trusted_proxies"),
    Case("public_url = \"https://app.example/login\"\n", "server.public_url", 3, "no slash", "no path"),
    Case("public_url = \"https://app.example:443\"\n", "server.public_url", 3, "default port", "default port"),
    Case(
        "listen = \"0.0.0.0:8080\"\npublic_url = \"http://localhost:8080\"\n",
        "server.listen",
        3,
        "without TLS",
        "danger_plain_http_behind_proxy",
    ),
    Case(
        "listen = \"[::]:8080\"\npublic_url = \"http://localhost:8080\"\n",
        "server.listen",
        3,
        "without TLS",
        "127.0.0.1",
    ),
    Case(
        "danger_plain_http_behind_proxy = true\n",
        "server.danger_plain_http_behind_proxy",
        3,
        "nothing to allow",
        "remove",
    ),
    Case("[server.tls]\ncert = \"/nowhere/cert.pem\"\n", "server.tls.cert", 4, "without its key", "server.tls.key"),
    Case(
        "[server.tls]\nkey = \"/nowhere/key.pem\"\n",
        "server.tls.key",
        4,
        "without its certificate",
        "server.tls.cert",
    ),
    Case("[ops]\nlisten = \"127.0.0.1:8080\"\n", "ops.listen", 4, "same address", "another port"),
    Case("[ops]\nlisten = \"0.0.0.0:9901\"\n", "ops.listen", 4, "network address", "danger_network_listen"),
    Case("[ops]\ndanger_network_listen = true\n", "ops.danger_network_listen", 4, "nothing to allow", "remove"),
    Case("[session]\nidle = \"1m\"\n", "session.idle", 4, "shorter than the life", "longer session.idle"),
    Case("[session]\nabsolute = \"30m\"\n", "session.absolute", 4, "idle timeout", "longer session.absolute"),
    Case("[session]\nremember = \"1h\"\n", "session.remember", 4, "shorter than session.absolute", "off"),
    Case("[session]\naccess = \"5s\"\n", "session.grace", 0, "longer than the life", "session.grace"),
    Case(
        "[session]\ndanger_script_readable_token = true\n",
        "session.danger_script_readable_token",
        4,
        "nothing to allow",
        "remove",
    ),
    Case("forward_auth = true\n", "server.forward_auth", 3, "there is an app", "remove"),
    Case("auth_prefix = \"/\"\n", "server.auth_prefix", 3, "others need", "/auth"),
    Case("[sign_in]\npassword = false\n", "sign_in.password", 4, "nobody could sign in", "upstream_routes"),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://127.0.0.1:1\"\n",
        "server.upstream",
        2,
        "which is meant",
        "prefix",
    ),
    Case("[[client]]\nid = \"api\"\n", "client.secret_file", 4, "missing", "secret_file"),
    Case("[[client]]\nid = \"a b\"\nsecret_file = \"x\"\n", "client.id", 4, "client name", "letters"),
];

/// The same for routes, each text alone.
const ROUTE_CASES: &[Case] = &[
    Case("", "server.upstream", 0, "nothing to serve", "--upstream"),
    Case(
        "[sign_in]\npassword = false\nupstream_routes = [\"POST /login\"]\n[[route]]\nprefix = \"/x\"\nupstream = \"http://a\"\n",
        "sign_in.upstream_routes",
        3,
        "no [[route]]",
        "prefix",
    ),
    Case(
        "[sign_in]\npassword = false\nupstream_routes = [\"POST /login\"]\n[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n",
        "sign_in.upstream_routes",
        3,
        "nobody could sign in",
        "public",
    ),
    Case(
        "[sign_in]\nupstream_routes = [\"POST /login\"]\n[[route]]\nprefix = \"/\"\nstatic = \"/tmp\"\n",
        "sign_in.upstream_routes",
        2,
        "files",
        "route of the app",
    ),
    Case("[[route]]\nprefix = \"/\"\n", "route.upstream", 1, "missing", "upstream = "),
    Case("[[route]]\nupstream = \"http://a\"\n", "route.prefix", 1, "missing", "prefix = "),
    Case("[[route]]\nprefix = \"api\"\nupstream = \"http://a\"\n", "route.prefix", 2, "slash", "\"/api\""),
    Case(
        "[[route]]\nprefix = \"/api/\"\nupstream = \"http://a\"\n",
        "route.prefix",
        2,
        "ends with a slash",
        "\"/api\"",
    ),
    Case("[[route]]\nprefix = \"/a//b\"\nupstream = \"http://a\"\n", "route.prefix", 2, "segments", "path"),
    Case("[[route]]\nprefix = \"/a/../b\"\nupstream = \"http://a\"\n", "route.prefix", 2, "segments", "path"),
    Case("[[route]]\nprefix = \"/%61pi\"\nupstream = \"http://a\"\n", "route.prefix", 2, "segments", "path"),
    Case(
        "[[route]]\nprefix = \"/auth/x\"\nupstream = \"http://a\"\n",
        "route.prefix",
        2,
        "Sessile itself",
        "another prefix",
    ),
    Case("[[route]]\nprefix = \"/\"\nupstream = \"ftp://a\"\n", "route.upstream", 3, "https://", "127.0.0.1:3000"),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a/path\"\n",
        "route.upstream",
        3,
        "no slash",
        "forwarded as they are",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://u:TopSecretTopSecret@a\"\n",
        "route.upstream",
        3,
        "user name",
        "address",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\naccess = \"sesion\"\n",
        "route.access",
        4,
        "did you mean \"session\"?",
        "session",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\nstorage = \"local-storage\"\n",
        "route.storage",
        4,
        "carry it away",
        "hybrid",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\nacess = \"public\"\n",
        "route.acess",
        4,
        "did you mean route.access?",
        "remove",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\nstatic = \"/tmp\"\n",
        "route.static",
        4,
        "not to both",
        "remove",
    ),
    Case("[[route]]\nprefix = \"/\"\nstatic = \"/nowhere-at-all\"\n", "route.static", 3, "no folder", "folder"),
    Case("[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\nspa = true\n", "route.spa", 4, "only files", "static"),
    Case("[[route]]\nprefix = \"/\"\nstatic = \"/tmp\"\nhttp2 = true\n", "route.http2", 4, "no app", "remove"),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\naccess = \"public\"\nmax_auth_age = \"5m\"\n",
        "route.max_auth_age",
        5,
        "public",
        "session",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n[[route]]\nprefix = \"/\"\nupstream = \"http://b\"\n",
        "route.prefix",
        5,
        "earlier",
        "remove",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n[route.cors]\norigins = [\"*\", \"https://a.example\"]\n",
        "route.cors.origins",
        5,
        "wildcard",
        "origins",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n[route.cors]\norigins = [\"*\"]\ncredentials = true\n",
        "route.cors.origins",
        5,
        "every site",
        "credentials",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n[route.cors]\nmethods = [\"GET\"]\n",
        "route.cors.origins",
        1,
        "means nothing",
        "list origins",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n[route.cors]\norigins = [\"https://a.example\"]\nheaders = [\"X-Upper\"]\n",
        "route.cors.headers",
        6,
        "lower case",
        "lower case",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n[route.headers]\nx_frame = \"off\"\n",
        "route.headers.x_frame",
        5,
        "no such key",
        "remove",
    ),
    Case(
        "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n[route.headers]\nx_frame_options = \"off: DENY\"\n",
        "route.headers.x_frame_options",
        5,
        "no value",
        "\"off\"",
    ),
];

/// What a text that is no whole TOML says.
const BROKEN: &[&str] = &[
    "[server\n",
    "listen = \n",
    "[session]\naccess = \"5m\n",
    "[session]\naccess = \"5m\"\naccess = \"6m\"\n",
    "[session]\n[session]\n",
    "= 5\n",
    "[server]\nlisten = \"127.0.0.1:1\" \"x\"\n",
];

fn every_case() -> impl Iterator<Item = (String, &'static Case)> {
    let behind_good = CASES.iter().map(|case| (format!("{GOOD}{}", case.0), case));
    behind_good.chain(ROUTE_CASES.iter().map(|case| (case.0.to_owned(), case)))
}

fn check(text: &str, Case(_, key, line, problem, remedy): &Case) {
    let mistakes = refused(text);
    let found = mistakes.iter().find(|mistake| mistake.key == *key);
    let Some(mistake) = found else { panic!("{key} is not named in\n{mistakes}\n\nfor\n{text}") };
    assert!(mistake.problem.contains(problem), "{key}: {:?} lacks {problem:?}", mistake.problem);
    assert!(mistake.remedy.contains(remedy), "{key}: {:?} lacks {remedy:?}", mistake.remedy);
    let place = mistake.place.to_string();
    let wanted = if *line == 0 { "default".to_owned() } else { format!("sessile.toml:{line}:") };
    assert!(place.starts_with(&wanted), "{key} is placed at {place}, not {wanted}, for\n{text}");
}

/// each bad configuration is refused, naming key, place, problem and remedy. Negative control: the text
/// every case spoils is accepted, and a case that expects another key does not pass.
#[test]
fn every_bad_configuration_is_refused_with_key_place_and_remedy() {
    assert!(CASES.len() + ROUTE_CASES.len() >= 50);
    load(GOOD).expect("the control is good");
    for (text, case) in every_case() {
        check(&text, case);
    }
    let misled =
        std::panic::catch_unwind(|| check(&format!("{GOOD}lisen = 1\n"), &Case("", "server.listen", 3, "", "")));
    assert!(misled.is_err(), "the check can fail");
}

/// a mistake is reported once, and breeds no others, unless the case says so by its contradiction.
#[test]
fn one_mistake_is_reported_once() {
    for (text, case) in every_case() {
        let mistakes = refused(&text);
        let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys.iter().filter(|key| **key == case.1).count(), 1, "{keys:?} for\n{text}");
        assert!(mistakes.len() <= 2, "{mistakes}\n\nfor\n{text}");
    }
}

/// all at once. Every pair of mistakes in different sections is reported together.
#[test]
fn all_mistakes_are_reported_at_once() {
    let independent: Vec<&Case> = CASES
        .iter()
        .filter(|case| {
            case.0.starts_with('[') && !case.0.starts_with("[[") && case.2 == 4 && case.0.lines().count() == 2
        })
        // A relation is judged only between values without a mistake; this one goes to another section.
        .filter(|case| case.1 != "keys.rotate")
        .collect();
    assert!(independent.len() > 20);
    let mut pairs = 0;
    for (index, first) in independent.iter().enumerate() {
        for second in &independent[index + 1..] {
            if first.0.lines().next() == second.0.lines().next() {
                continue;
            }
            let text = format!("{GOOD}{}{}", first.0, second.0);
            let keys: BTreeSet<String> = refused(&text).iter().map(|mistake| mistake.key.clone()).collect();
            assert!(keys.contains(first.1) && keys.contains(second.1), "{} and {} give {keys:?}", first.1, second.1);
            pairs += 1;
        }
    }
    assert!(pairs > 200);
    // The whole corpus of single sections in one file.
    let mut seen = BTreeSet::new();
    let mut text = GOOD.to_owned();
    let mut expected = BTreeSet::new();
    for case in &independent {
        if seen.insert(case.0.lines().next()) {
            text.push_str(case.0);
            expected.insert(case.1.to_owned());
        }
    }
    let keys: BTreeSet<String> = refused(&text).iter().map(|mistake| mistake.key.clone()).collect();
    assert!(keys.is_superset(&expected), "{expected:?} not all in {keys:?}");
}

/// X7: a text that is no whole TOML is refused at its place, with every fault of the syntax.
#[test]
fn broken_files_are_refused_at_their_place() {
    for text in BROKEN {
        let mistakes = refused(text);
        let first = mistakes.iter().next().expect("a mistake");
        assert_eq!(first.key, "configuration file", "{text}");
        assert!(first.place.to_string().starts_with("sessile.toml:"), "{}", first.place);
    }
    let several = refused("[server\nx = \n[session]\naccess = \"5m\n");
    assert!(several.len() >= 2, "{several}");
}

/// nothing that looks like a secret is repeated in a message, wherever it was written.
#[test]
fn messages_repeat_no_secret() {
    const SECRET: &str = "TopSecretTopSecret";
    let mut searched = 0;
    for (text, _) in every_case().filter(|(text, _)| text.contains(SECRET)) {
        let mistakes = refused(&text);
        assert!(!mistakes.to_string().contains(SECRET), "{mistakes}");
        assert!(!mistakes.to_json().to_string().contains(SECRET));
        searched += 1;
    }
    assert!(searched >= 4);
    let unknown = refused(&format!("{GOOD}[sign_in]\npasswrd = \"{SECRET}\"\n"));
    assert!(!unknown.to_string().contains(SECRET));
    // Negative control: other values are repeated, so that a person finds them.
    assert!(refused(&format!("{GOOD}[session]\naccess = \"5 minutes\"\n")).to_string().contains("5 minutes"));
}
