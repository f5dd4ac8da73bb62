//! Commands on a store, alone and beside a running server, which learns of what they did by the feed
//! (product sections 3 and 8, R-027, I7).

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli_world::{Home, PASSWORD, Server};
use crate::gateway_world::{Browser, Echo};

/// T of the default configuration, and what a busy machine adds.
const T: Duration = Duration::from_secs(5 + 2);

async fn refused_within_t(server: &Server, browser: &Browser) -> Duration {
    let began = Instant::now();
    while server.visit(browser).await != 401 {
        assert!(began.elapsed() < T, "still admitted after T:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// Accounts: made, listed, changed; wrong names and passwords are refused and change nothing.
#[test]
fn accounts_are_made_listed_and_changed() {
    let home = Home::new();
    let added =
        home.run_with(&["user", "add", "Ada", "--password-stdin", "--json"], &format!("{PASSWORD}\n"), &[]).ok().json();
    assert_eq!((added["name"].as_str(), added["subject"].as_str()), (Some("ada"), Some("ada")));
    home.run_with(&["user", "add", "grace", "--subject", "u-7", "--password-stdin"], PASSWORD, &[]).ok();
    let listed = home.json(&["user", "list"]);
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ada", "grace"]);
    assert_eq!(listed[1]["subject"], "u-7");
    assert!(!listed.to_string().contains("argon2"), "no hash is shown");

    for (arguments, input, code) in [
        (&["user", "add", "ada", "--password-stdin"][..], PASSWORD, 1),
        (&["user", "add", "bob", "--password-stdin"], "too short", 1),
        (&["user", "add", "bob", "--password-stdin"], "", 64),
        (&["user", "add", "bob", "--password-stdin"], "violet anchor sundial 47\nsecond line", 64),
        (&["user", "add", "bob"], PASSWORD, 64),
        (&["user", "add", "b\u{202e}b", "--password-stdin"], PASSWORD, 1),
        (&["user", "add", "eve", "--subject", "a\nb", "--password-stdin"], PASSWORD, 64),
        (&["user", "disable", "nobody"], "", 1),
        (&["user", "passwd", "nobody", "--password-stdin"], PASSWORD, 1),
    ] {
        let done = home.run_with(arguments, input, &[]);
        assert_eq!(done.code, code, "{arguments:?}: {}", done.stderr);
        assert!(!done.stderr.is_empty() && !done.stderr.contains(PASSWORD), "{}", done.stderr);
    }
    assert_eq!(home.json(&["user", "list"]).as_array().unwrap().len(), 2, "the refused changed nothing");

    home.run(&["user", "disable", "grace"]).ok();
    assert!(home.json(&["user", "list"])[1]["disabled_at"].is_string());
    home.run(&["user", "enable", "grace"]).ok();
    assert!(home.json(&["user", "list"])[1]["disabled_at"].is_null());
    home.run(&["user", "unlock", "grace"]).ok();
}

/// A password is taken byte for byte: of standard input only the end of the line is cut.
#[tokio::test]
async fn a_password_is_taken_as_it_is() {
    let home = Home::new();
    let echo = Echo::start().await;
    let blanks = "  violet anchor sundial 47  ";
    home.run_with(&["user", "add", "ada", "--password-stdin"], &format!("{blanks}\r\n"), &[]).ok();
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[]);
    for (password, status) in [(blanks, 200), (blanks.trim(), 401)] {
        let body = serde_json::json!({ "username": "ada", "password": password }).to_string();
        let fields = [("Content-Type", "application/json"), ("Sec-Fetch-Site", "same-origin")];
        assert_eq!(server.ask("POST", "/auth/sign-in", &fields, body.as_bytes()).await.status, status, "{password:?}");
    }
}

/// R-027, I7: what a command ends, a running server refuses within T. The sessions beside it live on.
#[tokio::test]
async fn a_command_ends_sessions_of_a_running_server() {
    let home = Home::new();
    let echo = Echo::start().await;
    for name in ["ada", "grace"] {
        home.add_user(name);
    }
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[]);
    let (first, second, other) =
        (server.sign_in("ada").await, server.sign_in("ada").await, server.sign_in("grace").await);
    for browser in [&first, &second, &other] {
        assert_eq!(server.visit(browser).await, 200);
    }

    // The shape outside scripts rely on.
    let listed = home.json(&["session", "list", "--subject", "ada"]);
    let sessions = listed.as_array().expect("an array");
    assert_eq!(sessions.len(), 2);
    for field in ["id", "subject", "created_at", "last_seen_at", "expires_at", "storage"] {
        assert!(sessions[0][field].is_string(), "{field}: {listed}");
    }
    assert_eq!((&sessions[0]["subject"], &sessions[0]["storage"]), (&Value::from("ada"), &Value::from("hybrid")));
    assert_eq!(
        (&sessions[0]["client"]["browser"], &sessions[0]["current"]),
        (&Value::from("Firefox"), &Value::from(false))
    );
    assert_eq!(home.json(&["session", "list"]).as_array().unwrap().len(), 3);
    assert!(home.run(&["session", "list"]).ok().stdout.contains(&first.session.to_string()));

    let ended = home.json(&["session", "revoke", &first.session.to_string()]);
    assert_eq!(ended["ended"], serde_json::json!([first.session.to_string()]));
    refused_within_t(&server, &first).await;
    assert_eq!(server.visit(&second).await, 200, "the control: the subject's other session lives");
    assert_eq!(
        home.json(&["session", "revoke", &first.session.to_string()])["ended"],
        serde_json::json!([]),
        "again is no error"
    );

    home.run(&["session", "revoke", "--subject", "ada"]).ok();
    refused_within_t(&server, &second).await;
    assert_eq!(server.visit(&other).await, 200, "the control: another subject's lives");

    let again = server.sign_in("grace").await;
    assert!(home.run(&["session", "revoke", "--all"]).ok().stdout.contains("5s"));
    refused_within_t(&server, &other).await;
    refused_within_t(&server, &again).await;
    assert!(home.json(&["session", "list"]).as_array().unwrap().is_empty());
    assert!(home.run(&["session", "list"]).ok().stdout.contains("no live sessions"));
}

/// R-027, E8: disabling an account and changing a password end its sessions, and no others.
#[tokio::test]
async fn disabling_and_a_new_password_end_sessions() {
    let home = Home::new();
    let echo = Echo::start().await;
    for name in ["ada", "grace"] {
        home.add_user(name);
    }
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[]);
    let (ada, grace) = (server.sign_in("ada").await, server.sign_in("grace").await);
    home.run_with(&["user", "passwd", "ada", "--password-stdin"], "another hollow lantern 93", &[]).ok();
    refused_within_t(&server, &ada).await;
    assert_eq!(server.visit(&grace).await, 200);
    let disabled = home.json(&["user", "disable", "grace"]);
    assert_eq!(disabled["ended"].as_array().unwrap().len(), 1);
    refused_within_t(&server, &grace).await;
    let body = serde_json::json!({ "username": "grace", "password": PASSWORD }).to_string();
    let fields = [("Content-Type", "application/json"), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(server.ask("POST", "/auth/sign-in", &fields, body.as_bytes()).await.status, 401);
    home.run(&["user", "enable", "grace"]).ok();
    let back = server.sign_in("grace").await;
    assert_eq!(server.visit(&back).await, 200, "the control: an enabled account signs in");
}

async fn published(server: &Server) -> Vec<String> {
    let set: Value =
        serde_json::from_slice(&server.ask("GET", "/.well-known/jwks.json", &[], b"").await.body).expect("JSON");
    set["keys"].as_array().expect("keys").iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn until_published(server: &Server, wanted: impl Fn(&[String]) -> bool) {
    let end = Instant::now() + T;
    loop {
        let keys = published(server).await;
        if wanted(&keys) {
            return;
        }
        assert!(Instant::now() < end, "{keys:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// R-162, X4: keys are rotated and revoked from outside; the server publishes and refuses accordingly.
#[tokio::test]
async fn keys_are_rotated_and_revoked_beside_a_server() {
    let home = Home::new();
    let echo = Echo::start().await;
    home.add_user("ada");
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[]);
    let ada = server.sign_in("ada").await;
    let keys = home.json(&["keys", "list"]);
    let first = keys[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((keys[0]["state"].as_str(), keys[0]["algorithm"].as_str()), (Some("active"), Some("ES256")));
    assert!(!keys.to_string().contains("private"), "{keys}");

    let added = home.json(&["keys", "rotate"])["added"].as_str().unwrap().to_owned();
    until_published(&server, |keys| keys.contains(&added) && keys.contains(&first)).await;
    assert_eq!(server.visit(&ada).await, 200, "a planned rotation refuses nothing");
    assert!(home.run(&["keys", "list"]).ok().stdout.contains("next"));

    home.run(&["keys", "revoke", &first]).ok();
    until_published(&server, |keys| !keys.contains(&first)).await;
    let access_only = format!("__Host-Http-sessile-at={}", ada.jar["__Host-Http-sessile-at"]);
    let end = Instant::now() + T;
    while server.ask("GET", "/", &[("Cookie", &access_only)], b"").await.status != 401 {
        assert!(Instant::now() < end, "what a revoked key signed is still admitted");
    }
    assert_eq!(server.visit(&ada).await, 200, "the control: the session itself lives, and gets a token of the new key");
    for (id, code) in [("no-such-key", 1), ("not a key!", 64)] {
        assert_eq!(home.run(&["keys", "revoke", id]).code, code);
    }
}

/// the audit log tells what was done, by whom, in order; filters narrow it.
#[tokio::test]
async fn the_audit_log_tells_what_was_done() {
    let home = Home::new();
    let echo = Echo::start().await;
    home.add_user("ada");
    let mut server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[]);
    let ada = server.sign_in("ada").await;
    home.run(&["session", "revoke", "--subject", "ada"]).ok();
    refused_within_t(&server, &ada).await;
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(20)).success());

    let exported = home.run(&["audit", "export"]).ok().stdout;
    let events: Vec<Value> =
        exported.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    for name in [
        "user_created",
        "crypto_key_change",
        "sys_startup",
        "authn_login_success",
        "session_created",
        "session_ended",
        "authz_admin",
        "sys_shutdown",
    ] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert!(events.windows(2).all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64()), "in order");
    let login = events.iter().find(|event| event["event"] == "authn_login_success").unwrap();
    assert_eq!((login["subject"].as_str(), login["client"]["browser"].as_str()), (Some("ada"), Some("Firefox")));
    assert!(login["time"].as_str().unwrap().ends_with('Z') && login["request"].is_string());
    for value in ada.jar.values() {
        assert!(!exported.contains(value.as_str()), "no token is in an event");
    }

    let tail = home.json(&["audit", "tail", "-n", "2"]);
    assert_eq!(tail.as_array().unwrap().len(), 2);
    assert_eq!(tail[1]["event"], "sys_shutdown");
    let about =
        home.run(&["audit", "export", "--event", "session_ended", "--session", &ada.session.to_string()]).ok().stdout;
    assert_eq!(about.lines().count(), 1, "{about}");
    assert_eq!(
        home.run(&["audit", "export", "--subject", "nobody"]).ok().stdout,
        "",
        "the control: a filter can find nothing"
    );
    assert_eq!(home.run(&["audit", "export", "--event", "sesion_ended"]).code, 64);
    assert!(home.run(&["audit", "names"]).ok().stdout.contains("authn_token_reuse"));
    assert!(home.run(&["audit", "tail"]).ok().stdout.contains("sys_shutdown"));
}

/// Storage `database`: the rows are listed with their last use, and deleting one is the revocation, at once and beside a
/// running server.
#[tokio::test]
async fn the_rows_of_tokens_are_listed_and_deleted() {
    let home = Home::new();
    home.add_user("ada");
    let echo = Echo::start().await;
    let server =
        home.serve(&["--upstream", &format!("http://{}", echo.address)], &[("SESSILE_SESSION_STORAGE", "database")]);
    let ada = server.sign_in("ada").await;
    assert_eq!(server.visit(&ada).await, 200);
    let session = home.json(&["session", "list"])[0]["id"].as_str().expect("an id").to_owned();
    let rows = || home.json(&["token", "list", "--session", &session]);
    let id = rows()[0]["id"].as_str().expect("a jti").to_owned();
    for _ in 0..100 {
        if rows()[0]["last_used_at"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(rows()[0]["last_used_at"].is_string(), "its use was recorded");
    assert!(home.run(&["token", "list", "--session", &session]).ok().stdout.contains(&id));

    assert_eq!(home.json(&["token", "revoke", &id])["revoked"], true);
    assert_eq!(server.visit(&ada).await, 401, "at once");
    assert_eq!(rows(), serde_json::json!([]));
    assert_eq!(home.json(&["token", "revoke", &id])["revoked"], false);
    assert!(home.run(&["audit", "export"]).ok().stdout.contains("token_revoked"));
    assert_eq!(home.run(&["token", "revoke", "not-an-id"]).code, 64);
    // Negative control: a new sign-in is a new row.
    let ada = server.sign_in("ada").await;
    assert_eq!(server.visit(&ada).await, 200);
}

/// `token inspect`: genuine tokens are told from others, loudly; both kinds, alive and dead.
#[tokio::test]
async fn a_token_is_inspected() {
    let home = Home::new();
    let echo = Echo::start().await;
    home.add_user("ada");
    let server = home.serve(&["--upstream", &format!("http://{}", echo.address)], &[]);
    let ada = server.sign_in("ada").await;
    let (session, access) = (&ada.jar["__Host-Http-sessile"], &ada.jar["__Host-Http-sessile-at"]);
    let public_url = format!("http://localhost:{}", server.public.port());
    let same = [("SESSILE_SERVER_PUBLIC_URL", public_url.as_str())];
    let inspect = |token: &str, json: bool| {
        home.run_with(if json { &["token", "inspect", "--json"] } else { &["token", "inspect"] }, token, &same)
    };
    let elsewhere = home.run_with(&["token", "inspect"], access, &[]);
    assert!(
        elsewhere.stdout.contains("NOT VERIFIED (token_issuer)") && elsewhere.stdout.contains("another issuer"),
        "{}",
        elsewhere.stdout
    );

    for token in [session, access] {
        let done = inspect(token, false);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(done.stdout.contains("\nVERIFIED: ") && done.stdout.contains("ada"), "{}", done.stdout);
        assert!(!done.stdout.contains(token.as_str()), "the token itself is not printed");
        let found = inspect(token, true).json();
        assert_eq!((found["verified"].as_bool(), found["live"].as_bool()), (Some(true), Some(true)));
        assert_eq!(found["session"]["id"], ada.session.to_string());
    }
    // One character of the signature.
    let mut forged = access.clone();
    let last = if forged.ends_with('A') { "B" } else { "A" };
    forged.replace_range(forged.len() - 8..forged.len() - 7, last);
    let mut stolen = session.clone();
    let (at, other) = (stolen.len() - 5, if &stolen[stolen.len() - 5..stolen.len() - 4] == "A" { "B" } else { "A" });
    stolen.replace_range(at..=at, other);
    for token in [forged.as_str(), stolen.as_str(), "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.", "junk", "a.b.c"] {
        let done = inspect(token, false);
        assert_eq!(done.code, 1, "{token}");
        assert!(done.stdout.contains("NOT VERIFIED") && !done.stdout.contains("\nVERIFIED"), "{}", done.stdout);
        assert_eq!(inspect(token, true).json()["verified"], false);
    }
    // What an unverified token says cannot move the cursor or pass for a verdict.
    let hostile =
        format!("{}.{}.AA", base64url(b"{}"), base64url("{\"sub\":\"\u{1b}[2J\\u001b[2J VERIFIED\"}".as_bytes()));
    let done = inspect(&hostile, false);
    assert!(!done.stdout.contains('\u{1b}') && done.stdout.contains("NOT VERIFIED"), "{:?}", done.stdout);

    home.run(&["session", "revoke", "--all"]).ok();
    let done = inspect(access, false);
    assert_eq!(done.code, 1);
    assert!(done.stdout.contains("VERIFIED, BUT OVER"), "{}", done.stdout);
    assert_eq!(inspect("", false).code, 64);
}

fn base64url(bytes: &[u8]) -> String {
    sessile_core::encoding::base64url(bytes)
}

/// `sessile config`, `init` and `check`: what is in force, and a file that is good from the start.
#[test]
fn configuration_commands_answer() {
    let home = Home::new();
    let shown = home
        .run_with(
            &["config", "--json"],
            "",
            &[("SESSILE_SESSION_ACCESS", "2m"), ("SESSILE_MASTER_KEY", "TopSecretTopSecret")],
        )
        .ok();
    assert!(!shown.stdout.contains("TopSecret"));
    let keys = shown.json();
    let find = |path: &str| {
        keys.as_array().unwrap().iter().find(|key| key["key"] == path).unwrap_or_else(|| panic!("{path}")).clone()
    };
    let access = find("session.access");
    assert_eq!((access["value"].as_str(), access["default"].as_str()), (Some("\"2m\""), Some("5m")));
    assert_eq!(access["environment"], "SESSILE_SESSION_ACCESS");
    assert_eq!(access["place"], "environment SESSILE_SESSION_ACCESS");
    assert!(find("session.idle")["value"].is_null() && find("route.prefix")["environment"].is_null());
    assert!(home.run(&["config"]).ok().stdout.contains("SESSILE_SERVER_LISTEN"));
    assert!(home.run(&["config", "--markdown"]).ok().stdout.starts_with("# Configuration"));

    home.run(&["init", "--upstream", "http://127.0.0.1:3000"]).ok();
    let written = std::fs::read_to_string(home.path("sessile.toml")).unwrap();
    assert!(written.contains("\nupstream = \"http://127.0.0.1:3000\"\n"));
    assert_eq!(home.run(&["init"]).code, 1, "an existing file is not overwritten");
    assert_eq!(std::fs::read_to_string(home.path("sessile.toml")).unwrap(), written);
    // Found in the current directory without being named.
    let checked = home.json(&["check"]);
    assert_eq!((checked["ok"].as_bool(), checked["mistakes"].as_array().map(Vec::len)), (Some(true), Some(0)));
    assert!(
        home.run(&["init", "other.toml", "--upstream", "nonsense"]).code == 78 && !home.path("other.toml").exists()
    );
    std::fs::write(home.path("bad.toml"), "[session]\naccess = 5\nidel = \"1h\"\n").unwrap();
    let bad = home.run(&["check", "--config", "bad.toml", "--json"]);
    assert_eq!((bad.code, bad.json()["mistakes"].as_array().unwrap().len()), (78, 3), "{}", bad.stdout);
    assert!(!home.data().exists(), "none of these made anything");
}

/// Human output has colour on a terminal only; JSON is JSON everywhere.
#[test]
fn output_to_a_pipe_is_plain() {
    let home = Home::new();
    home.add_user("ada");
    for arguments in [
        &["user", "list"][..],
        &["keys", "list"],
        &["session", "list"],
        &["audit", "tail"],
        &["config"],
        &["audit", "names"],
    ] {
        let human = home.run(arguments).ok().stdout;
        assert!(!human.contains('\u{1b}') && !human.is_empty(), "{arguments:?}: {human:?}");
        let mut all = arguments.to_vec();
        all.push("--json");
        home.run(&all).ok().json();
    }
}
