//! A TCP proxy that counts what passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Default)]
pub(crate) struct Counted {
    up: AtomicU64,
    down: AtomicU64,
}

/// A port that leads to another one. It listens as long as the runtime lives.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    counted: Arc<Counted>,
}

impl Proxy {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let counted = Arc::new(Counted::default());
        let proxy = Self { port, counted: counted.clone() };
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                let (up, down) = (counted.clone(), counted.clone());
                tokio::spawn(async move { pump(near_read, far_write, &up.up).await });
                tokio::spawn(async move { pump(far_read, near_write, &down.down).await });
            }
        });
        proxy
    }

    /// Bytes to the server and from it, without those of TCP and IP.
    pub(crate) fn bytes(&self) -> [u64; 2] {
        [self.counted.up.load(Ordering::SeqCst), self.counted.down.load(Ordering::SeqCst)]
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counter: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
        counter.fetch_add(count as u64, Ordering::SeqCst);
    }
}
