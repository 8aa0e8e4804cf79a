//! Gauges, from the state at the moment somebody asks.

use std::collections::BTreeSet;

use millstream_scheduler::{State, views};

use super::{Job, Metrics, Partition, PartitionStatus, Phase, Placed, TaskEnd, TaskState, Tier, label};

impl Metrics {
    /// Sets every gauge of a scheduler that does not lead.
    pub(crate) fn observe_nothing(&self) {
        for gauge in [&self.leader, &self.subscribed, &self.executors] {
            gauge.set(0);
        }
        self.tasks.clear();
        self.placed.clear();
        self.bytes_in.clear();
        self.forget_jobs();
    }

    /// Sets every gauge from the state of a scheduler that leads. Series of what is gone are dropped.
    pub(crate) fn observe(&self, state: &State) {
        let overview = views::overview(state);
        self.leader.set(1);
        self.subscribed.set(i64::from(overview.subscribed));
        self.executors.set(overview.executors as i64);
        self.tasks.clear();
        let others = [("condemned".to_owned(), overview.condemned), ("waiting".to_owned(), overview.waiting)];
        for (state, count) in overview.tasks.into_iter().chain(others) {
            self.tasks.get_or_create(&TaskState { state }).set(count as i64);
        }
        self.observe_locality(&views::locality(state));
        self.forget_jobs();
        let jobs = views::jobs(state);
        self.forget_counts(&jobs.iter().map(|job| job.name.as_str()).collect());
        for job in jobs {
            let phase = label(&job.phase);
            self.jobs.get_or_create(&Phase { phase }).inc();
            self.rate.get_or_create(&Job { job: job.name.clone() }).set(job.records_per_sec);
            if let Some(lag) = views::lag(state, &job.name) {
                self.observe_lag(&lag);
                self.observe_crashes(state, &lag);
            }
        }
    }

    fn forget_jobs(&self) {
        self.jobs.clear();
        self.rate.clear();
        self.lag_records.clear();
        self.lag_seconds.clear();
        self.behind_transaction.clear();
        self.repeated_crashes.clear();
        self.status.clear();
    }

    /// Drops what was counted of jobs that are no more. Another scheduler may have deleted them, while it led.
    fn forget_counts(&self, jobs: &BTreeSet<&str>) {
        self.counted().retain(|job, causes| {
            let is_there = jobs.contains(job.as_str());
            if !is_there {
                let of = Job { job: job.clone() };
                self.launches.remove(&of);
                self.topology_errors.remove(&of);
                for cause in causes.iter() {
                    self.task_ends.remove(&TaskEnd { job: job.clone(), cause: (*cause).into() });
                }
            }
            is_there
        });
    }

    fn observe_locality(&self, locality: &views::LocalityView) {
        self.placed.clear();
        for (data, tiers) in [("kafka", &locality.tasks_by_source_tier), ("cassandra", &locality.tasks_by_sink_tier)] {
            for (tier, count) in tiers {
                self.placed.get_or_create(&Placed { data: data.into(), tier: tier.to_string() }).set(*count as i64);
            }
        }
        self.bytes_in.clear();
        for (tier, bytes) in &locality.bytes_in_by_tier {
            self.bytes_in.get_or_create(&Tier { tier: tier.to_string() }).set(*bytes as i64);
        }
    }

    fn observe_crashes(&self, state: &State, lag: &views::LagView) {
        for crash in views::repeated_crashes(state, &lag.job) {
            let (job, topic, partition) = (lag.job.clone(), lag.topic.clone(), crash.partition.to_string());
            self.repeated_crashes.get_or_create(&Partition { job, topic, partition }).set(i64::from(crash.crashes));
        }
    }

    fn observe_lag(&self, lag: &views::LagView) {
        for p in &lag.partitions {
            let (job, topic, partition) = (lag.job.clone(), lag.topic.clone(), p.partition.to_string());
            let labels = Partition { job: job.clone(), topic: topic.clone(), partition: partition.clone() };
            if let Some(records) = p.records {
                self.lag_records.get_or_create(&labels).set(records as i64);
            }
            if let Some(records) = p.behind_transaction {
                self.behind_transaction.get_or_create(&labels).set(records as i64);
            }
            if let Some(ms) = p.ms {
                self.lag_seconds.get_or_create(&labels).set(ms as f64 / 1000.0);
            }
            if let Some(status) = p.status {
                self.status.get_or_create(&PartitionStatus { job, topic, partition, status: label(&status) }).set(1);
            }
        }
    }
}
