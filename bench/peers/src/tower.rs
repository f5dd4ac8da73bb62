//! An axum app that answers with the user's name, out of a session of tower-sessions.

use std::error::Error;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

use crate::{Store, data};

const USER: &str = "user";
/// As in the store's own examples.
const CONNECTIONS: usize = 6;

pub(crate) async fn router(store: Store) -> Result<Router, Box<dyn Error>> {
    let app = Router::new().route("/sign-in", post(sign_in)).route("/data", get(answer));
    match store {
        Store::Memory => Ok(app.layer(SessionManagerLayer::new(MemoryStore::default()))),
        Store::Redis(url) => {
            let pool = Pool::new(Config::from_url(&url)?, None, None, None, CONNECTIONS)?;
            pool.connect();
            pool.wait_for_connect().await?;
            Ok(app.layer(SessionManagerLayer::new(RedisStore::new(pool))))
        }
        Store::Sqlite(_) => Err("tower-sessions is measured with memory: and redis:".into()),
    }
}

async fn sign_in(session: Session) -> Response {
    match session.insert(USER, "ada").await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(fault) => failed(&fault),
    }
}

async fn answer(session: Session) -> Response {
    match session.get::<String>(USER).await {
        Ok(Some(user)) => data(&user).into_response(),
        Ok(None) => StatusCode::UNAUTHORIZED.into_response(),
        Err(fault) => failed(&fault),
    }
}

fn failed(fault: &dyn Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, fault.to_string()).into_response()
}
