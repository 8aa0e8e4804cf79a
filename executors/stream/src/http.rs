//! The executor's HTTP endpoint: metrics for Prometheus.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use millstream_http::{
    Limits,
    browser::{Hosts, guard},
    token,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// As OpenMetrics names it.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A few scrapers, and who looks by hand.
const CONNECTIONS_MAX: usize = 64;

/// Serves `/metrics` and `/health` on this port of `address`, or on any free one when none is given or it is taken, and
/// returns the URL. Metrics are told for the token with this SHA-256 (in hex) only, if one is given. It ends with the runtime.
pub async fn serve(
    address: &str,
    port: Option<u16>,
    token_sha256: Option<String>,
    metrics: Arc<Metrics>,
) -> std::io::Result<String> {
    let listener = listen(address, port).await?;
    let local: SocketAddr = listener.local_addr()?;
    let router = Router::new()
        .route("/metrics", get(render))
        .route_layer(middleware::from_fn_with_state(token_sha256.map(Arc::from), login))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(metrics)
        .layer(middleware::from_fn_with_state(Hosts::default(), guard));
    let limits = Limits { connections: CONNECTIONS_MAX, ..Limits::default() };
    tokio::spawn(millstream_http::serve(listener, router, limits, None, CancellationToken::new()));
    Ok(format!("http://{local}"))
}

/// The port of the offer may be held by an executor that is about to leave, or by what does not keep to Mesos' ports.
async fn listen(address: &str, port: Option<u16>) -> std::io::Result<TcpListener> {
    if let Some(port) = port {
        match TcpListener::bind((address, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                tracing::warn!(%error, address, port, "the offered port is not to be had; taking any free one")
            }
        }
    }
    TcpListener::bind((address, 0)).await
}

/// Lets in who sends the token, as `Authorization: Bearer …`.
async fn login(State(sha256): State<Option<Arc<str>>>, request: Request, next: Next) -> Response {
    let is_let_in = sha256.is_none_or(|sha256| {
        token::bearer(request.headers()).is_some_and(|sent| token::is_same(&token::hash(sent), &sha256))
    });
    if is_let_in {
        return next.run(request).await;
    }
    let remedy = "metrics are told for a token: that of `metrics_token` in [executor] of the scheduler's settings\n";
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], remedy).into_response()
}

async fn render(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    async fn status(url: &str, path: &str, token: &str) -> String {
        let address = url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let login = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{login}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer.split(' ').nth(1).expect("a status").to_owned()
    }

    #[tokio::test]
    async fn metrics_are_told_for_a_token_if_there_is_one() {
        let metrics = || Arc::new(Metrics::new("job", "topic"));
        let open = serve("127.0.0.1", None, None, metrics()).await.expect("a port");
        assert_eq!(status(&open, "/metrics", "").await, "200");
        let sha256 = token::hash("right");
        let closed = serve("127.0.0.1", None, Some(sha256.clone()), metrics()).await.expect("a port");
        for (token, expected) in [("", "401"), ("wrong", "401"), (sha256.as_str(), "401"), ("right", "200")] {
            assert_eq!(status(&closed, "/metrics", token).await, expected, "{token}");
        }
        assert_eq!(status(&closed, "/health", "").await, "200");
    }
}
