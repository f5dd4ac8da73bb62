//! `sessile migrate` on its own: what it prints, what it refuses, and with which exit code. And a server that stops while
//! its store is being left.

use std::time::Duration;

use sessile_core::revocation::Phase;
use sessile_store::sqlite::{Location, SqliteOptions, SqliteStore};
use sessile_store::{MoveId, Moves, Stage, StageChange};

use crate::cli_world::{Home, PASSWORD};
use crate::gateway_world::Echo;

fn url(home: &Home, name: &str) -> String {
    format!("sqlite:{}", home.path(name).display())
}

fn users(home: &Home, store: &str) -> usize {
    home.json(&["user", "list", "--store", store]).as_array().expect("a list").len()
}

/// from the data directory to another database, told in lines and in a table; the old one changes nothing any more.
#[test]
fn a_move_is_told_and_final() {
    let home = Home::new();
    home.add_user("ada");
    home.add_user("grace");
    let to = url(&home, "next.db");
    let moved = home.run(&["migrate", "--to", &to]).ok();
    assert!(moved.stderr.contains("copying: 0 sessions") && moved.stderr.contains("verifying"), "{}", moved.stderr);
    assert!(moved.stdout.contains("accounts") && moved.stdout.contains(&home.path("next.db").display().to_string()));
    assert_eq!(users(&home, &to), 2);
    // Said again, it is over, and what is there was counted, not compared; undone it cannot be.
    let again = home.run(&["migrate", "--to", &to, "--json"]).ok().json();
    assert_eq!((&again["moved"]["accounts"], &again["moved"]["compared"]), (&2.into(), &false.into()), "{again}");
    let again = home.run(&["migrate", "--to", &to]).ok();
    assert!(again.stdout.contains("COUNTED") && !again.stdout.contains("VERIFIED"), "{}", again.stdout);
    let refused = home.run(&["migrate", "--to", &to, "--abandon"]);
    assert_eq!((refused.code, refused.stderr.contains("the move is over")), (69, true), "{}", refused.stderr);
    for arguments in [&["user", "disable", "ada"][..], &["keys", "rotate"], &["session", "revoke", "--all"]] {
        let refused = home.run(arguments);
        assert_eq!(refused.code, 69, "{arguments:?}: {} {}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains("store.url"), "{}", refused.stderr);
    }
    let served = home.run(&["serve", "--upstream", "http://127.0.0.1:9", "--public-url", "http://localhost:1"]);
    assert_eq!((served.code, served.stderr.contains("moved to another one")), (69, true), "{}", served.stderr);
    // The next one takes changes.
    home.run(&["user", "disable", "ada", "--store", &to]).ok();
}

/// Prepared, the new store waits and the old one works on; given up, it is as if nothing had been.
#[test]
fn a_move_can_be_given_up() {
    let home = Home::new();
    home.add_user("ada");
    let to = url(&home, "next.db");
    let prepared = home.run(&["migrate", "--to", &to, "--prepare", "--json"]).ok();
    assert_eq!(prepared.json()["prepared"], true);
    home.add_user("grace");
    let refused = home.run_with(&["user", "add", "alan", "--password-stdin", "--store", &to], PASSWORD, &[]);
    assert_eq!((refused.code, refused.stderr.contains("still being moved")), (69, true), "{}", refused.stderr);
    home.run(&["migrate", "--to", &to, "--abandon"]).ok();
    home.add_user("alan");
    assert_eq!((users(&home, &to), home.json(&["user", "list"]).as_array().expect("a list").len()), (0, 3));
    let told = home.run(&["migrate", "--to", &to, "--json"]).ok();
    let last: serde_json::Value = serde_json::from_str(told.stdout.lines().last().expect("lines")).expect("JSON");
    assert_eq!(last["moved"]["accounts"], 3);
}

/// The database of a data directory, named by its path, is not taken for a copy of one: that would end every session.
#[test]
fn a_data_directory_by_its_path() {
    let home = Home::new();
    home.add_user("ada");
    let from = url(&home, "data/sessile.db");
    let moved = home.run(&["migrate", "--from", &from, "--to", &url(&home, "next.db")]).ok();
    assert!(!moved.stderr.contains("lost"), "{}", moved.stderr);
    assert!(!home.path("data/sessile.db-lock").exists());
    assert_eq!(users(&home, &url(&home, "next.db")), 1);
}

fn entries(home: &Home) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(home.path("."))
        .expect("the home")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

/// A name that was mistyped is no empty store: nothing is moved, nothing is made, and nothing goes into service.
#[test]
fn a_source_that_is_not_there_is_refused() {
    let home = Home::new();
    let to = url(&home, "next.db");
    // No data directory, and so no key.
    for options in [&[][..], &["--prepare"], &["--abandon"]] {
        let refused = home.run(&[&["migrate", "--to", &to], options].concat());
        assert_eq!(refused.code, 64, "{options:?}: {} {}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains("data/sessile.db") && refused.stderr.contains("--from"), "{}", refused.stderr);
    }
    assert!(entries(&home).is_empty(), "{:?}", entries(&home));
    home.add_user("ada");
    for name in ["dat/sessile.db", "sessile.db"] {
        let refused = home.run(&["migrate", "--from", &url(&home, name), "--to", &to]);
        assert_eq!((refused.code, refused.stderr.contains(name)), (64, true), "{}", refused.stderr);
    }
    assert_eq!(entries(&home), ["data"]);
    // There, but of no server: what an attempt to look at a wrong name leaves behind.
    let unused = url(&home, "unused.db");
    home.run(&["migrate", "--to", &unused, "--prepare"]).ok();
    home.run(&["migrate", "--to", &unused, "--abandon"]).ok();
    let refused = home.run(&["migrate", "--from", &unused, "--to", &to]);
    assert_eq!((refused.code, refused.stderr.contains("never been in use")), (64, true), "{}", refused.stderr);
    home.run(&["migrate", "--to", &to]).ok();
    assert_eq!(users(&home, &to), 1);
}

/// X5: a master key is never made for a move, whose records are sealed under one that exists.
#[test]
fn a_move_makes_no_master_key() {
    let home = Home::new();
    let key = "mJ2u0nZ1y0mXl6vQyN3m9bq1cYw5Zk0d8aTq7pR4sUE";
    let (from, to) = (url(&home, "old.db"), url(&home, "next.db"));
    let add = ["user", "add", "ada", "--password-stdin", "--store", &from];
    home.run_with(&add, PASSWORD, &[("SESSILE_MASTER_KEY", key)]).ok();
    let before = entries(&home);
    let refused = home.run(&["migrate", "--from", &from, "--to", &to]);
    assert_eq!((refused.code, refused.stderr.contains("master.key")), (78, true), "{}", refused.stderr);
    assert_eq!(entries(&home), before);
    // Opening a store that is elsewhere would begin with a key; nobody listens there.
    let refused = home.run(&["migrate", "--from", "redis://127.0.0.1:9", "--to", &to]);
    assert_eq!((refused.code, refused.stderr.contains("master.key")), (78, true), "{}", refused.stderr);
    assert_eq!(entries(&home), before);
    let arguments = ["migrate", "--from", &from, "--to", &to];
    home.run_with(&arguments, "", &[("SESSILE_MASTER_KEY", key)]).ok();
    // A data directory by its path, which has lost both its database and its key.
    home.add_user("ada");
    std::fs::create_dir(home.path("other")).expect("a directory");
    std::fs::write(home.path("other/sessile.lock"), "").expect("a lock file");
    let refused = home.run(&["migrate", "--to", &url(&home, "other/sessile.db")]);
    assert_eq!((refused.code, refused.stderr.contains("other/master.key")), (78, true), "{}", refused.stderr);
    assert!(!home.path("other/master.key").exists());
}

/// Ends that cannot be those of a move.
#[test]
fn wrong_ends_are_refused() {
    let home = Home::new();
    home.add_user("ada");
    let (full, other) = (url(&home, "full.db"), url(&home, "other.db"));
    let store = ["user", "add", "ada", "--password-stdin", "--store", &full];
    home.run_with(&store, PASSWORD, &[]).ok();
    for (arguments, code, says) in [
        (&["migrate", "--to", &full][..], 65, "empty"),
        (&["migrate", "--from", &full, "--to", &full], 64, "same store"),
        (&["migrate", "--to", "memory:"], 78, "inside the server"),
        (&["migrate", "--to", "carrier-pigeon:"], 78, "--store"),
        (&["migrate"], 64, "--to"),
        (&["migrate", "--to", &other, "--abandon"], 64, "no move"),
        (&["migrate", "--to", &other, "--abandon", "--prepare"], 64, "--abandon"),
    ] {
        let refused = home.run(arguments);
        assert_eq!(refused.code, code, "{arguments:?}: {} {}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(says), "{arguments:?}: {}", refused.stderr);
    }
    // Settings that only one of the two has a use for do not stop it.
    home.run_with(&["migrate", "--to", &other], "", &[("SESSILE_STORE_NAME", "app")]).ok();
    assert_eq!(users(&home, &other), 1);
}

/// What a store that is being left no longer takes is said when the server stops; with nothing dropped, nothing is said.
#[tokio::test]
async fn uses_that_are_dropped_are_told() {
    for visits in [1, 0] {
        let home = Home::new();
        home.add_user("ada");
        let echo = Echo::start().await;
        let arguments = ["--upstream", &format!("http://{}", echo.address)];
        let mut server = home.serve_unready(&arguments, &[("SESSILE_SESSION_STORAGE", "cookie")]);
        server.until("ready", |server| server.health(false));
        let ada = server.sign_in("ada").await;
        let store = SqliteStore::open(&Location::directory(home.data()), SqliteOptions::VISITOR).expect("the store");
        let moving = Stage::of(Phase::Moving, MoveId::from_bytes([9; 16]));
        let closed = store.set_stage(Stage::default(), moving).await;
        assert!(matches!(closed, Ok(StageChange::Changed)), "{closed:?}");
        server.until("told of the move", |server| server.log().contains("are being moved"));
        for _ in 0..visits {
            assert_eq!(server.visit(&ada).await, 200, "{}", server.log());
        }
        server.signal("TERM");
        assert!(server.ended(Duration::from_secs(60)).success());
        let told = server.log().contains("uses of sessions were not written");
        assert_eq!(told, visits > 0, "{}", server.log());
    }
}
