//! A server's life: what it says when it starts, how it stops, and what its public listener never answers
//! (X9, X7, R-169, R-178, R-180, K5).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli_world::{Home, PASSWORD, Server};
use crate::gateway_world::{Client, Echo, read_request, request, upstream};

fn records(server: &Server) -> Vec<Value> {
    server.log().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn until_stopping(server: &Server) {
    let end = Instant::now() + Duration::from_secs(5);
    while server.health(false) {
        assert!(Instant::now() < end, "still ready");
    }
}

/// The start says address, storage, store and durability, and what is different on this machine alone. Every
/// line is a JSON record when nobody watches.
#[tokio::test]
async fn a_start_says_what_was_started() {
    let home = Home::new();
    let echo = Echo::start().await;
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[]);
    let records = records(&server);
    let serving = records.iter().find(|record| record["message"] == "serving").expect("said");
    for (field, wanted) in [
        ("listen", server.public.to_string()),
        ("ops", server.ops.to_string()),
        ("public_url", format!("http://localhost:{}", server.public.port())),
        ("storage", "hybrid".to_owned()),
        ("durability", "host-crash-safe".to_owned()),
        ("admin", "off, no admin token".to_owned()),
        ("configuration", "none, defaults".to_owned()),
    ] {
        assert_eq!(serving[field], wanted, "{field}");
    }
    assert!(serving["store"].as_str().unwrap().contains(&home.data().display().to_string()));
    assert!(records.iter().any(|record| record["level"] == "warn"
        && record["message"].as_str().is_some_and(|m| m.contains("Strict-Transport-Security"))));
    assert!(records.iter().any(|record| record["event"] == "sys_startup"));
    assert!(
        !records.iter().any(|record| record["event"] == "sys_dangerous_setting"),
        "nothing is dangerous by default"
    );
}

/// each weakening is said aloud and is an event.
#[tokio::test]
async fn every_danger_is_said_at_the_start() {
    let home = Home::new();
    let echo = Echo::start().await;
    let server = home.serve(
        &["--upstream", &format!("http://{}", echo.address)],
        &[("SESSILE_CSRF_MODE", "report"), ("SESSILE_KEYS_ALGORITHM", "HS256")],
    );
    let records = records(&server);
    for key in ["csrf.mode", "keys.algorithm"] {
        assert!(records.iter().any(|r| r["event"] == "sys_dangerous_setting" && r["reason"] == key), "{key}");
        assert!(
            records.iter().any(|r| r["level"] == "warn" && r["message"].as_str().is_some_and(|m| m.starts_with(key))),
            "{key}"
        );
    }
}

