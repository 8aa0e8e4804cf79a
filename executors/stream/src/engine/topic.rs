//! Whether the topic is there, and still the one that is read: a topic that is deleted and made anew begins at offset 0
//! again, and nothing else tells.

use std::time::Duration;

use super::{Stop, begin::no_topic, looks::Looks};
use crate::blocks::is_another_log;

/// How often it is asked.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A broker that has just started may not know it yet: so often in a row it must say that there is none.
const MISSING_LOOKS: u32 = 2;

/// Looks until the engine is gone.
pub(super) async fn watch(mut looks: Looks) {
    let mut missing = 0;
    while let Some((engine, ready)) = looks.next().await {
        match ready.topic_id().await.unwrap_or_else(|error| Err(error.to_string())) {
            // What can't be asked is seen elsewhere: no broker answers.
            Err(reason) => tracing::debug!(reason, "the topic could not be described"),
            Ok(None) => {
                missing += 1;
                if missing >= MISSING_LOOKS {
                    let stop = Stop::other(no_topic(&ready.source.topic));
                    engine.consumed().iter().for_each(|state| state.request_stop(stop.clone()));
                }
            }
            Ok(Some(id)) => {
                missing = 0;
                for state in engine.consumed() {
                    let read = state.topic_id();
                    if is_another_log(&read, &id) {
                        tracing::warn!(
                            partition = state.partition,
                            read,
                            now = id,
                            "the topic was deleted and made anew"
                        );
                        let reason = "the topic was deleted and made anew; beginning at its start";
                        state.request_stop(Stop::anew(reason));
                    }
                }
            }
        }
    }
}
