//! A second framework on the same Mesos that wants everything: it keeps every offer it gets, in a role of its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures_util::StreamExt as _;
use millstream_mesos::scheduler::{Caller, Config, Events, Session, SessionEvent};
use millstream_mesos_types::{
    Capability, Filters, FrameworkInfo, Offer, OfferId, scalar_sum,
    scheduler::{Call, Decline, Event, Subscribe},
};
use millstream_testbed::eventually;
use tokio::task::JoinHandle;

/// Its name and its role.
pub const GREEDY: &str = "greedy";

/// From a start to a subscription, on a busy machine.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(20);

/// The framework; it is removed, and its offers are free again, when this is dropped.
pub struct Greedy {
    begun: Instant,
    caller: Caller,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    subscribed: bool,
    held: BTreeMap<String, Offer>,
    last_offer: Option<Instant>,
}

impl Greedy {
    /// Subscribes at the master and begins to keep offers.
    pub async fn start(master: &str) -> Result<Self> {
        let info = FrameworkInfo {
            user: "nobody".into(),
            name: GREEDY.into(),
            roles: vec![GREEDY.into()],
            capabilities: ["MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE"]
                .map(|kind| Capability { kind: kind.into() })
                .into(),
            ..FrameworkInfo::default()
        };
        let subscribe = Subscribe { framework_info: info, ..Subscribe::default() };
        let begun = Instant::now();
        let (events, caller) = Session::connect(Config::read(&[master], None)?, subscribe);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(keep(events, seen.clone()));
        let greedy = Greedy { begun, caller, seen, task };
        let subscribed = async || Ok(greedy.seen().subscribed.then_some(()));
        eventually("the greedy framework is subscribed", SUBSCRIBED_WITHIN, subscribed).await?;
        Ok(greedy)
    }

    /// CPUs of the offers it keeps now.
    pub fn cpus(&self) -> f64 {
        // Mesos counts in thousandths.
        let cpus: f64 = self.seen().held.values().map(|offer| scalar_sum(&offer.resources, "cpus")).sum();
        (cpus * 1_000.0).round() / 1_000.0
    }

    /// Waits until it keeps `cpus` CPUs at least, and gives the time from its SUBSCRIBE to its last offer.
    pub async fn gets(&self, cpus: f64, within: Duration) -> Result<Duration> {
        let what = format!("the greedy framework gets {cpus} cpus");
        let got = eventually(&what, within, async || Ok((self.cpus() >= cpus).then_some(()))).await;
        got.with_context(|| format!("it has {}", self.cpus()))?;
        let last = self.seen().last_offer.context("no offer ever came")?;
        Ok(last.saturating_duration_since(self.begun))
    }

    /// Gives everything back, and takes it again as soon as it is offered.
    pub async fn release(&self) -> Result<()> {
        let held = std::mem::take(&mut self.seen().held);
        let offer_ids: Vec<OfferId> = held.into_values().map(|offer| offer.id).collect();
        let decline = Decline { offer_ids, filters: Some(Filters { refuse_seconds: Some(0.0) }) };
        Ok(self.caller.send(Call::Decline { decline }).await?)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Drop for Greedy {
    /// Its failover timeout is 0: the master removes it when the stream ends.
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(mut events: Events, seen: Arc<Mutex<Seen>>) {
    while let Some(event) = events.next().await {
        let mut seen = lock(&seen);
        match event {
            SessionEvent::Subscribed { .. } => *seen = Seen { subscribed: true, ..Seen::default() },
            SessionEvent::Event(Event::Offers { offers }) => {
                seen.last_offer = Some(Instant::now());
                seen.held.extend(offers.offers.into_iter().map(|offer| (offer.id.value.clone(), offer)));
            }
            SessionEvent::Event(Event::Rescind { rescind }) => drop(seen.held.remove(&rescind.offer_id.value)),
            SessionEvent::Disconnected { .. } => seen.held.clear(),
            SessionEvent::Event(_) | SessionEvent::Malformed { .. } => {}
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
