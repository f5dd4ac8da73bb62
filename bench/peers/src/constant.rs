//! Services that answer anybody.

use std::convert::Infallible;
use std::io;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Json, Router};
use futures_util::StreamExt;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const BODY: &str = r#"{"user":"ada"}"#;

pub(crate) fn axum() -> Router {
    Router::new().fallback(get(|| async { ([(CONTENT_TYPE, "application/json")], BODY) }))
}

/// As nothing answers before the end of a body, a measured upload is a whole one.
pub(crate) fn sink() -> Router {
    Router::new().fallback(async |body: Body| -> Result<Json<Value>, StatusCode> {
        let mut chunks = body.into_data_stream();
        let mut received = 0;
        while let Some(chunk) = chunks.next().await {
            received += chunk.map_err(|_| StatusCode::BAD_REQUEST)?.len();
        }
        Ok(Json(json!({ "received": received })))
    })
}

pub(crate) async fn hyper(listener: TcpListener) -> io::Result<()> {
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer));
        tokio::spawn(async move {
            // A client that goes away ends its own connection alone.
            let _ = connection.await;
        });
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}
