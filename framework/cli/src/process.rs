//! The end of a server process.

use tokio::signal::unix::{SignalKind, signal};

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
