//! Every error a server can answer with, from one that is made up: unavailable, never "gone" (S6).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile_core::revocation::{Reason, Scope};
use sessile_store::redis::{Address, ConnectError, RedisStore, Unfit};
use sessile_store::{Sessions, StoreError, WriteOutcome};

use crate::redis_world::options;
use crate::world::{START, new_session};

/// Answers scripts with what it is told to; nothing: it hangs up.
#[derive(Default)]
struct Fake {
    answer: Mutex<Option<String>>,
    version: Mutex<String>,
    greeted: AtomicUsize,
}

impl Fake {
    fn start(version: &str) -> (Arc<Self>, Address) {
        let fake = Arc::new(Self { version: Mutex::new(version.to_owned()), ..Self::default() });
        fake.say(Some("*4\r\n$1\r\n1\r\n$32\r\n00112233445566778899aabbccddeeff\r\n$1\r\n0\r\n$0\r\n\r\n"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("redis://{}", listener.local_addr().unwrap()).parse().unwrap();
        let serving = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let fake = serving.clone();
                std::thread::spawn(move || fake.serve(stream));
            }
        });
        (fake, address)
    }

    fn say(&self, answer: Option<&str>) {
        *self.answer.lock().unwrap() = answer.map(str::to_owned);
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut from = BufReader::new(stream.try_clone().unwrap());
        while let Some(command) = command(&mut from) {
            let answer = match command[0].as_str() {
                "INFO" => {
                    self.greeted.fetch_add(1, Ordering::SeqCst);
                    let info = format!("redis_version:{}\r\nrun_id:fake\r\n", self.version.lock().unwrap());
                    Some(format!("${}\r\n{info}\r\n", info.len()))
                }
                "CONFIG" => Some("*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n".to_owned()),
                "EVALSHA" | "EVAL" => self.answer.lock().unwrap().clone(),
                "HMGET" => Some("*2\r\n$-1\r\n$-1\r\n".to_owned()),
                "XREAD" => {
                    std::thread::sleep(Duration::from_millis(500));
                    Some("*-1\r\n".to_owned())
                }
                _ => Some("+OK\r\n".to_owned()),
            };
            let Some(answer) = answer else { return };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn command(from: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let parts = length(from)?;
    (0..parts)
        .map(|_| {
            let mut part = vec![0; length(from)? + 2];
            from.read_exact(&mut part).ok()?;
            part.truncate(part.len() - 2);
            Some(String::from_utf8_lossy(&part).into_owned())
        })
        .collect()
}

fn length(from: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    line.trim_end().get(1..)?.parse().ok()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Means {
    NotDone,
    Unknown,
    Full,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_mean_unavailable() {
    use Means::{Full, NotDone, Unknown};
    let table = [
        (Some("LOADING Redis is loading the dataset in memory"), NotDone, false),
        (Some("READONLY You can't write against a read only replica."), NotDone, true),
        (Some("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."), NotDone, true),
        (Some("NOAUTH Authentication required."), NotDone, true),
        (Some("NOPERM User default has no permissions to run the 'evalsha' command"), NotDone, false),
        (Some("BUSY Redis is busy running a script."), NotDone, false),
        (
            Some("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist"),
            NotDone,
            false,
        ),
        (Some("OOM command not allowed when used memory > 'maxmemory'."), Full, false),
        (
            Some("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"),
            Full,
            false,
        ),
        (Some("NOREPLICAS Not enough good replicas to write."), NotDone, false),
        (Some("CLUSTERDOWN The cluster is down"), NotDone, false),
        (Some("TRYAGAIN Multiple keys request during rehashing of slot"), NotDone, false),
        (Some("MOVED 866 127.0.0.1:1"), NotDone, false),
        (
            Some("WRONGTYPE Operation against a key holding the wrong kind of value script: x, on @user_script:1."),
            Unknown,
            false,
        ),
        (Some("ERR user_script:1: something is nil"), Unknown, false),
        (None, Unknown, true),
    ];
    let (fake, address) = Fake::start("7.2.4");
    let store = RedisStore::connect(&address, options()).await.unwrap();
    let id = new_session("anna", START).session.id;
    for (error, meaning, reconnects) in table {
        fake.say(error.map(|error| format!("-{error}\r\n")).as_deref());
        let greeted = fake.greeted.load(Ordering::SeqCst);
        let write = store.revoke(&Scope::Session(id), Reason::SignOut, START).await.unwrap_err();
        let found = match &write {
            StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. } => NotDone,
            StoreError::Unavailable { outcome: WriteOutcome::Unknown, .. } => Unknown,
            StoreError::Full(_) => Full,
            other => panic!("{error:?}: {other}"),
        };
        assert_eq!(found, meaning, "{error:?}: {write}");
        match store.load(id).await {
            Err(StoreError::Unavailable { outcome: WriteOutcome::NotDone, .. }) => assert_ne!(meaning, Full),
            Err(StoreError::Full(_)) => assert_eq!(meaning, Full),
            other => panic!("{error:?}: a read came to {other:?}"),
        }
        assert_eq!(fake.greeted.load(Ordering::SeqCst) > greeted, reconnects, "{error:?}: whether it reconnected");
        // The control: a server that answers "no such record" is believed.
        fake.say(Some("*-1\r\n"));
        assert_eq!(store.load(id).await.unwrap(), None, "after {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_too_old() {
    for (version, taken) in [("6.2.14", false), ("", false), ("7.0.0", true), ("8.2.1", true)] {
        let (_fake, address) = Fake::start(version);
        match RedisStore::connect(&address, options()).await {
            Ok(_) => assert!(taken, "{version}"),
            Err(ConnectError::Unfit { unfit: Unfit::TooOld(found), .. }) => assert!(!taken && found == version),
            Err(other) => panic!("{version}: {other}"),
        }
    }
}
