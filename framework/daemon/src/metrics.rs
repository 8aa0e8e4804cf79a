//! Every metric of the scheduler, by name. docs/metrics.md is tested against [`CATALOGUE`].

mod catalogue;
mod observe;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use millstream_scheduler::Audit;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

pub use catalogue::CATALOGUE;

macro_rules! labels {
    ($($name:ident { $($label:ident),* })*) => {$(
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($label: String),* }
    )*};
}

labels! {
    Phase { phase }
    TaskState { state }
    Placed { data, tier }
    Tier { tier }
    Offer { outcome, reason }
    Job { job }
    TaskEnd { job, cause }
    Outcome { outcome }
    CallOutcome { call, outcome }
    Partition { job, topic, partition }
    PartitionStatus { job, topic, partition, status }
}

type Real = Gauge<f64, std::sync::atomic::AtomicU64>;

/// All metrics. Counters count as things happen; gauges are set from the state when somebody asks.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Job → causes of its tasks' ends: of which jobs counters have series.
    counted: Mutex<BTreeMap<String, BTreeSet<&'static str>>>,
    subscribed: Gauge,
    leader: Gauge,
    jobs: Family<Phase, Gauge>,
    tasks: Family<TaskState, Gauge>,
    executors: Gauge,
    placed: Family<Placed, Gauge>,
    bytes_in: Family<Tier, Gauge>,
    offers: Family<Offer, Counter>,
    launches: Family<Job, Counter>,
    task_ends: Family<TaskEnd, Counter>,
    reports: Family<Outcome, Counter>,
    calls: Family<CallOutcome, Counter>,
    malformed: Counter,
    topology_errors: Family<Job, Counter>,
    store_records: Counter,
    store_errors: Counter,
    stalls: Counter,
    lag_records: Family<Partition, Gauge>,
    lag_seconds: Family<Partition, Real>,
    behind_transaction: Family<Partition, Gauge>,
    repeated_crashes: Family<Partition, Gauge>,
    status: Family<PartitionStatus, Gauge>,
    rate: Family<Job, Real>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        macro_rules! register {
            ($name:literal) => {{
                let metric = Default::default();
                let (_, kind, _, help) = CATALOGUE.iter().find(|(name, ..)| *name == $name).expect("in the catalogue");
                // The library adds `_total` itself.
                let name = if *kind == "counter" { $name.trim_end_matches("_total") } else { $name };
                registry.register(name, *help, Clone::clone(&metric));
                metric
            }};
        }
        Metrics {
            subscribed: register!("millstream_scheduler_subscribed"),
            leader: register!("millstream_scheduler_leader"),
            jobs: register!("millstream_scheduler_jobs"),
            tasks: register!("millstream_scheduler_tasks"),
            executors: register!("millstream_scheduler_executors"),
            placed: register!("millstream_scheduler_placed_tasks"),
            bytes_in: register!("millstream_scheduler_bytes_in"),
            offers: register!("millstream_scheduler_offers_total"),
            launches: register!("millstream_scheduler_launches_total"),
            task_ends: register!("millstream_scheduler_task_ends_total"),
            reports: register!("millstream_scheduler_reports_total"),
            calls: register!("millstream_scheduler_calls_total"),
            malformed: register!("millstream_scheduler_malformed_events_total"),
            topology_errors: register!("millstream_scheduler_topology_errors_total"),
            store_records: register!("millstream_scheduler_store_records_total"),
            store_errors: register!("millstream_scheduler_store_errors_total"),
            stalls: register!("millstream_scheduler_stalls_total"),
            lag_records: register!("millstream_job_lag_records"),
            lag_seconds: register!("millstream_job_lag_seconds"),
            behind_transaction: register!("millstream_job_behind_transaction_records"),
            repeated_crashes: register!("millstream_job_repeated_crashes"),
            status: register!("millstream_job_partition_status"),
            rate: register!("millstream_job_records_per_second"),
            registry: Mutex::new(registry),
            counted: Mutex::default(),
        }
    }

    /// Counts what a step says has happened.
    pub(crate) fn audit(&self, audit: &Audit) {
        let offers = |outcome: &str, reason: &str, count: usize| {
            self.offers.get_or_create(&Offer { outcome: outcome.into(), reason: reason.into() }).inc_by(count as u64);
        };
        let report = |outcome: &str| {
            self.reports.get_or_create(&Outcome { outcome: outcome.into() }).inc();
        };
        match audit {
            Audit::OffersAccepted { offers: count, .. } => offers("accepted", "", *count),
            Audit::OffersDeclined { offers: count, reason, .. } => offers("declined", reason.as_str(), *count),
            Audit::OfferRescinded { .. } => offers("rescinded", "", 1),
            Audit::TaskLaunched { job, .. } => {
                self.counted().entry(job.clone()).or_default();
                self.launches.get_or_create(&Job { job: job.clone() }).inc();
            }
            Audit::TaskEnded { job, cause, .. } => {
                self.counted().entry(job.clone()).or_default().insert(cause.as_str());
                self.task_ends.get_or_create(&TaskEnd { job: job.clone(), cause: cause.as_str().into() }).inc();
            }
            Audit::Report { .. } => report("accepted"),
            Audit::ReportRefused { .. } => report("refused"),
            Audit::UnknownExecutor { .. } => report("unknown"),
            Audit::SchedulerStalled { .. } => drop(self.stalls.inc()),
            _ => {}
        }
    }

    pub(crate) fn call(&self, call: &str, outcome: &str) {
        self.calls.get_or_create(&CallOutcome { call: call.into(), outcome: outcome.into() }).inc();
    }

    pub(crate) fn malformed_event(&self) {
        self.malformed.inc();
    }

    pub(crate) fn topology_error(&self, job: &str) {
        self.counted().entry(job.into()).or_default();
        self.topology_errors.get_or_create(&Job { job: job.into() }).inc();
    }

    fn counted(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<&'static str>>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stored(&self, records: usize) {
        self.store_records.inc_by(records as u64);
    }

    pub(crate) fn store_failed(&self) {
        self.store_errors.inc();
    }

    /// The text Prometheus reads (OpenMetrics 1.0).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("writing to a String does not fail");
        text
    }
}

