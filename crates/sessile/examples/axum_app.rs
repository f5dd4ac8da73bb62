//! Sessile as a library: an axum app that keeps its users' sessions, without the gateway.
//!
//! Run it with `cargo run -p sessile --example axum_app`, open <http://localhost:8090/> and sign in as `ada` with
//! the password `a good long passphrase`. Sessions live in memory and end with the process.

use std::sync::Arc;

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use sessile::extract::FreshSession;
use sessile::store::memory::MemoryStore;
use sessile::store::{MasterKey, Vault};
use sessile::{Clock, Engine, EngineConfig, SessileLayer, Session, SystemClock};
use sessile_core::SecretText;
use sessile_core::origin::Origin;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (crypto, entropy) = (sessile_aws_lc::provider(), sessile_aws_lc::entropy());
    let clock = Arc::new(SystemClock::new());

    // In production the master key comes from where the database is not: a file, the environment, a secret manager.
    let master = MasterKey::generate(&*entropy)?;
    let vault = Vault::open(Arc::new(MemoryStore::new()), master, crypto, entropy, clock.now().wall).await?;
    let config = EngineConfig::for_origin(Origin::parse("http://localhost:8090")?);
    let engine = Engine::start(Arc::new(vault), config, clock).await?;

    // The node's own work: revocations, keys, clean-up. It ends with the process.
    let node = engine.clone();
    tokio::spawn(async move { node.run(std::future::pending()).await });

    engine.accounts().create("ada", None, SecretText::new("a good long passphrase".into()), engine.now().wall).await?;

    let guarded = Router::new()
        .route("/", get(home))
        .route("/danger", post(|_: FreshSession<5>| async { "you proved who you are within five minutes" }))
        .layer(SessileLayer::required(engine));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8090").await?;
    println!("http://localhost:8090/");
    axum::serve(listener, guarded).await?;
    Ok(())
}

async fn home(session: Session) -> Html<String> {
    // A subject has no markup here: it is an account of ours. Escape what users write.
    Html(format!(
        "<!doctype html><title>Home</title><p>You are {}.<form method=post action=/auth/sign-out><button>Sign out</button></form>",
        session.subject()
    ))
}
