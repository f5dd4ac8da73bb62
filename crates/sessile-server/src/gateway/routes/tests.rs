use std::net::SocketAddr;

use super::super::settings::GatewaySettings;
use super::*;

fn table(routes: &[(&str, Access)]) -> RouteTable {
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let routes = routes
        .iter()
        .map(|(prefix, access)| RouteSettings::new(*prefix, TargetSettings::upstream("http://127.0.0.1:1"), *access))
        .collect();
    RouteTable::build(&GatewaySettings::new(listen, routes), &HeaderValue::from_static("app.example")).unwrap()
}

fn found(table: &RouteTable, path: &str) -> String {
    match table.find(path) {
        Found::Route(route) => route.prefix.clone(),
        Found::Ambiguous => "ambiguous".to_owned(),
        Found::Nothing => "nothing".to_owned(),
    }
}

/// The longest prefix wins, on segment boundaries, whatever the order in the configuration.
#[test]
fn the_longest_prefix_wins() {
    let table = table(&[("/", Access::Public), ("/api/admin", Access::Session), ("/api", Access::Optional)]);
    for (path, prefix) in [
        ("/", "/"),
        ("/x", "/"),
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/api/x", "/api"),
        ("/apix", "/"),
        ("/api-x/admin", "/"),
        ("/api/admin", "/api/admin"),
        ("/api/admin/", "/api/admin"),
        ("/api/admin/x", "/api/admin"),
        ("/api/administrator", "/api"),
        ("/x/api/admin", "/"),
    ] {
        assert_eq!(found(&table, path), prefix, "{path}");
    }
}

/// B3 to B5: a path that a lenient application would put under another route goes nowhere.
#[test]
fn b5_a_path_under_two_rules_goes_nowhere() {
    let table = table(&[("/", Access::Public), ("/admin", Access::Session)]);
    for path in
        ["/ADMIN", "/Admin/x", "/admin;x", "/admin;x/y", "/admin./x", "/admin%20/x", "/admin%3Bx/y", "/aDmIn..;/x"]
    {
        assert_eq!(found(&table, path), "ambiguous", "{path}");
    }
    for path in ["/admin/X", "/admin/x;y", "/X/admin", "/x;admin", "/x./y"] {
        assert_ne!(found(&table, path), "ambiguous", "negative control: {path} is under one rule for everybody");
    }
    let strict =
        |path: &str| table.routes.iter().find(|route| covers(&route.prefix, path)).map(|route| route.prefix.as_str());
    assert_eq!(
        strict("/ADMIN"),
        Some("/"),
        "negative control: comparing bytes alone would have let it through as public"
    );
}

#[test]
fn a_path_without_a_route_leads_nowhere() {
    let table = table(&[("/api", Access::Session)]);
    assert_eq!(found(&table, "/"), "nothing");
    assert_eq!(found(&table, "/apix"), "nothing");
    assert_eq!(found(&table, "/API"), "ambiguous");
    assert_eq!(found(&table, "*"), "nothing");
}

/// All mistakes at once, each with its place (R-116: an upstream is a fixed scheme and host).
#[test]
fn r116_every_fault_is_told_at_once() {
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let bad = |prefix: &str, url: &str| RouteSettings::new(prefix, TargetSettings::upstream(url), Access::Session);
    let mut settings = GatewaySettings::new(
        listen,
        vec![
            bad("api", "http://127.0.0.1:1"),
            bad("/a//b", "http://127.0.0.1:1"),
            bad("/a%2Fb", "http://127.0.0.1:1"),
            bad("/a/../b", "http://127.0.0.1:1"),
            bad("/b", "ftp://127.0.0.1"),
            bad("/c", "http://user@127.0.0.1"),
            bad("/d", "http://127.0.0.1/path"),
            bad("/e", "127.0.0.1:80"),
            bad("/f", "http://127.0.0.1?x"),
            bad("/ok", "https://app.internal"),
            bad("/ok/", "http://127.0.0.1:2"),
        ],
    );
    settings.sign_in_routes =
        vec!["POST /api/login".into(), "/api/login".into(), "post /x".into(), "POST x".into(), "POST /a/../b".into()];
    let faults = RouteTable::build(&settings, &HeaderValue::from_static("x")).unwrap_err();
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    for place in [
        "route 1 ",
        "route 2 ",
        "route 3 ",
        "route 4 ",
        "route 5 ",
        "route 6 ",
        "route 7 ",
        "route 8 ",
        "route 9 ",
        "route 11 ",
    ] {
        assert!(text.iter().any(|line| line.starts_with(place)), "{place} in {text:#?}");
    }
    assert!(
        !text.iter().any(|line| line.starts_with("route 10 ")),
        "negative control: a good one is not complained about"
    );
    assert_eq!(text.iter().filter(|line| line.starts_with("sign-in route")).count(), 4, "{text:#?}");
}

/// WebSockets pass where a session is needed, unless a route says otherwise.
#[test]
fn upgrades_need_a_session_route_or_a_word() {
    let table = table(&[("/s", Access::Session), ("/o", Access::Optional), ("/p", Access::Public)]);
    let upgrades: Vec<bool> = table.routes().iter().map(|route| route.upgrade).collect();
    assert_eq!(upgrades, [true, false, false]);
}

/// on a public route too, a request that may sign somebody in is checked and knows its session.
#[test]
fn sign_in_requests_are_guarded_on_public_routes() {
    let table = table(&[("/p", Access::Public)]);
    let route = &table.routes()[0];
    assert_eq!((route.policy.access, route.policy.begins_sessions), (Access::Public, false));
    assert_eq!((route.sign_in_policy.access, route.sign_in_policy.begins_sessions), (Access::Optional, true));
}
