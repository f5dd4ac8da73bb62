//! The listener's connections: few, slow ones cut off, and gone when the process stops.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const MOST_CONNECTIONS: usize = 64;
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// Longer than any endpoint takes; a connection that reads or writes more slowly is cut off.
const CONNECTION_WITHIN: Duration = Duration::from_secs(60);
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// A listener that holds its address.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// If it is taken or not ours.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until `stop` resolves.
pub async fn serve(listening: Listening, router: Router, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    let (leaving, left) = watch::channel(false);
    let mut stop = std::pin::pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listening.listener, &places) => accepted,
        };
        match accepted {
            Ok((socket, place)) => {
                let (router, left) = (router.clone(), left.clone());
                connections.spawn(async move {
                    // A connection that fails or is too slow concerns nobody else.
                    let _ = timeout(CONNECTION_WITHIN, connection(socket, router, left)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the operations listener cannot accept; trying again");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let _ = leaving.send(true);
    let _ = timeout(FINISH_WITHIN, async { while connections.join_next().await.is_some() {} }).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    Ok((socket, place))
}

/// Serves one connection. Once `left` says so it ends after the answer under way, or at once if there is none: whoever
/// scrapes keeps connections open.
async fn connection(socket: TcpStream, router: Router, mut left: watch::Receiver<bool>) -> Result<(), hyper::Error> {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        served = &mut serving => return served,
        _ = left.wait_for(|left| *left) => serving.as_mut().graceful_shutdown(),
    }
    serving.await
}
