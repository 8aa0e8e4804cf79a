use std::time::Duration;

use futures_util::{StreamExt as _, stream};

/// Requests to Cassandra of one kind that are on their way at once.
const AT_ONCE: usize = 16;

/// A wait for Kafka or Cassandra that is longer is shown.
pub(super) const SHOWN_AFTER: Duration = Duration::from_secs(5);

/// Does the work to its end; `show` is called once when that takes longer than [`SHOWN_AFTER`].
pub(super) async fn patiently<T>(work: impl Future<Output = T>, show: impl FnOnce()) -> T {
    let mut work = std::pin::pin!(work);
    match tokio::time::timeout(SHOWN_AFTER, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            show();
            work.await
        }
    }
}

/// Does all of it, a few at once; the answers come in any order.
pub(super) async fn few_at_once<F: Future>(work: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let work: Vec<F> = work.into_iter().collect();
    stream::iter(work).buffer_unordered(AT_ONCE).collect().await
}
