//! The real servers of one test binary: started by the first test, used by one test at a time, ended with the process.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use anyhow::{Context, Result};
use millstream_testbed::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, LocalOptions, MesosOptions, Millstream, SchedulerOptions,
    eventually, executors::ExecutorProcess,
};
use tokio::{runtime::Runtime, sync::Mutex};

const HOSTS: usize = 3;
/// For a task to be placed, started, or replaced on a busy machine.
pub const PLACED_WITHIN: Duration = Duration::from_secs(60);

/// Which Mesos the tests of a binary run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mesos {
    /// `millstream local`
    Local,
    /// Mesos 1.11 and `millstream scheduler`
    Real,
}

/// Three brokers, three Cassandra nodes, three agents, a scheduler.
pub struct Servers {
    /// Kafka.
    pub kafka: Kafka,
    /// Cassandra.
    pub cassandra: Cassandra,
    /// The real Mesos, if that is asked for.
    pub mesos: Option<millstream_testbed::Mesos>,
    /// Millstream.
    pub millstream: Millstream,
}

/// Runs a test on the servers of this binary, which the first call starts. Tests wait for each other.
pub fn with(mesos: Mesos, test: impl AsyncFnOnce(&mut Servers) -> Result<()>) -> Result<()> {
    static SHARED: OnceLock<(Runtime, Mutex<Option<Servers>>)> = OnceLock::new();
    // One runtime for all tests: clients are bound to the one they were made on.
    let (runtime, servers) = SHARED.get_or_init(|| {
        let runtime = Runtime::new().expect("threads can be started");
        (runtime, Mutex::new(None))
    });
    runtime.block_on(async {
        let mut servers = servers.lock().await;
        let servers = match &mut *servers {
            Some(running) => running,
            empty => empty.insert(Servers::start(mesos).await?),
        };
        servers.heal().await?;
        test(servers).await
    })
}

impl Servers {
    /// Runs a test on a Mesos and a scheduler of its own, beside the same Kafka and Cassandra. They end with it.
    pub async fn on(
        &mut self,
        options: MesosOptions,
        test: impl AsyncFnOnce(&mut Servers) -> Result<()>,
    ) -> Result<()> {
        let mesos = millstream_testbed::Mesos::start(options).await?;
        let millstream = Millstream::scheduler(&mesos, SchedulerOptions::default()).await?;
        self.with_scheduler(Some(mesos), millstream, test).await
    }

    /// The same on servers that the caller has started.
    pub async fn with_scheduler(
        &mut self,
        mesos: Option<millstream_testbed::Mesos>,
        millstream: Millstream,
        test: impl AsyncFnOnce(&mut Servers) -> Result<()>,
    ) -> Result<()> {
        let shared = (std::mem::replace(&mut self.mesos, mesos), std::mem::replace(&mut self.millstream, millstream));
        let result = test(self).await;
        (self.mesos, self.millstream) = shared;
        result
    }

    /// The real Mesos.
    ///
    /// # Errors
    /// When the test runs on `millstream local`.
    pub fn mesos(&self) -> Result<&millstream_testbed::Mesos> {
        self.mesos.as_ref().context("this test runs without a Mesos")
    }

    async fn start(kind: Mesos) -> Result<Self> {
        let kafka = Kafka::start(KafkaOptions { brokers: HOSTS, ..Default::default() });
        let cassandra = Cassandra::start(CassandraOptions::nodes(HOSTS));
        let mesos = async {
            match kind {
                Mesos::Local => Ok(None),
                Mesos::Real => millstream_testbed::Mesos::start(MesosOptions::default()).await.map(Some),
            }
        };
        let (kafka, cassandra, mesos) = tokio::try_join!(kafka, cassandra, mesos)?;
        cassandra.create_keyspace("e2e").await?;
        let millstream = match &mesos {
            None => Millstream::local(LocalOptions::default()).await?,
            Some(mesos) => Millstream::scheduler(mesos, SchedulerOptions::default()).await?,
        };
        Ok(Servers { kafka, cassandra, mesos, millstream })
    }

    /// Starts again what a failed test left dead, and stops the jobs it left running.
    async fn heal(&mut self) -> Result<()> {
        if let Some(mesos) = &mut self.mesos {
            for i in 1..=HOSTS {
                if !mesos.agent(i).is_running() {
                    mesos.restart_agent(i).await?;
                }
            }
            mesos.wait_for_agents(HOSTS).await?;
        }
        if !self.millstream.process().is_running() {
            self.millstream.restart().await?;
        }
        let jobs = self.millstream.api().get("/api/v1/jobs").await?;
        let jobs = jobs["jobs"].as_array().context("no list of jobs")?.iter();
        for job in jobs.filter(|job| job["phase"] != "stopped").filter_map(|job| job["name"].as_str()) {
            self.stop(job).await?;
        }
        Ok(())
    }

    /// The processes that run a job's tasks, by executor id: those the scheduler counts on.
    pub async fn executors_of(&self, job: &str) -> Result<BTreeMap<String, ExecutorProcess>> {
        let why = self.millstream.api().why(job).await?;
        let slots = why["slots"].as_array().context("no slots")?;
        let wanted: Vec<&str> = slots.iter().filter_map(|slot| slot["executor"].as_str()).collect();
        let processes =
            self.millstream.executors()?.into_iter().filter(|process| wanted.contains(&process.id.as_str()));
        Ok(processes.map(|process| (process.id.clone(), process)).collect())
    }

    /// Waits until every task of the job runs, on executors that are there, none of them in `gone`.
    pub async fn placed_without(&self, job: &str, gone: &[u32]) -> Result<BTreeMap<String, ExecutorProcess>> {
        eventually(&format!("{job} runs without the processes {gone:?}"), PLACED_WITHIN, async || {
            let view = self.millstream.api().job(job).await?;
            let executors = self.executors_of(job).await?;
            let why = self.millstream.api().why(job).await?;
            let slots = why["slots"].as_array().context("no slots")?;
            let there = slots.iter().all(|slot| slot["executor"].as_str().is_some_and(|id| executors.contains_key(id)));
            let clean = executors.values().all(|process| !gone.contains(&process.pid));
            Ok((view["slots"] != 0 && view["running"] == view["slots"] && there && clean).then_some(executors))
        })
        .await
    }

    /// Drains a job and waits until it has no task left.
    pub async fn stop(&self, job: &str) -> Result<()> {
        self.millstream.cli(&["stop", job]).await?;
        eventually(&format!("{job} is stopped"), PLACED_WITHIN, async || {
            Ok((self.millstream.api().job(job).await?["phase"] == "stopped").then_some(()))
        })
        .await
    }
}
