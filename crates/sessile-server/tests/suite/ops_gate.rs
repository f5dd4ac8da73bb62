//! Who gets in to the operations listener: every endpoint of the router's table with every kind of caller
//! (R-180, I7, K1, K3, K4).

use sessile_server::ops::{Caller, ENDPOINTS, Endpoint};

use crate::ops_world::{TOKEN, User, World};

/// A concrete path and query for an endpoint.
fn path_of(endpoint: &Endpoint, user: &User) -> String {
    let path = endpoint
        .path
        .replace("/sessions/{id}", &format!("/sessions/{}", user.session))
        .replace("{subject}", "ada")
        .replace("{id}", "some-key");
    if endpoint.path == "/admin/v1/sessions" && endpoint.method == "DELETE" { format!("{path}?all=true") } else { path }
}

/// Callers that are not the administrator: what they send.
fn strangers(user: &User) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    vec![
        ("nobody", vec![]),
        ("an empty token", vec![bearer("")]),
        ("a wrong token", vec![bearer("Jx0f6m2Jr3oS8Wq1yTn5VbZk7cLd9eHh")]),
        ("a token cut short", vec![bearer(&TOKEN[..TOKEN.len() - 1])]),
        ("a token with more behind it", vec![bearer(&format!("{TOKEN}x"))]),
        ("the token in other letters", vec![bearer(&TOKEN.to_lowercase())]),
        ("the token twice", vec![bearer(TOKEN), bearer(TOKEN)]),
        ("the token beside another", vec![bearer("other"), bearer(TOKEN)]),
        ("the token under Basic", vec![("authorization", format!("Basic {TOKEN}"))]),
        ("the token without a scheme", vec![("authorization", TOKEN.to_owned())]),
        ("the token in a cookie", vec![("cookie", format!("admin_token={TOKEN}; token={TOKEN}"))]),
        (
            "the token in another field",
            vec![
                ("x-admin-token", TOKEN.to_owned()),
                ("x-api-key", TOKEN.to_owned()),
                ("proxy-authorization", format!("Bearer {TOKEN}")),
            ],
        ),
        ("a signed-in user", vec![("cookie", user.cookies.clone())]),
        ("a user's access token", vec![bearer(&user.access_token)]),
        ("a user's session token", vec![bearer(&user.session_token)]),
        (
            "somebody who says who they are",
            vec![
                ("sessile-subject", "admin".to_owned()),
                ("sessile-session", user.session.clone()),
                ("x-forwarded-user", "admin".to_owned()),
                ("x-forwarded-for", "127.0.0.1".to_owned()),
                ("x-remote-user", "root".to_owned()),
                ("forwarded", "for=127.0.0.1".to_owned()),
            ],
        ),
    ]
}

fn fields<'a>(all: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    all.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The table itself, against what may be open: whoever opens another endpoint has to say so here too.
#[test]
fn three_endpoints_are_open_and_no_more() {
    let open: Vec<&str> =
        ENDPOINTS.iter().filter(|endpoint| endpoint.caller == Caller::Anybody).map(|endpoint| endpoint.path).collect();
    assert_eq!(open, ["/livez", "/readyz", "/metrics"]);
    assert!(ENDPOINTS.iter().all(|endpoint| endpoint.path.starts_with("/admin/v1/") != open.contains(&endpoint.path)));
}

/// K1, K3: administration is for the token's bearer alone, whatever else a caller has or says. Negative control:
/// the bearer gets in everywhere, and everybody gets in where everybody may.
#[tokio::test]
async fn every_endpoint_admits_whom_the_table_says() {
    let world = World::new().await;
    let user = world.sign_in("ada").await;
    let mut refused = 0;
    for endpoint in ENDPOINTS {
        let path = path_of(endpoint, &user);
        for (who, sent) in strangers(&user) {
            let answer = world.send(endpoint.method, &path, &fields(&sent)).await;
            match endpoint.caller {
                Caller::Anybody => assert_eq!(answer.status, 200, "{who} at {path}"),
                Caller::Administrator => {
                    assert_eq!(
                        (answer.status.as_u16(), answer.code().as_str()),
                        (401, "unauthorized"),
                        "{who} at {} {path}",
                        endpoint.method
                    );
                    assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"sessile admin\"");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 150, "{refused}");
    // No order of a stranger was carried out.
    assert!(world.engine.session(user.session.parse().unwrap()).await.unwrap().is_some());
    assert_eq!(world.engine.key_status().len(), 1);

    for endpoint in ENDPOINTS {
        let answer = world.as_admin(endpoint.method, &path_of(endpoint, &user)).await;
        assert!(
            !matches!(answer.status.as_u16(), 401 | 403 | 405),
            "{} {}: {}",
            endpoint.method,
            endpoint.path,
            answer.body
        );
    }
    let spelled = world.send("GET", "/admin/v1/keys", &[("authorization", &format!("bEaReR {TOKEN}"))]).await;
    assert_eq!(spelled.status, 200, "the scheme's name is in any case (RFC 9110 section 11.1)");
}

/// Without a token administration is off, for every caller, and says so.
#[tokio::test]
async fn without_a_token_administration_is_off() {
    let world = World::with(None, "127.0.0.1:9901", &[], |_| {}).await;
    let user = world.sign_in("ada").await;
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.caller == Caller::Administrator) {
        for bearer in ["", "Bearer", "Bearer ", &format!("Bearer {TOKEN}")] {
            let answer = world.send(endpoint.method, &path_of(endpoint, &user), &[("authorization", bearer)]).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (403, "admin_off"),
                "{bearer:?} at {}",
                endpoint.path
            );
        }
    }
    assert_eq!(world.send("GET", "/livez", &[]).await.status, 200);
}

