//! The real servers of one test binary: started by the first test that wants them, ended with the process.
//!
//! Kafka and Cassandra are shared by all tests: each has topics, tables and groups of its own. A Mesos with its scheduler is
//! used by one test at a time; most of that time is waiting, so several tests run at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context, Result};
use millstream_testbed::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, LocalOptions, MesosOptions, Millstream, SchedulerOptions,
    eventually, executors::ExecutorProcess,
};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell, Semaphore},
};

const HOSTS: usize = 3;
/// For a task to be placed, started, or replaced on a busy machine.
pub const PLACED_WITHIN: Duration = Duration::from_secs(60);
/// Tests that run at the same time. They wait more than they work.
const AT_ONCE: usize = 3;

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
    pub kafka: Arc<Kafka>,
    /// Cassandra.
    pub cassandra: Arc<Cassandra>,
    /// The real Mesos, if that is asked for.
    pub mesos: Option<millstream_testbed::Mesos>,
    /// Millstream.
    pub millstream: Millstream,
}

/// Where the data comes from and goes to.
#[derive(Clone)]
pub struct Data {
    kafka: Arc<Kafka>,
    cassandra: Arc<Cassandra>,
}

/// What the tests of a binary share.
struct Shared {
    /// One for all: clients are bound to the runtime they were made on.
    runtime: Runtime,
    data: OnceCell<Data>,
    local: Mutex<Option<Servers>>,
    /// Two, as most tests want one.
    real: [Mutex<Option<Servers>>; 2],
    turns: Semaphore,
}

impl Shared {
    fn get() -> &'static Self {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(|| Shared {
            runtime: Runtime::new().expect("threads can be started"),
            data: OnceCell::new(),
            local: Mutex::new(None),
            real: [Mutex::new(None), Mutex::new(None)],
            turns: Semaphore::new(AT_ONCE),
        })
    }

    async fn data(&self) -> Result<Data> {
        self.data.get_or_try_init(Data::start).await.cloned()
    }
}

/// Runs a test on a Mesos and a scheduler that it shares with other tests, one after the other.
pub fn with(mesos: Mesos, test: impl AsyncFnOnce(&mut Servers) -> Result<()>) -> Result<()> {
    let shared = Shared::get();
    shared.runtime.block_on(async {
        let mut servers = match mesos {
            Mesos::Local => shared.local.lock().await,
            Mesos::Real => tokio::select! {
                first = shared.real[0].lock() => first,
                second = shared.real[1].lock() => second,
            },
        };
        let _turn = shared.turns.acquire().await?;
        let servers = match &mut *servers {
            Some(running) => running,
            empty => empty.insert(Servers::start(shared, mesos).await?),
        };
        servers.heal().await?;
        test(servers).await
    })
}

/// Runs a test on a real Mesos and a scheduler of its own. They end with it.
pub fn beside(options: MesosOptions, test: impl AsyncFnOnce(&mut Servers) -> Result<()>) -> Result<()> {
    alone(async |data| {
        let mesos = millstream_testbed::Mesos::start(options).await?;
        let millstream = Millstream::scheduler(&mesos, SchedulerOptions::default()).await?;
        test(&mut data.with(Some(mesos), millstream)).await
    })
}

/// Runs a test that starts all but Kafka and Cassandra itself.
pub fn alone(test: impl AsyncFnOnce(Data) -> Result<()>) -> Result<()> {
    taking(1, test)
}

/// The same with no more than one other beside it: for what must be quick.
pub fn alone_and_quick(test: impl AsyncFnOnce(Data) -> Result<()>) -> Result<()> {
    taking(AT_ONCE - 1, test)
}

fn taking(turns: usize, test: impl AsyncFnOnce(Data) -> Result<()>) -> Result<()> {
    let shared = Shared::get();
    shared.runtime.block_on(async {
        let _turns = shared.turns.acquire_many(turns as u32).await?;
        test(shared.data().await?).await
    })
}

impl Data {
    async fn start() -> Result<Self> {
        let kafka = Kafka::start(KafkaOptions { brokers: HOSTS, ..Default::default() });
        let cassandra = Cassandra::start(CassandraOptions::nodes(HOSTS));
        let (kafka, cassandra) = tokio::try_join!(kafka, cassandra)?;
        cassandra.create_keyspace("e2e").await?;
        Ok(Data { kafka: Arc::new(kafka), cassandra: Arc::new(cassandra) })
    }

    /// All that a test needs, with these.
    pub fn with(self, mesos: Option<millstream_testbed::Mesos>, millstream: Millstream) -> Servers {
        let Data { kafka, cassandra } = self;
        Servers { kafka, cassandra, mesos, millstream }
    }
}

impl Servers {
    async fn start(shared: &Shared, kind: Mesos) -> Result<Self> {
        let mesos = async {
            match kind {
                Mesos::Local => Ok(None),
                Mesos::Real => millstream_testbed::Mesos::start(MesosOptions::default()).await.map(Some),
            }
        };
        let (data, mesos) = tokio::try_join!(shared.data(), mesos)?;
        let millstream = match &mesos {
            None => Millstream::local(LocalOptions::default()).await?,
            Some(mesos) => Millstream::scheduler(mesos, SchedulerOptions::default()).await?,
        };
        Ok(data.with(mesos, millstream))
    }

    /// The real Mesos.
    ///
    /// # Errors
    /// When the test runs on `millstream local`.
    pub fn mesos(&self) -> Result<&millstream_testbed::Mesos> {
        self.mesos.as_ref().context("this test runs without a Mesos")
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
