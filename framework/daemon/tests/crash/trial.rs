//! One trial: a cluster, a job, schedulers that die one after the other, and what is left of it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use millstream_daemon::{
    Config, Overrides, RunError, access,
    store::{Memory, StateStore as _},
};
use millstream_local::{Local, LocalOptions};
use millstream_placement::{JobTopology, Replicas};
use millstream_scheduler::{Input, Now, State, step};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;

use super::{
    guarded::Guarded,
    oracle,
    points::Point,
    proxy,
    script::{Life, Script},
};

/// All must be well this long after the last scheduler has subscribed and the last fault is over (the 10 s).
const WELL_AFTER: Duration = Duration::from_secs(10);

/// A fault that has not come in this time after the one before does not come any more.
const REACHED_WITHIN: Duration = Duration::from_secs(8);

/// One more than the job's tasks fill, so that there is a place elsewhere.
const AGENTS: usize = 3;

/// Slots of the job. With [`MAX_SHARE_PER_HOST`] two of them share an executor and one has its own, so that a launch takes
/// two ACCEPTs, one of them with two tasks.
const SLOTS: i32 = 3;

const MAX_SHARE_PER_HOST: f64 = 0.6;

/// How often the trial looks at its processes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Longest trial: two faults that come as late as they may and what follows, on a machine that is far too busy.
const TRIAL_MAX: Duration = Duration::from_secs(180);

/// What came of a trial.
pub struct Outcome {
    /// The faults in their order.
    pub faults: [Point; 2],
    /// How many of them came.
    pub came: usize,
    /// What was wrong at the end.
    pub wrong: Vec<String>,
    /// Everything that passed by.
    pub trace: String,
}

/// Runs schedulers against a cluster of their own until the faults are over, and judges 10 s later.
pub async fn run(faults: [Point; 2], executor: &Path) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work_dir = folder.path().canonicalize().expect("just made");
    let options = LocalOptions { agents: AGENTS, port: 0, agent_port: 0, ..LocalOptions::new(&work_dir) };
    let local = Local::start(options).await.expect("free ports");
    let store = store_with_job().await;
    let script = Script::new(faults, &work_dir);
    let calm = schedulers(&local, &script, &store, executor);
    let (missing, mut wrong, last) = match tokio::time::timeout(TRIAL_MAX, calm).await {
        Ok((missing, Ok(last))) => {
            let records = store.load().await.expect("in memory");
            (missing, oracle::complaints(&records, &local.master_url, &work_dir).await, Some(last))
        }
        Ok((missing, Err(error))) => (missing, vec![error], None),
        Err(_) => (script.give_up().len(), vec![format!("no scheduler was calm within {TRIAL_MAX:?}")], None),
    };
    drop(last);
    local.stop().await;
    wrong.extend(script.wrong());
    Outcome { faults, came: faults.len() - missing, wrong, trace: script.trace() }
}

/// Lets one scheduler follow the other until all has been calm for long enough: the number of faults that did not come,
/// and the last scheduler or how one ended by itself.
async fn schedulers(
    local: &Local,
    script: &Arc<Script>,
    store: &Arc<Memory>,
    executor: &Path,
) -> (usize, Result<Scheduler, String>) {
    let (mut missing, mut looked) = (0, Instant::now());
    let mut scheduler = Scheduler::start(local, script.begin(), store, executor).await;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let calm = script.look(looked.elapsed());
        looked = Instant::now();
        if scheduler.running.is_finished() {
            let ended = (&mut scheduler.running).await.expect("a scheduler does not panic");
            if let Some(ended) = ended {
                return (missing, Err(format!("scheduler #{} ended by itself: {ended:?}", scheduler.life.number())));
            }
            scheduler = Scheduler::start(local, script.begin(), store, executor).await;
            continue;
        }
        if calm >= REACHED_WITHIN {
            missing += script.give_up().len();
        }
        if calm >= WELL_AFTER {
            return (missing, Ok(scheduler));
        }
    }
}

/// Nobody asks, but there must be a token.
static TOKENS: LazyLock<PathBuf> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash-tokens.toml");
    if !file.exists() {
        let (sha256, jobs) = (access::hash("nobody's"), vec![access::JobPattern::new("*")]);
        let nobody = access::Token { name: "nobody".into(), sha256, role: access::Role::Read, jobs };
        access::add(&file, &nobody).expect("written");
    }
    file
});

/// One scheduler process.
struct Scheduler {
    life: Life,
    /// None: it has died.
    running: AbortOnDropHandle<Option<Result<(), RunError>>>,
    _proxy: AbortOnDropHandle<()>,
}

impl Scheduler {
    async fn start(local: &Local, life: Life, store: &Arc<Memory>, executor: &Path) -> Scheduler {
        let (master, proxy) = proxy::start(&local.master, life.clone(), store.clone()).await;
        let overrides = Overrides {
            masters: vec![master],
            user: Some("root".into()),
            executor: Some(executor.to_owned()),
            ..Overrides::default()
        };
        let mut config = Config::load(None, overrides).expect("valid settings");
        config.http.tokens = Some(TOKENS.clone());
        config.http.audit = Some(TOKENS.with_extension("jsonl"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let store = Arc::new(Guarded { store: store.clone(), life: life.clone() });
        let dead = life.clone();
        let running: JoinHandle<_> = tokio::spawn(async move {
            // Dropping it is a crash: the driver promises to bear that.
            tokio::select! {
                () = dead.dead() => None,
                ended = millstream_daemon::serve(config, store, listener, std::future::pending()) => Some(ended),
            }
        });
        Scheduler { life, running: AbortOnDropHandle::new(running), _proxy: proxy }
    }
}

/// A store in which a job waits for its places. Its topic is never looked at: the secret is not set.
async fn store_with_job() -> Arc<Memory> {
    let unset = json!({ "env": "MILLSTREAM_TEST_SECRET_THAT_IS_NOT_SET" });
    let spec = serde_json::from_value(json!({
        "name": "flights",
        "source": {
            "bootstrap": ["127.0.0.1:1"], "topic": "flights", "group": "flights", "options": { "sasl.password": unset },
        },
        "columns": [{ "name": "id", "type": "int", "path": ["id"] }],
        "transform": { "sql": "SELECT id FROM input" },
        "sink": { "contact_points": ["127.0.0.1:1"], "keyspace": "demo", "table": "flights", "password": unset },
        "tasks": { "cpus": 0.5, "mem_bytes": 256 << 20 },
        "placement": { "goal": "any", "max_share_per_host": MAX_SHARE_PER_HOST },
    }));
    let mut state = State::new(Default::default());
    let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };
    let partitions = (0..SLOTS).map(|partition| (partition, Replicas::default())).collect();
    let topology = JobTopology { partitions, ..JobTopology::default() };
    let store = Arc::new(Memory::default());
    for input in [
        Input::Deploy { spec: Box::new(spec.expect("a job")), toml: "# flights".into(), begun: None },
        Input::Topology { job: "flights".into(), topology },
    ] {
        store.apply(&step(&mut state, input, now).records).await.expect("in memory");
    }
    store
}
