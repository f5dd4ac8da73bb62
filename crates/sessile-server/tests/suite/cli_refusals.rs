//! Starts that are refused: each with its exit code and its way out, and with nothing started or changed
//! (X5, S18, S20, S22, X7, R-129, R-165; "Limits" of the release).

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::cli_world::{Done, Home, PASSWORD};

const UPSTREAM: [&str; 2] = ["--upstream", "http://127.0.0.1:1"];

/// A start that is to be refused, by every command that opens the store.
fn refused_everywhere(home: &Home, environment: &[(&str, &str)], code: i32, words: &[&str]) {
    let serve = [
        &["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--public-url", "http://localhost"][..],
        &UPSTREAM,
    ]
    .concat();
    for arguments in [&serve[..], &["session", "list"], &["keys", "list"], &["user", "list"], &["audit", "export"]] {
        let done = home.run_with(arguments, "", environment);
        assert_eq!(done.code, code, "{arguments:?}: {}", done.stderr);
        for word in words {
            assert!(done.stderr.contains(word), "{arguments:?}: {:?} lacks {word:?}", done.stderr);
        }
    }
}

fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(directory)
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| {
                    (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).unwrap_or_default())
                })
                .collect()
        })
        .unwrap_or_default();
    files.sort();
    files
}

fn names(directory: &Path) -> Vec<String> {
    contents(directory).into_iter().map(|(name, _)| name).collect()
}

/// The directory holds the database with its companions, the key, and nothing else.
fn only_companions(directory: &Path) {
    let known = ["ballast", "master.key", "sessile.db", "sessile.db-shm", "sessile.db-wal", "sessile.lock"];
    let found = names(directory);
    assert!(found.iter().all(|name| known.contains(&name.as_str())), "{found:?}");
    assert!(["master.key", "sessile.db"].iter().all(|name| found.iter().any(|found| found == name)), "{found:?}");
}

/// The codes of docs/configuration.md.
#[test]
fn exit_codes_tell_the_kind_of_failure() {
    let home = Home::new();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["serve", "--nonsense"], 64),
        (&["nonsense"], 64),
        (&["session", "revoke"], 64),
        (&["session", "revoke", "--all", "--subject", "a"], 64),
        (&["session", "revoke", "not-an-id"], 64),
        (&["serve"], 78),
        (&["serve", "--upstream", "nonsense"], 78),
        (&["session", "list", "--store", "memory:"], 78),
        (&["session", "list", "--store", "postgres://db"], 78),
        (&["user", "disable", "nobody"], 1),
        (&["health", "--ops-listen", "127.0.0.1:1"], 1),
    ] {
        assert_eq!(home.run(arguments).code, code, "{arguments:?}");
    }
}

/// "Nothing started": a wrong configuration opens no port, makes no directory, and says everything at once, as JSON too.
#[test]
fn a_wrong_configuration_starts_nothing() {
    let home = Home::new();
    std::fs::write(
        home.path("bad.toml"),
        "[server]\nlisten = \"127.0.0.1:1\"\nlisen = 1\n[session]\naccess = \"forever\"\n",
    )
    .unwrap();
    let done = home.run(&["serve", "--config", "bad.toml"]);
    assert_eq!(done.code, 78);
    for word in [
        "3 mistakes",
        "bad.toml:3:1",
        "did you mean server.listen?",
        "session.access = \"forever\"",
        "bad.toml:5:1",
        "--upstream",
    ] {
        assert!(done.stderr.contains(word), "{word:?} is missing in\n{}", done.stderr);
    }
    assert!(done.stdout.is_empty() && !home.data().exists());
    let json = home.run(&["serve", "--config", "bad.toml", "--json"]);
    let mistakes: serde_json::Value = serde_json::from_str(&json.stderr).expect("JSON on standard error");
    assert_eq!(mistakes["mistakes"].as_array().unwrap().len(), 3);
}

