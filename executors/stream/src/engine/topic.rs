//! Whether the topic is there, and still the one that is read: a topic that is deleted and made anew begins at offset 0
//! again, and nothing else tells.

use std::{sync::Weak, time::Duration};

use millstream_topology::kafka::topic_id;
use rdkafka::consumer::Consumer as _;
use tokio::time::{MissedTickBehavior, interval};

use super::{Again, Engine, Stop, begin::no_topic, setup::Ready};

/// How often it is asked.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A broker that has just started may not know it yet: so often in a row it must say that there is none.
const MISSING_LOOKS: u32 = 2;

/// Looks until the engine is gone.
pub(super) async fn watch(engine: Weak<Engine>) {
    let mut missing = 0;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(engine) = engine.upgrade() else { return };
        let Some(ready) = engine.ready.get() else { continue };
        match ask(ready).await {
            // What can't be asked is seen elsewhere: no broker answers.
            Err(reason) => tracing::debug!(reason, "the topic could not be described"),
            Ok(None) => {
                missing += 1;
                if missing >= MISSING_LOOKS {
                    let stop = Stop { reason: no_topic(&ready.source.topic), again: Again::Later };
                    engine.consumed().iter().for_each(|state| state.request_stop(stop.clone()));
                }
            }
            Ok(Some(id)) => {
                missing = 0;
                for state in engine.consumed() {
                    let read = state.topic_id();
                    if ![read.as_str(), id.as_str()].contains(&"") && read != id {
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

async fn ask(ready: &Ready) -> Result<Option<String>, String> {
    let topic = ready.source.topic.clone();
    let answer = ready.ask(move |consumer| Ok(topic_id(consumer.client(), &topic))).await;
    answer.unwrap_or_else(|error| Err(error.to_string()))
}