/// I7: requests for other hosts are refused before anything else, with the token too (DNS rebinding).
#[tokio::test]
async fn other_hosts_are_refused() {
    let token = format!("Bearer {TOKEN}");
    let world = World::with(Some(TOKEN), "127.0.0.1:9901", &["ops.internal"], |_| {}).await;
    let bad = [
        "evil.example",
        "evil.example:9901",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "ops.internal.evil.example",
        "192.0.2.1",
        "192.0.2.1:9901",
        "[2001:db8::1]",
        "localhost@evil.example",
        "",
        "evil.example#localhost",
        "0x7f000001",
        "2130706433",
    ];
    for host in bad {
        for path in ["/livez", "/metrics", "/admin/v1/keys", "/nowhere"] {
            let answer = world.send("GET", path, &[("host", host), ("authorization", &token)]).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (421, "wrong_host"), "{host:?} at {path}");
        }
    }
    for host in [
        "localhost",
        "localhost:9901",
        "127.0.0.1",
        "127.0.0.1:9901",
        "127.0.0.1:19901",
        "[::1]:9901",
        "[::1]",
        "ops.internal",
        "ops.internal:443",
    ] {
        assert_eq!(world.send("GET", "/livez", &[("host", host)]).await.status, 200, "the control: {host}");
    }
    let two = world.send("GET", "/livez", &[("host", "localhost"), ("host", "evil.example")]).await;
    assert_eq!(two.status, 421);
    let absolute = world.send("GET", "http://evil.example/livez", &[("host", "localhost")]).await;
    assert_eq!(absolute.status, 421, "a target of another authority");
    // On every address, any literal address is this listener's; a name is still not.
    let open = World::with(Some(TOKEN), "0.0.0.0:9901", &[], |_| {}).await;
    assert_eq!(open.send("GET", "/livez", &[("host", "10.1.2.3:9901")]).await.status, 200);
    assert_eq!(open.send("GET", "/livez", &[("host", "evil.example")]).await.status, 421);
}

/// I7: pages of other sites are refused, with the token too; people and programs are not.
#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let world = World::new().await;
    let user = world.sign_in("ada").await;
    let token = format!("Bearer {TOKEN}");
    for endpoint in ENDPOINTS {
        let path = path_of(endpoint, &user);
        for sent in [
            [("sec-fetch-site", "cross-site"), ("authorization", token.as_str())],
            [("sec-fetch-site", "same-site"), ("authorization", &token)],
            [("sec-fetch-site", ""), ("authorization", &token)],
            [("origin", "https://evil.example"), ("authorization", &token)],
            [("origin", "null"), ("authorization", &token)],
        ] {
            let answer = world.send(endpoint.method, &path, &sent).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (403, "cross_site"), "{sent:?} at {path}");
        }
    }
    assert!(world.engine.session(user.session.parse().unwrap()).await.unwrap().is_some());
    for site in ["none", "same-origin"] {
        assert_eq!(world.send("GET", "/readyz", &[("sec-fetch-site", site)]).await.status, 200, "the control: {site}");
    }
}

/// Nothing but the table is answered, and every answer carries the fields that keep it harmless (K8).
#[tokio::test]
async fn nothing_but_the_table_is_answered() {
    let world = World::new().await;
    let user = world.sign_in("ada").await;
    for path in [
        "/",
        "/admin",
        "/admin/v1",
        "/admin/v1/",
        "/admin/v1/sessions/",
        "/admin/v2/keys",
        "/livez/",
        "//livez",
        "/debug/pprof",
        "/auth/session",
    ] {
        let answer = world.as_admin("GET", path).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not_found"), "{path}");
    }
    let known = |path: &str, method: &str| {
        ENDPOINTS
            .iter()
            .any(|endpoint| path_of(endpoint, &user).split('?').next() == Some(path) && endpoint.method == method)
    };
    for endpoint in ENDPOINTS {
        let path = path_of(endpoint, &user);
        let path = path.split('?').next().unwrap();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            if !known(path, method) {
                assert_eq!(world.as_admin(method, path).await.status, 405, "{method} {path}");
            }
        }
        for query in ["x=1", "subject=ada&subject=eve", "all=true&force=1"] {
            let answer = world.as_admin(endpoint.method, &format!("{path}?{query}")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (400, "bad_parameter"),
                "{} {path}?{query}",
                endpoint.method
            );
        }
        let answer = world.send(endpoint.method, path, &[]).await;
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert!(answer.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert!(!answer.headers.contains_key("server") && !answer.headers.contains_key("set-cookie"));
    }
    assert!(
        world.engine.session(user.session.parse().unwrap()).await.unwrap().is_some(),
        "nothing was ended on the way"
    );
}

/// a refused administrator is an event, and its token is in no event or metric.
#[tokio::test]
async fn a_wrong_token_is_an_event() {
    let world = World::new().await;
    let wrong = "Wrong0f6m2Jr3oS8Wq1yTn5VbZk7cLd9";
    world.send("GET", "/admin/v1/keys", &[("authorization", &format!("Bearer {wrong}"))]).await;
    let metrics = world.send("GET", "/metrics", &[]).await.body;
    assert!(metrics.contains("sessile_events_total{event=\"authz_fail\"} 1"), "{metrics}");
    assert!(!metrics.contains(wrong) && !metrics.contains(TOKEN));
}
