//! Millstream's manners as the master sees them: how long offers are out, and what calls come.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use millstream_testbed::http;
use serde_json::Value;
use tokio::task::JoinHandle;

/// The framework that is watched.
pub const MILLSTREAM: &str = "millstream";
/// Its manners: longest time an offer may be out.
pub const HELD_MAX: Duration = Duration::from_secs(1);
/// Its manners: least time between two REVIVEs.
pub const REVIVE_EVERY: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks at the master several times a second until it is dropped.
pub struct Observer {
    begun: Instant,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    looks: usize,
    /// By offer id: first and last look that saw it out.
    out: BTreeMap<String, (Instant, Instant)>,
    /// At the first look and at the last.
    counters: Option<(Counters, Counters)>,
}

/// Counters of the framework by the master's names, without their common beginning.
type Counters = BTreeMap<String, u64>;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Manners {
    /// How long was looked.
    pub watched: Duration,
    /// Different offers that were seen out.
    pub offers_seen: usize,
    /// The one that was out longest.
    pub longest_held: Duration,
    /// Growth of the master's counters: `calls/revive`, `offers/sent`, …
    pub counted: Counters,
}

impl Observer {
    /// Starts to look at the framework `millstream` of the master at `host:port`.
    pub fn start(master: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (master, shared) = (master.to_owned(), seen.clone());
        let task = tokio::spawn(async move {
            loop {
                // An election or a busy master: the next look counts.
                let _ = look(&master, &shared).await;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Observer { begun: Instant::now(), seen, task }
    }

    /// What was seen so far.
    ///
    /// # Errors
    /// When there was hardly a look: then nothing is proven.
    pub fn manners(&self) -> Result<Manners> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(seen.looks >= 3, "only {} looks at the master", seen.looks);
        // A master that is led by another begins again.
        let counted = seen.counters.iter().flat_map(|(first, last)| {
            last.iter().map(|(name, count)| (name.clone(), count.saturating_sub(first.get(name).copied().unwrap_or(0))))
        });
        Ok(Manners {
            watched: self.begun.elapsed(),
            offers_seen: seen.out.len(),
            longest_held: seen.out.values().map(|(first, last)| *last - *first).max().unwrap_or_default(),
            counted: counted.collect(),
        })
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Manners {
    /// One of the counters.
    pub fn count(&self, name: &str) -> u64 {
        self.counted.get(name).copied().unwrap_or(0)
    }

    /// Holds them against what Millstream promises: no offer held over a second, at most one REVIVE in five.
    pub fn are_good(&self) -> Result<()> {
        ensure!(self.longest_held < HELD_MAX, "an offer was held too long: {self}");
        let revives_max = 1 + self.watched.as_secs() / REVIVE_EVERY.as_secs();
        ensure!(self.count("calls/revive") <= revives_max, "too many REVIVEs, {revives_max} are allowed: {self}");
        Ok(())
    }
}

impl fmt::Display for Manners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "watched {:.1} s: longest held {:.0} ms ({} offers seen out, {} sent), {} REVIVE, {} SUPPRESS, {} DECLINE, \
             {} ACCEPT, {} calls in all",
            self.watched.as_secs_f64(),
            self.longest_held.as_secs_f64() * 1e3,
            self.offers_seen,
            self.count("offers/sent"),
            self.count("calls/revive"),
            self.count("calls/suppress"),
            self.count("calls/decline"),
            self.count("calls/accept"),
            self.count("calls"),
        )
    }
}

async fn look(master: &str, seen: &Mutex<Seen>) -> Result<()> {
    let frameworks = http::get(&format!("http://{master}/master/frameworks")).await?;
    let now = Instant::now();
    let snapshot = http::get(&format!("http://{master}/metrics/snapshot")).await?;
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.looks += 1;
    for offer in offers(&frameworks) {
        seen.out.entry(offer).or_insert((now, now)).1 = now;
    }
    let counters = counters(&snapshot);
    let first = seen.counters.take().map_or_else(|| counters.clone(), |(first, _)| first);
    seen.counters = Some((first, counters));
    Ok(())
}

/// Ids of the offers that are out to Millstream.
fn offers(frameworks: &Value) -> Vec<String> {
    let frameworks = frameworks["frameworks"].as_array().into_iter().flatten();
    let ours = frameworks.filter(|framework| framework["name"] == MILLSTREAM);
    let offers = ours.flat_map(|framework| framework["offers"].as_array().into_iter().flatten());
    offers.filter_map(|offer| offer["id"].as_str().map(str::to_owned)).collect()
}

/// `master/frameworks/NAME/ID/COUNTER`, of all frameworks that are called Millstream.
fn counters(snapshot: &Value) -> Counters {
    let prefix = format!("master/frameworks/{MILLSTREAM}/");
    let mut counters = Counters::new();
    for (name, value) in snapshot.as_object().into_iter().flatten() {
        let counter = name.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'));
        if let (Some((_, counter)), Some(value)) = (counter, value.as_f64()) {
            *counters.entry(counter.to_owned()).or_default() += value as u64;
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_millstreams_offers_and_counters_are_seen() {
        let frameworks = json!({ "frameworks": [
            { "name": "millstream", "offers": [{ "id": "O1" }, { "id": "O2" }] },
            { "name": "greedy", "offers": [{ "id": "O3" }] },
        ] });
        assert_eq!(offers(&frameworks), ["O1", "O2"]);
        let snapshot = json!({
            "master/frameworks/millstream/F-0000/calls/revive": 2.0,
            "master/frameworks/millstream/F-0001/calls/revive": 1.0,
            "master/frameworks/greedy/F-0002/calls/revive": 9.0,
            "master/uptime_secs": 5.5,
        });
        assert_eq!(counters(&snapshot), Counters::from([("calls/revive".into(), 3)]));
    }
}
