//! What a server process needs besides its work: a log, and an end.

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::output::Output;

/// Sets what is logged when `MILLSTREAM_LOG` does not: our own events, and of the libraries what is wrong.
const LOG: &str = "warn,millstream=info,millstream_daemon=info,millstream_scheduler=info,millstream_mesos=info,millstream_topology=info,millstream_local=info";

/// Logs to standard error, as lines for people (with colours only where they see them) or as JSON.
pub(crate) fn log(out: Output) {
    let filter = EnvFilter::try_from_env("MILLSTREAM_LOG").unwrap_or_else(|_| EnvFilter::new(LOG));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(out.color());
    // A second initialisation can only come from a test: the first one stays.
    let _ = if out.json { builder.json().try_init() } else { builder.try_init() };
}

/// Completes at SIGINT or SIGTERM.
pub(crate) async fn shutdown() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            // Without a handler the signal ends the process, which is what it asks for.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        // An error means that no handler can be set: SIGINT ends the process then.
        interrupted = tokio::signal::ctrl_c() => if interrupted.is_err() { std::future::pending().await },
        () = terminate => {}
    }
    tracing::info!("asked to end");
}
