//! The executor's HTTP endpoint: metrics for Prometheus.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// As OpenMetrics names it.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `/metrics` and `/health` on a free port of `address`, and returns the URL. It ends with the runtime.
pub async fn serve(address: &str, metrics: Arc<Metrics>) -> std::io::Result<String> {
    let listener = TcpListener::bind((address, 0)).await?;
    let local: SocketAddr = listener.local_addr()?;
    let router =
        Router::new().route("/metrics", get(render)).route("/health", get(|| async { "ok\n" })).with_state(metrics);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics endpoint ended");
        }
    });
    Ok(format!("http://{local}"))
}

async fn render(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render())
}
