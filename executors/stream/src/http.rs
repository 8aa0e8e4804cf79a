//! The executor's HTTP endpoint: metrics for Prometheus.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::header, middleware, response::IntoResponse, routing::get};
use millstream_http::{
    Limits,
    browser::{Hosts, guard},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// As OpenMetrics names it.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A few scrapers, and who looks by hand.
const CONNECTIONS_MAX: usize = 64;

/// Serves `/metrics` and `/health` on this port of `address`, or on any free one when none is given or it is taken, and
/// returns the URL. It ends with the runtime.
pub async fn serve(address: &str, port: Option<u16>, metrics: Arc<Metrics>) -> std::io::Result<String> {
    let listener = listen(address, port).await?;
    let local: SocketAddr = listener.local_addr()?;
    let router = Router::new()
        .route("/metrics", get(render))
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

async fn render(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render())
}
