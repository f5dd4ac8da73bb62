use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Door;

/// A Redis that answers scripts with what it is told to, and everything else as a healthy one without data would.
#[derive(Debug)]
pub struct FakeRedis {
    told: Arc<Told>,
    door: Door,
}

#[derive(Debug)]
struct Told {
    version: String,
    answer: Mutex<Option<String>>,
    greeted: AtomicUsize,
}

impl FakeRedis {
    /// Starts one that says it is of `version`, and answers scripts with `answer`, in RESP2.
    pub fn start(version: &str, answer: &str) -> Self {
        let told = Arc::new(Told {
            version: version.to_owned(),
            answer: Mutex::new(Some(answer.to_owned())),
            greeted: AtomicUsize::new(0),
        });
        let serving = told.clone();
        Self { told, door: Door::open(move |stream| serve(&serving, stream)) }
    }

    /// Its URL, by the loopback.
    pub fn url(&self) -> String {
        format!("redis://{}", self.door.address)
    }

    /// Answers scripts with `answer`, in RESP2, from now on; without one it hangs up.
    pub fn say(&self, answer: Option<&str>) {
        *self.told.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer.map(str::to_owned);
    }

    /// How often it was asked who it is: once for each connection that was opened.
    pub fn greeted(&self) -> usize {
        self.told.greeted.load(Ordering::SeqCst)
    }
}

fn serve(told: &Told, mut stream: TcpStream) {
    let mut from = BufReader::new(stream.try_clone().expect("a descriptor"));
    while let Some(command) = command(&mut from) {
        let answer = match command.first().map_or("", String::as_str) {
            "INFO" => {
                told.greeted.fetch_add(1, Ordering::SeqCst);
                let info = format!("redis_version:{}\r\nrun_id:fake\r\n", told.version);
                Some(format!("${}\r\n{info}\r\n", info.len()))
            }
            "CONFIG" => Some("*2\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n".to_owned()),
            "EVALSHA" | "EVAL" => told.answer.lock().unwrap_or_else(PoisonError::into_inner).clone(),
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
