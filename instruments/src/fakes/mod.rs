//! Servers that are made up: they say what a test tells them to. Deterministic where real servers are not.

mod postgres;
mod redis;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use self::postgres::{FakePostgres, Fault, Greeting, READ_COMMIT, Says, Value, WRITE_COMMIT};
pub use self::redis::FakeRedis;

/// A port with a thread for each connection. Dropping it closes the port; the connections end with their clients.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
}

impl Door {
    fn open(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its number");
        let is_open = Arc::new(AtomicBool::new(true));
        let goes_on = is_open.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !goes_on.load(Ordering::SeqCst) {
                    return;
                }
                let serve = serve.clone();
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address, is_open }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.is_open.store(false, Ordering::SeqCst);
        // It looks when somebody comes.
        drop(TcpStream::connect(self.address));
    }
}
