use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use hyper::{HeaderMap, header::HeaderValue};
use millstream_mesos_types::scheduler::{Call, Envelope, Event, Subscribe};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Config, DisconnectReason, MasterUrl, SessionEvent,
    finder::{Ask, Finder, Found, PATH},
    pauses::Pauses,
    shared::{Shared, Subscription},
};
use crate::connection::Records;

/// Header that ties a call to an event stream.
const STREAM_ID: &str = "Mesos-Stream-Id";

/// Seconds between heartbeats as long as the master has not said it.
const DEFAULT_HEARTBEAT_SECS: f64 = 15.0;

/// The consumer has gone.
struct ConsumerGone;

/// An event stream that has just been opened.
struct Opened {
    master: MasterUrl,
    stream_id: Option<HeaderValue>,
    records: Records,
    /// What the subscription said.
    said: Subscribe,
}

/// Subscribes, passes events on, and subscribes again.
pub(super) struct Driver {
    config: Config,
    shared: Arc<Shared>,
    finder: Finder,
    sender: mpsc::Sender<(SessionEvent, Option<Arc<Subscription>>)>,
}

impl Driver {
    pub(super) fn new(
        config: Config,
        shared: Arc<Shared>,
        finder: Finder,
        sender: mpsc::Sender<(SessionEvent, Option<Arc<Subscription>>)>,
    ) -> Self {
        Self { config, shared, finder, sender }
    }

    pub(super) async fn run(mut self) {
        let mut pauses = Pauses::new(&self.config.timings);
        loop {
            let (reason, lasted) = match self.subscribe().await {
                Err(reason) => (reason, Duration::ZERO),
                Ok(opened) => {
                    let begin = Instant::now();
                    let Ok(reason) = self.listen(opened).await else { return };
                    (reason, begin.elapsed())
                }
            };
            let over = matches!(reason, DisconnectReason::Error(_) | DisconnectReason::NoMasters);
            let led_elsewhere = reason == DisconnectReason::LeaderChanged;
            if lasted > self.config.timings.backoff_max || led_elsewhere {
                pauses = Pauses::new(&self.config.timings);
            }
            let pause = if led_elsewhere { Duration::ZERO } else { pauses.next() };
            // Whoever has the events says it to people.
            tracing::debug!(%reason, retry_in_ms = if over { None } else { Some(pause.as_millis() as u64) }, "not subscribed");
            let event = SessionEvent::Disconnected { reason, retry_in: (!over).then_some(pause) };
            if self.pass((event, None)).await.is_err() || over {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.finder.other_leader() => pauses = Pauses::new(&self.config.timings),
            }
        }
    }

    async fn subscribe(&mut self) -> Result<Opened, DisconnectReason> {
        let said = self.shared.subscribe();
        let framework_id = said.framework_info.id.clone();
        let envelope = Envelope { framework_id, call: Call::Subscribe { subscribe: said.clone() } };
        let body = Bytes::from(serde_json::to_vec(&envelope).expect("a call is representable in JSON"));
        let Found { master, connection, answer } = self.finder.ask(&Ask::Post(PATH, body)).await?;
        let stream_id = answer.headers().get(STREAM_ID).cloned();
        Ok(Opened { master, stream_id, records: connection.records(answer), said })
    }

    /// Passes events on until the stream ends, and says why it did.
    async fn listen(&mut self, mut opened: Opened) -> Result<DisconnectReason, ConsumerGone> {
        let (ended, cause) = (CancellationToken::new(), Arc::new(OnceLock::new()));
        // However this function is left, calls on this stream fail from then on.
        let _end = ended.clone().drop_guard();
        let mut patience = self.patience(None);
        loop {
            let record = tokio::select! {
                record = tokio::time::timeout(patience, opened.records.next()) => record,
                () = ended.cancelled() => return Ok(cause.get().cloned().unwrap_or(DisconnectReason::Stale)),
                () = self.finder.other_leader() => return Ok(DisconnectReason::LeaderChanged),
            };
            let event = match record {
                Err(_) => return Ok(DisconnectReason::Silent(patience)),
                Ok(None) => return Ok(DisconnectReason::Closed),
                Ok(Some(Err(error))) => return Ok(DisconnectReason::Broken { detail: error.to_string() }),
                Ok(Some(Ok(record))) => serde_json::from_slice::<Event>(&record),
            };
            let (event, subscription) = match event {
                Ok(Event::Subscribed { subscribed }) => {
                    patience = self.patience(subscribed.heartbeat_interval_seconds);
                    tracing::debug!(master = %opened.master, framework = %subscribed.framework_id, "subscribed");
                    self.shared.subscribed(opened.said.clone(), subscribed.framework_id.clone());
                    let subscription = Subscription {
                        master: opened.master.clone(),
                        framework_id: subscribed.framework_id.clone(),
                        headers: self.call_headers(&opened),
                        ended: ended.clone(),
                        cause: cause.clone(),
                    };
                    let master = opened.master.authority.clone();
                    (SessionEvent::Subscribed { subscribed, master }, Some(Arc::new(subscription)))
                }
                Ok(Event::Error { error }) => {
                    let reason = DisconnectReason::Error(error.message.clone());
                    ended.cancel();
                    self.pass((SessionEvent::Event(Event::Error { error }), None)).await?;
                    return Ok(reason);
                }
                Ok(event) => (SessionEvent::Event(event), None),
                Err(error) => {
                    tracing::error!(%error, "event could not be read");
                    (SessionEvent::Malformed { detail: error.to_string() }, None)
                }
            };
            self.pass((event, subscription)).await?;
        }
    }

    async fn pass(&self, event: (SessionEvent, Option<Arc<Subscription>>)) -> Result<(), ConsumerGone> {
        self.sender.send(event).await.map_err(|_| ConsumerGone)
    }

    fn call_headers(&self, opened: &Opened) -> HeaderMap {
        let mut headers = self.config.headers();
        if let Some(stream_id) = &opened.stream_id {
            headers.insert(STREAM_ID, stream_id.clone());
        }
        headers
    }

    fn patience(&self, heartbeat_secs: Option<f64>) -> Duration {
        let secs = heartbeat_secs.filter(|secs| *secs > 0.0 && secs.is_finite()).unwrap_or(DEFAULT_HEARTBEAT_SECS);
        Duration::try_from_secs_f64(secs * f64::from(self.config.timings.missed_heartbeats)).unwrap_or(Duration::MAX)
    }
}
