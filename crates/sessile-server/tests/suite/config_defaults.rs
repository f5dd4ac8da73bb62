//! The table of keys against the code and against the documentation: one story (R-024, R-178, R-180).

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use sessile::EngineConfig;
use sessile_core::event::EventName;
use sessile_core::headers::Policy;
use sessile_core::origin::Origin;
use sessile_core::policy::Limits;
use sessile_core::token::Expected;
use sessile_server::config::keys::SECTIONS;
use sessile_server::config::{Key, Purpose, Sources, duration_text, load_text, reference};
use sessile_server::gateway::limits::Limits as GatewayLimits;
use sessile_server::gateway::{DrainPolicy, GatewaySettings};

use crate::config_corpus::load;

const GOOD: &str = "[server]\nupstream = \"http://127.0.0.1:3000\"\n";

fn page(name: &str) -> String {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// Generated pages are current. Negative control: a page that differs in one default does not pass.
#[test]
fn the_reference_pages_are_those_the_code_makes() {
    let configuration = page("configuration.md");
    assert_eq!(
        configuration.trim_end(),
        reference::markdown().trim_end(),
        "run `sessile config --markdown > docs/configuration.md`"
    );
    assert_ne!(configuration.replace("`\"5m\"`", "`\"6m\"`").trim_end(), reference::markdown().trim_end());
    let events = page("events.md");
    assert_eq!(
        events.trim_end(),
        sessile_server::cli::events_page().trim_end(),
        "run `sessile audit names --markdown > docs/events.md`"
    );
    for name in EventName::ALL {
        assert!(events.contains(&format!("`{}`", name.name())));
    }
}

/// R-178, R-024: with nothing configured, what runs is what core and engine call their safe defaults, which
/// are those of product.md section 11. Negative control: a configured value differs.
#[test]
fn the_default_profile_is_the_engines_own() {
    let loaded = load(GOOD).unwrap();
    let ours = &loaded.runtime.engine;
    let engine = EngineConfig::for_origin(Origin::parse("http://localhost:8080").unwrap());
    assert_eq!(format!("{ours:#?}"), format!("{engine:#?}"));
    assert_eq!(ours.limits, Limits::AAL2);
    assert_eq!(ours.app_headers, Policy::proxied_default());
    assert_ne!(
        format!("{:#?}", load(&format!("{GOOD}[session]\naccess = \"1m\"\n")).unwrap().runtime.engine),
        format!("{engine:#?}")
    );

    // The numbers themselves, as product.md section 11 states them.
    assert_eq!(ours.limits.access, Duration::from_secs(5 * 60));
    assert_eq!(ours.limits.access_jitter_percent, 5);
    assert_eq!((ours.limits.idle, ours.limits.absolute), (Duration::from_secs(3600), Duration::from_secs(24 * 3600)));
    assert_eq!(ours.limits.remember, Duration::ZERO);
    assert_eq!((ours.limits.grace, ours.limits.staleness), (Duration::from_secs(10), Duration::from_secs(5)));
    assert_eq!(ours.limits.sessions_per_subject, 50);
    assert_eq!((ours.passwords.min_chars, ours.throttle.hard_stop), (15, 100));
    let cost = ours.passwords.argon2;
    assert_eq!((cost.memory_kib, cost.iterations, cost.parallelism), (19 * 1024, 2, 1));
}

/// R-180: the gateway's limits and timeouts are those of the table.
#[test]
fn the_default_limits_are_the_gateways_own() {
    let gateway = load(GOOD).unwrap().runtime.gateway;
    let own = GatewaySettings::new("127.0.0.1:8080".parse().unwrap(), Vec::new());
    assert_eq!(gateway.limits, GatewayLimits::default());
    assert_eq!(gateway.drain, DrainPolicy::default());
    assert_eq!(gateway.listen, own.listen);
    assert_eq!((gateway.workers, gateway.tls.is_none(), gateway.trusted_proxies.len()), (own.workers, true, 0));
    assert_eq!(gateway.forwarded_field, own.forwarded_field);
    let route = &gateway.routes[0];
    assert_eq!((route.prefix.as_str(), route.access), ("/", sessile::Access::Session), "every path needs a session");
    assert_eq!(route.headers, Policy::proxied_default());
    let shown = |name: &str| {
        page("configuration.md")
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}`")))
            .map(str::to_owned)
            .unwrap()
    };
    assert!(shown("keep_alive").contains(&format!("`\"{}\"`", duration_text(GatewayLimits::default().keep_alive))));
    assert!(shown("connections").contains("`10000`"));
}