/// R-180, K3: the public listener answers no operations path, with the admin token either. Negative control:
/// the operations listener answers them, and the app gets what is its own.
#[tokio::test]
async fn the_public_listener_answers_no_operations() {
    const TOKEN: &str = "Jx0f6m2Jr3oS8Wq1yTn5VbZk7cLd9eHg";
    let home = Home::new();
    let echo = Echo::start().await;
    home.add_user("ada");
    let server =
        home.serve(&["--upstream", &format!("http://{}", echo.address)], &[("SESSILE_OPS_ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/livez", "/readyz", "/metrics", "/admin/v1/keys", "/admin/v1/sessions"] {
        for fields in [&[][..], &[("Authorization", bearer.as_str())]] {
            let answer = server.ask("GET", path, fields, b"").await;
            assert_eq!(answer.status, 401, "{path}: {}", answer.text());
            assert!(!answer.text().contains("sessile_"), "{path}");
        }
        assert_eq!(server.ask_ops("GET", path, &[("Authorization", &bearer)]).await.status, 200, "{path}");
    }
    assert_eq!(echo.count(), 0, "none of these reached the app");
    let ada = server.sign_in("ada").await;
    assert_eq!(
        server.ask("GET", "/metrics", &[("Cookie", &ada.cookie())], b"").await.text(),
        "GET /metrics HTTP/1.1 0",
        "it is the app's own path"
    );
    // No credential of the public side opens the private one, and no surface of it is there.
    for path in ["/auth/session", "/.well-known/jwks.json", "/auth/sign-in"] {
        assert_eq!(server.ask_ops("GET", path, &[("Cookie", &ada.cookie())]).await.status, 404, "{path}");
    }
    let access = format!("Bearer {}", ada.jar["__Host-Http-sessile-at"]);
    assert_eq!(server.ask_ops("GET", "/admin/v1/keys", &[("Authorization", &access)]).await.status, 401);
}

/// An app that takes as long as it is told.
async fn slow_app(delay: Duration) -> std::net::SocketAddr {
    let (address, _task) = upstream(move |number, mut io| async move {
        while read_request(&mut io, number).await.is_some() {
            tokio::time::sleep(delay).await;
            io.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
        }
    })
    .await;
    address
}

const PUBLIC: &str = "[[route]]\nprefix = \"/\"\nupstream = \"http://ADDRESS\"\naccess = \"public\"\n";

fn with_config(home: &Home, more: &str, app: std::net::SocketAddr) -> String {
    let path = home.path("sessile.toml");
    std::fs::write(&path, format!("{more}{}", PUBLIC.replace("ADDRESS", &app.to_string()))).unwrap();
    path.display().to_string()
}

/// X9: SIGTERM: readiness says no first, requests under way are finished, nothing new is begun, the audit log is
/// flushed, and the exit is 0.
#[tokio::test]
async fn sigterm_drains() {
    let home = Home::new();
    let app = slow_app(Duration::from_millis(1500)).await;
    let config = with_config(&home, "[server]\ndrain_announce = \"500ms\"\n", app);
    let mut server = home.serve(&["--config", &config], &[]);
    let host = format!("localhost:{}", server.public.port());
    let mut under_way = Client::connect(server.public).await;
    under_way.send(&request("GET", "/slow", &[("Host", &host)], b"")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("TERM");
    until_stopping(&server);
    assert!(server.health(true), "alive while it drains");
    let announced = server.ask("GET", "/during-the-announcement", &[], b"").await;
    assert_eq!(announced.status, 200, "until the listener closes, who comes is served");
    assert_eq!(under_way.answer(false).await.text(), "done", "what was under way is finished");
    assert!(server.ended(Duration::from_secs(15)).success());
    assert!(tokio::net::TcpStream::connect(server.public).await.is_err());
    assert!(server.log().contains("sys_shutdown"));
    let events = home.run(&["audit", "export", "--event", "sys_shutdown"]).ok().stdout;
    assert_eq!(events.lines().count(), 1, "flushed to the store");
}

/// X9: whoever scrapes metrics keeps the connection open; the stop does not wait for it.
#[tokio::test]
async fn an_idle_scraper_holds_up_no_stop() {
    let home = Home::new();
    let mut server = home.serve(&["--upstream", "http://127.0.0.1:9"], &[]);
    let mut scraper = Client::connect(server.ops).await;
    let host = format!("localhost:{}", server.ops.port());
    scraper.send(&request("GET", "/livez", &[("Host", &host)], b"")).await;
    assert_eq!(scraper.answer(false).await.status, 200, "kept open after its answer");
    server.signal("TERM");
    // Below the time that connections at work are given.
    assert!(server.ended(Duration::from_secs(4)).success());
}

/// X9: a second SIGTERM does not wait. Negative control: the first one would have, for as long as the request takes.
#[tokio::test]
async fn a_second_sigterm_does_not_wait() {
    let home = Home::new();
    let app = slow_app(Duration::from_secs(30)).await;
    let config = with_config(&home, "[server]\ndrain = \"25s\"\n", app);
    let mut server = home.serve(&["--config", &config], &[]);
    let host = format!("localhost:{}", server.public.port());
    let mut under_way = Client::connect(server.public).await;
    under_way.send(&request("GET", "/slow", &[("Host", &host)], b"")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("TERM");
    until_stopping(&server);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(server.health(true), "it waits for the request");
    let second = Instant::now();
    server.signal("INT");
    assert!(server.ended(Duration::from_secs(5)).success());
    assert!(second.elapsed() < Duration::from_secs(3));
}

/// X9: what takes longer than the drain is cut off, and the process ends in time.
#[tokio::test]
async fn a_drain_has_an_end() {
    let home = Home::new();
    let app = slow_app(Duration::from_secs(30)).await;
    let config = with_config(&home, "[server]\ndrain = \"1s\"\n", app);
    let mut server = home.serve(&["--config", &config], &[]);
    let host = format!("localhost:{}", server.public.port());
    let mut under_way = Client::connect(server.public).await;
    under_way.send(&request("GET", "/slow", &[("Host", &host)], b"")).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asked = Instant::now();
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(6)).success());
    assert!(asked.elapsed() >= Duration::from_millis(900), "it waited as long as it was told");
}

/// A certificate for localhost, by the system's `openssl`.
fn make_certificate(directory: &Path, name: &str) {
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj"])
        .arg(format!("/CN={name}"))
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(directory)
        .output()
        .expect("openssl");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    std::fs::set_permissions(directory.join("key.pem"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// The name on the certificate the server shows.
fn shown_certificate(server: &Server) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &server.public.to_string(), "-servername", "localhost"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find(|line| line.starts_with("subject="))
        .unwrap_or_default()
        .to_owned()
}

/// X7: SIGHUP takes a new certificate into use; one that cannot be used leaves the old one, and says so.
#[tokio::test]
async fn sighup_reloads_certificates_or_nothing() {
    let home = Home::new();
    make_certificate(&home.path(""), "first");
    let config =
        with_config(&home, "[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n", "127.0.0.1:1".parse().unwrap());
    let mut server = home.serve(&["--config", &config], &[]);
    assert!(
        server.log().contains(&format!("https://localhost:{}", server.public.port())),
        "a certificate makes the default https"
    );
    assert!(shown_certificate(&server).contains("first"));
    make_certificate(&home.path(""), "second");
    server.signal("HUP");
    server.until("reloaded", |server| server.log().contains("were read again"));
    assert!(shown_certificate(&server).contains("second"));

    for (file, content) in [("cert.pem", "half a certif"), ("key.pem", "half a k")] {
        make_certificate(&home.path(""), "third");
        std::fs::write(home.path(file), content).unwrap();
        let before = server.log().matches("the old ones stay in use").count();
        server.signal("HUP");
        server.until("told", |server| server.log().matches("the old ones stay in use").count() > before);
        assert!(shown_certificate(&server).contains("second"), "{file}");
    }
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(20)).success());
}

/// K5, R-169, R-170: at the lowest level, with hostile clients, the log has no secret and no forged line.
#[tokio::test]
async fn the_log_has_no_secret_at_any_level() {
    const TOKEN: &str = "Jx0f6m2Jr3oS8Wq1yTn5VbZk7cLd9eHg";
    const MASTER: &str = "mJ2u0nZ1y0mXl6vQyN3m9bq1cYw5Zk0d8aTq7pR4sUE";
    let home = Home::new();
    let echo = Echo::start().await;
    let environment = [("SESSILE_LOG", "trace"), ("SESSILE_OPS_ADMIN_TOKEN", TOKEN), ("SESSILE_MASTER_KEY", MASTER)];
    home.run_with(&["user", "add", "ada", "--password-stdin"], PASSWORD, &environment).ok();
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &environment);
    let ada = server.sign_in("ada").await;
    let forged = format!("{}x", ada.jar["__Host-Http-sessile"]);
    server.visit(&ada).await;
    server.ask("GET", "/", &[("Cookie", &format!("__Host-Http-sessile={forged}"))], b"").await;
    server.ask("GET", "/", &[("Authorization", "Bearer CanaryBearerCanaryBearer")], b"").await;
    server.ask_ops("GET", "/admin/v1/keys", &[("Authorization", &format!("Bearer {TOKEN}"))]).await;
    server.ask_ops("GET", "/admin/v1/keys", &[("Authorization", "Bearer CanaryBearerCanaryBearer")]).await;
    let hostile = serde_json::json!({ "username": "eve\n{\"event\":\"authn_login_success\"}\u{202e}", "password": "CanaryPasswordCanary" }).to_string();
    let fields = [
        ("Content-Type", "application/json"),
        ("Sec-Fetch-Site", "same-origin"),
        ("User-Agent", "\u{202e}evil"),
        ("Accept-Language", "x\u{9b}y"),
    ];
    server.ask("POST", "/auth/sign-in", &fields, hostile.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;

    let log = server.log();
    assert!(log.contains("\"debug\"") || log.contains("\"trace\""), "the control: it is at the lowest level");
    assert!(
        log.contains("authn_login_success") && log.contains("authn_login_fail"),
        "the control: what happened is there"
    );
    let mut secrets = vec![TOKEN, MASTER, PASSWORD, "CanaryBearer", "CanaryPassword"];
    secrets.extend(ada.jar.values().flat_map(|token| token.rsplit('.').next()));
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let records = records(&server);
    assert_eq!(
        records.iter().filter(|record| record["event"] == "authn_login_success").count(),
        1,
        "no line was forged"
    );
    assert!(!log.chars().any(|c| matches!(c, '\u{202e}' | '\u{9b}' | '\u{1b}')));
}

/// `sessile serve --upstream URL` alone: nothing else is needed, and everything is closed but Sessile's own.
#[tokio::test]
async fn an_upstream_alone_is_enough() {
    let home = Home::new();
    let echo = Echo::start().await;
    home.add_user("ada");
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[]);
    for path in ["/", "/anything", "/authx", "/api/me"] {
        assert_eq!(server.ask("GET", path, &[], b"").await.status, 401, "{path}");
    }
    assert_eq!(echo.count(), 0);
    assert_eq!(server.ask("GET", "/auth/sign-in", &[], b"").await.status, 200);
    let ada = server.sign_in("ada").await;
    assert_eq!(server.visit(&ada).await, 200);
    assert!(echo.last().field("authorization").is_some_and(|field| field.starts_with("Bearer ")));
}

/// A memory store needs no directory at all.
#[tokio::test]
async fn a_memory_store_leaves_nothing() {
    let home = Home::new();
    let echo = Echo::start().await;
    let mut server = home.serve(&["--upstream", &format!("http://{}", echo.address), "--store", "memory:"], &[]);
    assert!(server.log().contains("\"durability\":\"memory\""));
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(20)).success());
    assert!(!home.data().exists());
}

/// with text asked for, the log is for people, and still has no colour in a file.
#[tokio::test]
async fn the_text_log_is_for_people() {
    let home = Home::new();
    let echo = Echo::start().await;
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[("SESSILE_LOG_FORMAT", "text")]);
    let log = server.log();
    let line = log.lines().find(|line| line.contains(" serving ")).expect("said");
    assert!(line.contains(" info ") && line.contains("storage=hybrid") && line.starts_with("20"), "{line}");
    assert!(!log.contains('\u{1b}'));
    assert!(server.log_path().exists());
}
