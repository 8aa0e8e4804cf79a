//! Which of several schedulers decides. A scheduler without rivals leads from its start to its end.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::{StateStore, StoreError};

/// Chooses one of the schedulers that compete.
pub trait Election: Send + Sync {
    /// Competes until this process leads; whatever passes by itself is waited for. `leader` is told meanwhile who leads:
    /// the URL of its API.
    fn campaign<'a>(&'a self, leader: &'a watch::Sender<Option<String>>) -> BoxFuture<'a, Result<Term, StoreError>>;

    /// Is there nobody to compete with? Then the end of a term is the end of the process.
    fn is_alone(&self) -> bool;
}

/// A time of leading.
pub struct Term {
    /// The records. Fenced: once the term is over, nothing can be written through it.
    pub store: Arc<dyn StateStore>,
    /// Cancelled when the leadership is lost.
    pub lost: CancellationToken,
    /// Gives the leadership back, so that another scheduler leads at once. Dropping the term does it too, but only
    /// soon, and not in a process that ends.
    pub release: BoxFuture<'static, ()>,
}

/// No election: the only scheduler of a store.
pub struct Alone(
    /// Its records.
    pub Arc<dyn StateStore>,
);

impl Election for Alone {
    fn campaign<'a>(&'a self, _: &'a watch::Sender<Option<String>>) -> BoxFuture<'a, Result<Term, StoreError>> {
        let term = Term { store: self.0.clone(), lost: CancellationToken::new(), release: Box::pin(async {}) };
        Box::pin(async { Ok(term) })
    }

    fn is_alone(&self) -> bool {
        true
    }
}