/// A plain enum's name as in JSON.
pub(crate) fn label(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use millstream_scheduler::State;

    use super::*;

    #[test]
    fn the_catalogue_is_what_is_served() {
        let metrics = Metrics::new();
        touch_every_family(&metrics);
        let text = metrics.encode();
        for (name, kind, _, help) in CATALOGUE {
            let family = if *kind == "counter" { name.trim_end_matches("_total") } else { name };
            assert!(text.contains(&format!("# TYPE {family} {kind}\n")), "{name} is not served as a {kind}:\n{text}");
            assert!(text.contains(&format!("# HELP {family} {help}.\n")), "{name} has another help");
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
        }
        assert_eq!(text.matches("# TYPE ").count(), CATALOGUE.len());
    }

    /// A family without a series is not served.
    fn touch_every_family(metrics: &Metrics) {
        drop(metrics.jobs.get_or_create(&Phase::default()));
        drop(metrics.tasks.get_or_create(&TaskState::default()));
        drop(metrics.placed.get_or_create(&Placed::default()));
        drop(metrics.bytes_in.get_or_create(&Tier::default()));
        drop(metrics.offers.get_or_create(&Offer::default()));
        drop(metrics.launches.get_or_create(&Job::default()));
        drop(metrics.task_ends.get_or_create(&TaskEnd::default()));
        drop(metrics.reports.get_or_create(&Outcome::default()));
        drop(metrics.calls.get_or_create(&CallOutcome::default()));
        drop(metrics.topology_errors.get_or_create(&Job::default()));
        drop(metrics.lag_records.get_or_create(&Partition::default()));
        drop(metrics.lag_seconds.get_or_create(&Partition::default()));
        drop(metrics.behind_transaction.get_or_create(&Partition::default()));
        drop(metrics.repeated_crashes.get_or_create(&Partition::default()));
        drop(metrics.status.get_or_create(&PartitionStatus::default()));
        drop(metrics.rate.get_or_create(&Job::default()));
    }

    #[test]
    fn a_standby_shows_nothing_of_the_time_it_led() {
        let metrics = Metrics::new();
        metrics.observe(&State::new(millstream_scheduler::Settings::default()));
        assert!(metrics.encode().contains("millstream_scheduler_leader 1"));
        touch_every_family(&metrics);
        metrics.observe_nothing();
        let text = metrics.encode();
        assert!(text.contains("millstream_scheduler_leader 0"), "{text}");
        let counts =
            |line: &&str| line.starts_with("millstream_job_") || line.starts_with("millstream_scheduler_tasks");
        assert_eq!(text.lines().find(counts), None);
    }

    #[test]
    fn of_a_job_that_is_no_more_nothing_is_shown() {
        let metrics = Metrics::new();
        let mut state = State::new(millstream_scheduler::Settings::default());
        let (now, job) = (millstream_scheduler::Now { mono_ms: 0, wall_ms: 1 }, "gone".to_owned());
        let spec = serde_json::json!({
            "name": job,
            "source": { "bootstrap": ["127.0.0.1:1"], "topic": "t", "group": "g" },
            "columns": [{ "name": "id", "type": "int", "path": ["id"] }],
            "transform": { "sql": "SELECT id FROM input" },
            "sink": { "contact_points": ["127.0.0.1:1"], "keyspace": "k", "table": "t" },
            "tasks": { "cpus": 0.5, "mem_bytes": 256 << 20 },
            "placement": { "goal": "any" },
        });
        let spec = Box::new(serde_json::from_value(spec).expect("a job"));
        let deploy = millstream_scheduler::Input::Deploy { spec, toml: String::new(), begun: None };
        millstream_scheduler::step(&mut state, deploy, now);
        let end = |cause| Audit::TaskEnded {
            job: job.clone(),
            slot: 0,
            task: "gone.0.1".into(),
            agent: "a".into(),
            cause,
            state: None,
            message: String::new(),
            retry_in_ms: 0,
        };
        metrics.audit(&end(millstream_scheduler::EndCause::Drained));
        metrics.audit(&end(millstream_scheduler::EndCause::Silent));
        metrics.topology_error(&job);
        metrics.observe(&state);
        assert_eq!(metrics.encode().matches("job=\"gone\"").count(), 4, "three counters and the rate");
        for input in [
            millstream_scheduler::Input::Stop { job: job.clone() },
            millstream_scheduler::Input::Delete { job: job.clone() },
        ] {
            millstream_scheduler::step(&mut state, input, now);
        }
        metrics.observe(&state);
        assert!(!metrics.encode().contains("gone"), "{}", metrics.encode());
    }

    #[test]
    fn a_decline_counts_once_with_its_reason() {
        let metrics = Metrics::new();
        let reason = millstream_placement::ReasonKind::Cpus;
        metrics.audit(&Audit::OffersDeclined {
            agent: "a".into(),
            role: "r".into(),
            offers: 2,
            reason,
            refuse_secs: 5.0,
        });
        assert!(metrics.encode().contains(r#"millstream_scheduler_offers_total{outcome="declined",reason="cpus"} 2"#));
    }
}
