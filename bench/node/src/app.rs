//! The app behind a gateway: answers a small JSON document, and counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::machine::on_core;

/// What it answers.
pub const NOTES: &str =
    r#"{"notes":[{"id":1,"title":"Groceries","done":false},{"id":2,"title":"Call back","done":true}]}"#;

/// An app at work, in a thread of its own.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    served: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl App {
    /// Starts one on a core.
    ///
    /// # Panics
    ///
    /// If it cannot listen.
    pub fn start(core: usize) -> Self {
        let served = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let router = Router::new().route("/api/notes", get(notes)).with_state(served.clone());
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("it listens")).expect("somebody waits");
                // Not until every connection is closed: a gateway keeps some.
                tokio::select! {
                    ended = async { axum::serve(listener, router).await } => ended.expect("it listens"),
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::spawn(move || on_core(core, serve));
        let address = told.recv().expect("it listens");
        Self { address, served, stop: Some(stop), thread: Some(thread) }
    }

    /// Requests that came through with a token.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was printed.
            let _ = thread.join();
        }
    }
}

async fn notes(State(served): State<Arc<AtomicU64>>, headers: HeaderMap) -> impl IntoResponse {
    if headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"Bearer ")) {
        served.fetch_add(1, Ordering::Relaxed);
    }
    ([(CONTENT_TYPE, "application/json")], NOTES)
}