/// The configuration of docs/operations.md is one in which nothing is wrong, given its two files. Negative control: without
/// them it is refused.
#[test]
fn the_nodes_of_the_operations_page_start() {
    let operations = page("operations.md");
    let block = operations.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block");
    let home = tempfile::tempdir().unwrap();
    let here = block.replace("/etc/sessile", &home.path().display().to_string());
    assert_ne!(here, block);
    assert!(load_text("sessile.toml", &here, &Sources::default(), Purpose::Serve).is_err());
    for (name, text) in [("store.password", "hunter2-of-the-database"), ("master.key", "")] {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let loaded = load_text("sessile.toml", &here, &Sources::default(), Purpose::Serve).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let store = loaded.runtime.store.to_string();
    assert!(store.contains("db.example") && !store.contains("hunter2"), "{store}");
}

/// Every default reads back as a value that is accepted, written as a person would uncomment it; so does
/// every bound. Negative control: a value past the bound is refused.
#[test]
fn every_default_and_every_bound_is_a_value() {
    let mut checked = 0;
    for section in SECTIONS.iter().filter(|section| !section.repeated) {
        for key in section.keys {
            for (text, good) in [
                (Some(key.default), true),
                (key.within.map(|(low, _)| low), true),
                (key.within.map(|(_, high)| high), true),
            ] {
                let Some(text) = text.filter(|text| !text.is_empty() && !key.list) else { continue };
                let environment = vec![(key.env().into(), text.into())];
                let sources = Sources { environment, ..Sources::default() };
                // Bounds of one key may contradict the default of another; they must still be read.
                if let Err(mistakes) = load_text("x", GOOD, &sources, Purpose::Data) {
                    let unread = mistakes.iter().find(|m| {
                        m.key == key.path && (m.problem.contains("between") || m.problem.starts_with("not a"))
                    });
                    assert!(unread.is_none() && good, "{} = {text}: {mistakes}", key.path);
                    assert_ne!(text, key.default, "{mistakes}");
                }
                checked += 1;
            }
            if key.within.is_some_and(|(_, high)| high.ends_with('h')) {
                let (_, high) = key.within.unwrap();
                let beyond = format!("{}h", high.trim_end_matches('h').parse::<u64>().unwrap() + 1);
                let sources = Sources { environment: vec![(key.env().into(), beyond.into())], ..Sources::default() };
                let refused = load_text("x", GOOD, &sources, Purpose::Data).expect_err(key.path);
                assert!(refused.to_string().contains("between"), "{refused}");
            }
        }
    }
    assert!(checked > 120, "{checked}");
}

/// The commented file says nothing but the defaults, and names every key that belongs in a file.
#[test]
fn the_commented_file_is_the_default_profile() {
    let text = reference::commented_file(&[]);
    let loaded = load_text("sessile.toml", &text, &Sources::default(), Purpose::Data).expect("good");
    assert!(loaded.in_force.is_empty() && loaded.warnings.is_empty());
    for key in keys() {
        let line = format!("\n#{} = ", key.name);
        assert_eq!(text.contains(&line), !key.secret, "{}", key.path);
    }
    // Uncommented, every default is still the default.
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting)
                if !setting.starts_with([' ', '[']) && !setting.contains("# not set") && setting.contains(" = ") =>
            {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let plain = uncommented.split("#[[route]]").next().unwrap();
    let text = format!("{plain}\n{}\n", sessile_server::config::END);
    let loaded = load_text("sessile.toml", &text, &Sources::default(), Purpose::Data).unwrap_or_else(|m| panic!("{m}"));
    assert!(loaded.in_force.len() > 60, "{}", loaded.in_force.len());
    let defaults = load_text("x", "", &Sources::default(), Purpose::Data).unwrap();
    assert_eq!(format!("{:?}", loaded.runtime), format!("{:?}", defaults.runtime));
}

/// Danger is spelled: every key that weakens protection begins with `danger_`, is off, and is warned about.
#[test]
fn every_danger_is_off_and_warned_about() {
    let dangers: Vec<&Key> = keys().filter(|key| key.is_danger()).collect();
    assert!(dangers.len() >= 3);
    assert!(dangers.iter().all(|key| key.default == "false"));
    assert!(load(GOOD).unwrap().warnings.is_empty());
    for (text, key) in [
        ("[ops]\nlisten = \"0.0.0.0:9901\"\ndanger_network_listen = true\n", "ops.danger_network_listen"),
        (
            "listen = \"0.0.0.0:8080\"\npublic_url = \"http://localhost:8080\"\ndanger_plain_http_behind_proxy = true\n",
            "server.danger_plain_http_behind_proxy",
        ),
        ("[csrf]\nmode = \"report\"\n", "csrf.mode"),
        ("[csrf]\nmode = \"danger_off\"\n", "csrf.mode"),
        ("[keys]\nalgorithm = \"HS256\"\n", "keys.algorithm"),
        ("[session]\nstaleness = \"30s\"\n", "session.staleness"),
        (
            "[session]\nstorage = \"local-storage\"\ndanger_script_readable_token = true\n",
            "session.danger_script_readable_token",
        ),
    ] {
        let loaded = load(&format!("{GOOD}{text}")).unwrap_or_else(|m| panic!("{m}"));
        assert!(loaded.warnings.iter().any(|warning| warning.key == key), "{key}: {:?}", loaded.warnings);
    }
    let cookies = load(
        "[server]\nupstream = \"http://127.0.0.1:1\"\npublic_url = \"https://a.app.example\"\ntrusted_proxies = [\"127.0.0.1\"]\n[cookie]\ndomain = \"app.example\"\n",
    );
    assert_eq!(cookies.unwrap().warnings.iter().filter(|warning| warning.key == "cookie.domain").count(), 1);
}

/// Two storages whose JWT is in the same cookie are warned about; storages that keep it elsewhere are not.
#[test]
fn storages_that_share_a_cookie_are_warned_about() {
    let with = |storage: &str| {
        let loaded = load(&format!(
            "[[route]]\nprefix = \"/\"\nupstream = \"http://a\"\n[[route]]\nprefix = \"/admin\"\nupstream = \"http://a\"\nstorage = \"{storage}\"\n"
        ));
        loaded.unwrap().warnings.iter().filter(|warning| warning.key == "route.storage").count()
    };
    assert_eq!([with("database"), with("cookie")], [1, 1]);
    assert_eq!([with("hybrid"), with("server-session"), with("memory")], [0, 0, 0], "negative control");
}

/// What follows from the listener when nothing else is said.
#[test]
fn the_public_url_follows_the_listener() {
    let origin = |text: &str| load(&format!("{GOOD}{text}")).unwrap().runtime.engine.public_origin.to_string();
    assert_eq!(origin(""), "http://localhost:8080");
    assert_eq!(origin("listen = \"127.0.0.1:80\"\n"), "http://localhost");
    assert_eq!(origin("listen = \"[::1]:9000\"\n"), "http://localhost:9000");
    let named = "http://app.localhost:8080";
    assert_eq!(origin(&format!("public_url = \"{named}\"\n")), named, "RFC 6761: it never leaves the machine");
    let refused = |text: &str| load(&format!("{GOOD}{text}")).expect_err(text).to_string();
    assert!(refused("listen = \"127.0.0.1:0\"\n").contains("set server.public_url"));
    assert!(refused("listen = \"192.0.2.1:8080\"\n").contains("set server.public_url"));
}

/// Header settings reach the policy: values, rules, and what a route says itself.
#[test]
fn header_settings_reach_the_gateway() {
    let text = "[headers]\nx_frame_options = \"override: DENY\"\nreferrer_policy = \"off\"\nhide_versions = false\n\
                content_security_policy = \"override: default-src 'self'\"\n\
                strict_transport_security = \"override: max-age=63072000\"\n\
                [[route]]\nprefix = \"/\"\nupstream = \"http://127.0.0.1:1\"\n\
                [[route]]\nprefix = \"/widget\"\nupstream = \"http://127.0.0.1:1\"\n\
                [route.headers]\nx_frame_options = \"off\"\ncross_origin_embedder_policy = \"override: require-corp\"\n\
                [route.cors]\norigins = [\"https://a.example\"]\n";
    let loaded = load(text).unwrap_or_else(|m| panic!("{m}"));
    let [everything, widget] = &loaded.runtime.gateway.routes[..] else { panic!("two routes") };
    assert_eq!(everything.headers.x_frame_options.value, "DENY");
    assert_eq!(everything.headers.referrer_policy, sessile_core::headers::Managed::off());
    assert!(!everything.headers.hide_versions && !everything.headers.strict_transport_security.include_sub_domains);
    assert_eq!(everything.headers.content_security_policy.get("default-src"), Some("'self'"));
    assert_eq!(widget.headers.x_frame_options, sessile_core::headers::Managed::off());
    assert_eq!(widget.headers.cross_origin_embedder_policy.value, "require-corp");
    assert_eq!(widget.headers.content_security_policy, everything.headers.content_security_policy);
    assert!(everything.cors.is_none() && widget.cors.is_some());
}

/// A longest token the verifier allows is one the configuration can make.
#[test]
fn the_longest_access_token_fits_the_verifier() {
    let config = load(&format!("{GOOD}[session]\naccess = \"1h\"\n")).unwrap().runtime.engine;
    let expected = Expected {
        issuer: config.issuer.clone(),
        audience: config.audience.clone(),
        leeway: Duration::ZERO,
        longest_token: config.longest_renewed(),
        longest_unrenewed: config.longest_token(),
    };
    assert!(expected.longest_token >= config.limits.access);
}
