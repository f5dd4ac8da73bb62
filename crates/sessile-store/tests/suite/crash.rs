//! Acknowledged is durable: through `kill -9`, and through a sync that fails (I17, X8, S16, S17, F2, F4).
//!
//! SIGKILL leaves the page cache alone, so it cannot tell `synchronous=FULL` from `OFF`; that the sync comes before
//! the acknowledgement is shown by tracing system calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use sessile_core::SessionId;
use sessile_core::revocation::{Reason, Scope};
use sessile_store::{InsertOutcome, Rotation, StoreError, Vault};

use crate::world::{START, after, new_session, server, sign_in, vault};

const ROLE: &str = "SESSILE_TEST_ROLE";
const DIRECTORY: &str = "SESSILE_TEST_DIRECTORY";

/// Begins this test binary again as one of the children below.
fn child(role: &str, directory: &Path, mut around: Command) -> Child {
    around
        .args(["--exact", "crash::in_a_child", "--nocapture", "--test-threads", "1"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn plain() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

#[test]
fn in_a_child() {
    let (Ok(role), Some(directory)) = (std::env::var(ROLE), std::env::var_os(DIRECTORY)) else {
        return;
    };
    let directory = PathBuf::from(directory);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match role.as_str() {
        "acknowledges" => runtime.block_on(work_until_killed(&directory, Journalled::Acknowledged)),
        "promises" => runtime.block_on(work_until_killed(&directory, Journalled::Asked)),
        "opens" => drop(runtime.block_on(async { vault(Arc::new(server(&directory.join("data")).unwrap())).await })),
        "one by one" => runtime.block_on(one_by_one(&directory)),
        other => panic!("no role {other:?}"),
    }
}

/// What somebody outside saw, as one line for each thing; each line is one write, which survives the process.
struct Journal(File);

impl Journal {
    fn append_to(directory: &Path) -> Self {
        let path = directory.join("journal");
        Self(OpenOptions::new().create(true).append(true).open(path).unwrap())
    }

    fn note(&self, what: &str, id: SessionId, number: u64) {
        (&self.0).write_all(format!("{what} {id} {number}\n").as_bytes()).unwrap();
    }
}

/// When the child says that a revocation is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Journalled {
    Acknowledged,
    /// The flaw: before the store has said so.
    Asked,
}

async fn work_until_killed(directory: &Path, when: Journalled) {
    let vault = Arc::new(vault(Arc::new(server(&directory.join("data")).unwrap())).await);
    let journal = Arc::new(Journal::append_to(directory));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (vault, journal) = (vault.clone(), journal.clone());
            tokio::spawn(async move {
                for round in 0_u64.. {
                    let new = new_session(&format!("subject-{worker}"), after(round));
                    // Room for all: an eviction would look like a loss.
                    let InsertOutcome::Inserted { session, .. } = vault.insert(new, u32::MAX).await.unwrap() else {
                        panic!("128 random bits were taken");
                    };
                    journal.note("lives", session.id, 0);
                    for generation in 1..3 {
                        let kept = vault.load(session.id).await.unwrap().unwrap();
                        let Rotation::Rotated { .. } = vault.rotate(&kept, after(round + generation)).await.unwrap()
                        else {
                            panic!("nobody else rotates this session");
                        };
                        journal.note("rotated", session.id, generation);
                    }
                    if round % 2 == 0 {
                        journal.note("ending", session.id, 0);
                        if when == Journalled::Asked {
                            journal.note("ended", session.id, 0);
                        }
                        let revoked = vault.revoke(&Scope::Session(session.id), Reason::SignOut, after(round)).await;
                        assert_eq!(revoked.unwrap().ended, [session.id]);
                        journal.note("ended", session.id, 0);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
}

#[derive(Default)]
struct Seen {
    lives: BTreeMap<SessionId, u64>,
    ending: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
}

fn seen(directory: &Path) -> Seen {
    let mut seen = Seen::default();
    for line in fs::read_to_string(directory.join("journal")).unwrap_or_default().lines() {
        let [what, id, number] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        let (id, number) = (id.parse().unwrap(), number.parse().unwrap());
        match what {
            "lives" | "rotated" => drop(seen.lives.insert(id, number)),
            "ending" => drop(seen.ending.insert(id)),
            "ended" => drop(seen.ended.insert(id)),
            other => panic!("{other:?}"),
        }
    }
    seen
}

/// How many of the things seen from outside are not so in the store.
async fn broken_promises(vault: &Vault, seen: &Seen) -> usize {
    let mut broken = 0;
    for (id, generation) in &seen.lives {
        let found = vault.load(*id).await.unwrap();
        match found {
            Some(kept) => {
                let now = kept.session().rotation.generation;
                // One rotation may have been under way, no more.
                assert!(now <= generation + 1, "generation {now} where {generation} was acknowledged");
                broken += usize::from(seen.ended.contains(id)) + usize::from(now < *generation);
            }
            None => broken += usize::from(!seen.ending.contains(id)),
        }
    }
    broken
}

/// Kills the child at a moment of its work, opens what it left, and counts broken promises.
fn kill_and_look(role: &str, directory: &Path, moment: Duration) -> usize {
    let ended_before = seen(directory).ended.len();
    let mut killed = child(role, directory, plain());
    let begun = Instant::now();
    while seen(directory).ended.len() <= ended_before {
        assert!(begun.elapsed() < Duration::from_secs(30), "the child did nothing");
        sleep(Duration::from_millis(5));
    }
    sleep(moment);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let vault = vault(Arc::new(server(&directory.join("data")).unwrap())).await;
        assert_eq!(vault.lost_history(), None, "a crash was taken for a loss");
        broken_promises(&vault, &seen(directory)).await
    })
}

/// X8, I17, I8: after each of many kills, on one store, every acknowledged sign-in, rotation and revocation holds.
#[test]
fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..12 {
        let moment = Duration::from_millis(round * 37 % 120);
        assert_eq!(kill_and_look("acknowledges", directory.path(), moment), 0, "round {round}");
    }
    let seen = seen(directory.path());
    assert!(seen.ended.len() > 50 && seen.lives.len() > 100, "{} ended of {}", seen.ended.len(), seen.lives.len());
}

/// Negative control: one that says "done" before the store does is found out by the same kills.
#[test]
fn what_was_only_promised_does_not() {
    for round in 0..60 {
        let directory = tempfile::tempdir().unwrap();
        if kill_and_look("promises", directory.path(), Duration::from_millis(round * 7 % 50)) > 0 {
            return;
        }
    }
    panic!("sixty kills found no broken promise: the check cannot fail");
}

/// Twenty sign-ins, each ended, one operation at a time; what is refused is tried again.
async fn one_by_one(directory: &Path) {
    let vault = vault(Arc::new(server(&directory.join("data")).unwrap())).await;
    let journal = Journal::append_to(directory);
    for number in 0..20 {
        let session = new_session("anna", after(number));
        let id = session.session.id;
        match vault.insert(session, 50).await {
            Ok(_) => journal.note("lives", id, 0),
            Err(StoreError::Unavailable { .. }) => {
                journal.note("refused", id, 0);
                continue;
            }
            Err(other) => panic!("{other}"),
        }
        journal.note("ending", id, 0);
        loop {
            match vault.revoke(&Scope::Session(id), Reason::SignOut, START).await {
                Ok(_) => break journal.note("ended", id, 0),
                Err(StoreError::Unavailable { .. }) => journal.note("refused", id, 0),
                Err(other) => panic!("{other}"),
            }
            sleep(Duration::from_millis(10));
        }
    }
}

/// Runs a child under strace; what was traced, and whether the child ended well.
fn traced(role: &str, directory: &Path, options: &[&str]) -> Option<(String, bool)> {
    let log = directory.join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-o"]).arg(&log).args(options).arg(std::env::current_exe().unwrap());
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success());
    if !works {
        eprintln!("SKIPPED: strace is not here or may not trace; nothing was proved about syncs");
        return None;
    }
    let status = child(role, directory, strace).wait().unwrap();
    let trace = fs::read_to_string(&log).unwrap_or_else(|fault| panic!("{}: {fault}; {status}", log.display()));
    Some((trace, status.success()))
}

// SQLite calls whichever of the two it was built with.
fn syncs_log(line: &str) -> bool {
    (line.contains("fsync(") || line.contains("fdatasync(")) && line.contains("-wal>")
}

/// S17, architecture.md section 7: the log is synced before each acknowledgement. The negative control is within: acknowledgements of
/// which some have no sync before them would be told by the same reading.
#[test]
fn the_log_is_synced_before_the_answer() {
    let acknowledged_unsynced = |trace: &str| {
        let mut synced = false;
        let (mut acknowledged, mut unsynced) = (0, 0);
        for line in trace.lines() {
            if syncs_log(line) {
                synced = true;
            } else if line.contains("write(") && line.contains("/journal>") && !line.contains("\"ending") {
                acknowledged += 1;
                unsynced += usize::from(!synced);
                synced = false;
            }
        }
        (acknowledged, unsynced)
    };
    let directory = tempfile::tempdir().unwrap();
    let options = ["-e", "trace=fsync,fdatasync,write"];
    let Some((trace, ended_well)) = traced("one by one", directory.path(), &options) else { return };
    assert!(ended_well);
    assert_eq!(acknowledged_unsynced(&trace), (40, 0));
    // The same trace with every second sync taken out.
    let mut number = 0;
    let thinned: Vec<&str> = trace
        .lines()
        .filter(|line| {
            number += usize::from(syncs_log(line));
            !syncs_log(line) || number % 2 == 0
        })
        .collect();
    let (acknowledged, unsynced) = acknowledged_unsynced(&thinned.join("\n"));
    assert!(acknowledged == 40 && unsynced >= 10, "{unsynced} of {acknowledged}");
}

/// S16: whichever sync of the log fails, the operation it belongs to is not acknowledged, the store goes on without a
/// restart, and everything acknowledged is there. Negative control: a sync too late to be reached refuses nothing.
#[test]
fn a_sync_that_fails_is_no_acknowledgement() {
    for failing in [8, 9, 13, 24, 60_000] {
        let directory = tempfile::tempdir().unwrap();
        let fault = format!("inject=fsync,fdatasync:error=EIO:when={failing}");
        let options = ["-e", "trace=fsync,fdatasync", "-e", &fault];
        let Some((trace, ended_well)) = traced("one by one", directory.path(), &options) else {
            return;
        };
        let journal = fs::read_to_string(directory.path().join("journal")).unwrap();
        let refused = journal.lines().filter(|line| line.starts_with("refused")).count();
        assert!(ended_well, "sync {failing}");
        let met = trace.contains("EIO");
        assert_eq!(met, failing < 60_000, "sync {failing}");
        assert_eq!(refused > 0, met, "sync {failing}: {journal}");
        let kept: String =
            journal.lines().filter(|line| !line.starts_with("refused")).map(|line| format!("{line}\n")).collect();
        fs::write(directory.path().join("journal"), kept).unwrap();
        let seen = seen(directory.path());
        assert!(seen.ended.len() >= 19, "sync {failing}: the store did not go on: {journal}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let vault = vault(Arc::new(server(&directory.path().join("data")).unwrap())).await;
            assert_eq!(vault.lost_history(), None, "sync {failing}");
            assert_eq!(broken_promises(&vault, &seen).await, 0, "sync {failing}");
        });
    }
}

/// S16, S17: whichever sync of a first start fails, the next start finds a store it can use.
#[test]
fn a_sync_that_fails_at_the_first_start() {
    let mut failed = 0;
    for failing in 1..=8 {
        let directory = tempfile::tempdir().unwrap();
        let fault = format!("inject=fsync,fdatasync:error=EIO:when={failing}");
        let options = ["-e", "trace=fsync,fdatasync", "-e", &fault];
        let Some((_, ended_well)) = traced("opens", directory.path(), &options) else { return };
        failed += usize::from(!ended_well);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let vault = vault(Arc::new(server(&directory.path().join("data")).unwrap())).await;
            let (session, _) = sign_in(&vault, "anna", START).await;
            assert!(vault.load(session.id).await.unwrap().is_some(), "sync {failing}");
        });
    }
    assert!(failed > 0, "no sync of a first start mattered");
}