/// X5: the master key is made once, whole, for its owner alone, and only where there is neither key nor database.
#[test]
fn the_master_key_is_made_once() {
    let home = Home::new();
    home.add_user("ada");
    only_companions(&home.data());
    let key = home.data().join("master.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(home.data()).unwrap().permissions().mode() & 0o777, 0o700);
    let first = std::fs::read(&key).unwrap();
    home.add_user("grace");
    assert_eq!(std::fs::read(&key).unwrap(), first);
}

/// X5: several processes that begin at once on nothing agree on one key.
#[test]
fn processes_that_begin_together_make_one_key() {
    for _ in 0..5 {
        let home = Home::new();
        let children: Vec<_> = (0..6)
            .map(|n| {
                let mut child = home
                    .command(&["user", "add", &format!("user{n}"), "--password-stdin"])
                    .spawn()
                    .expect("the binary runs");
                std::io::Write::write_all(&mut child.stdin.take().unwrap(), PASSWORD.as_bytes()).unwrap();
                child
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(home.json(&["user", "list"]).as_array().unwrap().len(), 6, "every account opens under the one key");
        only_companions(&home.data());
    }
}

/// X5: without the key there is no start and no new key, and the message is the way out. Negative control: with
/// the key put back, or given in the environment, everything is there again.
#[test]
fn a_missing_master_key_is_never_made_anew() {
    let home = Home::new();
    home.add_user("ada");
    let key = home.data().join("master.key");
    let text = std::fs::read_to_string(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let before = contents(&home.data());
    refused_everywhere(
        &home,
        &[],
        78,
        &["master.key is missing", "Put the key back", "SESSILE_MASTER_KEY", "move the data directory away"],
    );
    assert_eq!(contents(&home.data()), before, "nothing was made or changed");

    let listed = home.run_with(&["user", "list", "--json"], "", &[("SESSILE_MASTER_KEY", text.trim())]).ok().json();
    assert_eq!(listed[0]["name"], "ada");
    assert!(!key.exists(), "a key that was given is not written down");
    std::fs::write(&key, &text).unwrap();
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(home.json(&["user", "list"])[0]["name"], "ada");
}

/// X5, R-129, R-165: wrong, weak, placeholder, empty or readable keys are refused, from file and environment.
#[test]
fn a_wrong_master_key_opens_nothing() {
    let home = Home::new();
    home.add_user("ada");
    let key = home.data().join("master.key");
    let good = std::fs::read_to_string(&key).unwrap();
    let other = "mJ2u0nZ1y0mXl6vQyN3m9bq1cYw5Zk0d8aTq7pR4sUE";
    for (text, word) in [
        (other, "not the one this store was sealed with"),
        ("", "empty"),
        ("short", "not 32 bytes"),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "placeholder"),
        ("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "placeholder"),
        ("Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUtMTI", "placeholder"),
    ] {
        std::fs::write(&key, text).unwrap();
        refused_everywhere(&home, &[], 78, &[word]);
        if !text.is_empty() {
            std::fs::write(&key, &good).unwrap();
            refused_everywhere(&home, &[("SESSILE_MASTER_KEY", text)], 78, &[word]);
            let told = home.run_with(&["user", "list"], "", &[("SESSILE_MASTER_KEY", text)]).stderr;
            assert!(!told.contains(text), "{told}");
        }
    }
    std::fs::write(&key, &good).unwrap();
    for mode in [0o644, 0o604, 0o660] {
        std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
        refused_everywhere(&home, &[], 78, &["chmod 600"]);
    }
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(home.json(&["user", "list"])[0]["name"], "ada", "the control: the right key, for its owner alone");
}

/// A key file the operator manages is never made.
#[test]
fn a_named_key_file_is_never_made() {
    let home = Home::new();
    let path = home.path("master").display().to_string();
    refused_everywhere(&home, &[("SESSILE_KEYS_MASTER_KEY_FILE", &path)], 78, &["No such file"]);
    assert!(!home.path("master").exists() && !home.data().join("master.key").exists());
    std::fs::write(home.path("master"), "mJ2u0nZ1y0mXl6vQyN3m9bq1cYw5Zk0d8aTq7pR4sUE\n").unwrap();
    std::fs::set_permissions(home.path("master"), Permissions::from_mode(0o600)).unwrap();
    home.run_with(&["user", "list"], "", &[("SESSILE_KEYS_MASTER_KEY_FILE", &path)]).ok();
    assert!(!home.data().join("master.key").exists());
}

/// `sessile check` knows about the key too.
#[test]
fn check_looks_at_the_master_key() {
    let home = Home::new();
    let check = [&["check"][..], &UPSTREAM].concat();
    home.run(&check).ok();
    assert!(!home.data().exists(), "checking makes nothing");
    home.add_user("ada");
    home.run(&check).ok();
    std::fs::remove_file(home.data().join("master.key")).unwrap();
    assert_eq!(home.run(&check).code, 78);
}

fn stopped(home: &Home) -> Done {
    let mut server = home.serve(&UPSTREAM, &[]);
    server.signal("TERM");
    server.ended(Duration::from_secs(20));
    home.run(&["session", "list"]).ok()
}

/// S18: a damaged database is refused and left as it is, never replaced. Negative control: undamaged it opens.
#[test]
fn a_damaged_database_is_refused_and_kept() {
    let home = Home::new();
    home.add_user("ada");
    stopped(&home);
    let database = home.data().join("sessile.db");
    let good = std::fs::read(&database).unwrap();
    for damage in [
        |bytes: &mut Vec<u8>| bytes[..16].copy_from_slice(b"not a database!!"),
        |bytes: &mut Vec<u8>| bytes[4096..8192].fill(0xa5),
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2 + 100),
    ] {
        let mut bytes = good.clone();
        damage(&mut bytes);
        std::fs::write(&database, &bytes).unwrap();
        let done = home.run(
            &[
                &[
                    "serve",
                    "--listen",
                    "127.0.0.1:0",
                    "--public-url",
                    "http://localhost",
                    "--ops-listen",
                    "127.0.0.1:0",
                ][..],
                &UPSTREAM,
            ]
            .concat(),
        );
        assert_eq!(done.code, 65, "{}", done.stderr);
        assert!(done.stderr.contains("damaged") || done.stderr.contains("not a"), "{}", done.stderr);
        assert_eq!(std::fs::read(&database).unwrap(), bytes, "the evidence is kept");
    }
    std::fs::write(&database, &good).unwrap();
    stopped(&home);
}

/// S22: a database of a newer version is refused with the way out. Negative control: its version put back, it opens.
#[test]
fn a_newer_database_is_refused() {
    let home = Home::new();
    home.add_user("ada");
    stopped(&home);
    let database = home.data().join("sessile.db");
    let good = std::fs::read(&database).unwrap();
    let mut newer = good.clone();
    // "user version", a big-endian number at offset 60 of an SQLite file's header.
    newer[60..64].copy_from_slice(&9999u32.to_be_bytes());
    std::fs::write(&database, &newer).unwrap();
    refused_everywhere(&home, &[], 65, &["9999", "newer program"]);
    assert_eq!(std::fs::read(&database).unwrap(), newer);
    std::fs::write(&database, &good).unwrap();
    stopped(&home);
}

/// S20: a second server on the same directory is refused and says who holds it; the first goes on. Commands
/// are not servers.
#[test]
fn a_second_server_is_refused() {
    let home = Home::new();
    let server = home.serve(&UPSTREAM, &[]);
    let second =
        home.run(
            &[
                &[
                    "serve",
                    "--listen",
                    "127.0.0.1:0",
                    "--public-url",
                    "http://localhost",
                    "--ops-listen",
                    "127.0.0.1:0",
                ][..],
                &UPSTREAM,
            ]
            .concat(),
        );
    assert_eq!(second.code, 69, "{}", second.stderr);
    assert!(second.stderr.contains(&format!("process {}", server.pid())), "{}", second.stderr);
    assert!(server.health(false));
    home.run(&["session", "list"]).ok();
    // Negative control: on a directory of its own it starts.
    let other = Home::new();
    assert!(other.serve(&UPSTREAM, &[]).health(true));
}

/// X7: a port that is taken stops the start and names the address.
#[test]
fn a_taken_port_is_named() {
    let (home, other) = (Home::new(), Home::new());
    let server = home.serve(&UPSTREAM, &[]);
    for (listen, ops) in
        [(server.public.to_string(), "127.0.0.1:0".to_owned()), ("127.0.0.1:0".to_owned(), server.ops.to_string())]
    {
        let done = other.run(
            &[&["serve", "--listen", &listen, "--ops-listen", &ops, "--public-url", "http://localhost"][..], &UPSTREAM]
                .concat(),
        );
        assert_eq!(done.code, 1, "{}", done.stderr);
        assert!(done.stderr.contains("in use by another process"), "{}", done.stderr);
    }
}

/// A directory that cannot be used is named.
#[test]
fn an_unusable_directory_is_refused() {
    let home = Home::new();
    std::fs::write(home.path("data"), "a file").unwrap();
    let done = home.run(&["session", "list"]);
    assert!(matches!(done.code, 69 | 78), "{} {}", done.code, done.stderr);
    assert!(done.stderr.contains("data"), "{}", done.stderr);
}
