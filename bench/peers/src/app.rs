//! An axum app that answers with the user's name, with Sessile's layer around it or without.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use sessile::store::memory::MemoryStore;
use sessile::store::redis::{RedisOptions, RedisStore};
use sessile::store::sqlite::{Location, SqliteOptions, SqliteStore};
use sessile::store::{Backend, MasterKey, Vault};
use sessile::{Clock, Engine, EngineConfig, SessileLayer, Session, SystemClock};
use sessile_core::origin::Origin;
use sessile_core::{SecretText, Storage};

use crate::{Guard, Store, data};

/// Makes the account `ada` with the password of that file, unless nothing stands before the app.
pub(crate) async fn router(
    listen: SocketAddr,
    guard: Guard,
    store: Store,
    password_file: Option<&Path>,
) -> Result<Router, Box<dyn Error>> {
    let storage = match guard {
        Guard::None => return Ok(Router::new().route("/data", get(|| async { data("ada") }))),
        Guard::Hybrid => Storage::Hybrid,
        Guard::Database => Storage::Database,
    };
    let password = std::fs::read_to_string(password_file.ok_or("a guarded app needs --password-file")?)?;

    let mut config = EngineConfig::for_origin(Origin::parse(&format!("http://{listen}"))?);
    config.storage = storage;
    let engine = start(config, open(store).await?).await?;
    let password = SecretText::new(password.trim_end().to_owned());
    engine.accounts().create("ada", None, password, engine.now().wall).await?;

    let app = Router::new().route("/data", get(|session: Session| async move { data(session.subject().as_str()) }));
    Ok(app.layer(SessileLayer::required(engine)))
}

async fn open(store: Store) -> Result<Arc<dyn Backend>, Box<dyn Error>> {
    Ok(match store {
        Store::Memory => Arc::new(MemoryStore::new()),
        Store::Sqlite(directory) => {
            Arc::new(SqliteStore::open(&Location::directory(&directory), SqliteOptions::SERVER)?)
        }
        Store::Redis(url) => Arc::new(RedisStore::connect(&url.parse()?, RedisOptions::default()).await?),
    })
}

async fn start(config: EngineConfig, backend: Arc<dyn Backend>) -> Result<Engine, Box<dyn Error>> {
    let (crypto, entropy) = (sessile_aws_lc::provider(), sessile_aws_lc::entropy());
    let clock = Arc::new(SystemClock::new());
    let master = MasterKey::generate(&*entropy)?;
    let vault = Vault::open(backend, master, crypto, entropy, clock.now().wall).await?;
    let engine = Engine::start(Arc::new(vault), config, clock).await?;
    let node = engine.clone();
    tokio::spawn(async move { node.run(std::future::pending()).await });
    Ok(engine)
}
