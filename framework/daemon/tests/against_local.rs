//! The scheduler process against the Mesos master of `millstream local`, over real HTTP. Kafka and Cassandra are not
//! needed: the job is in the store already.

#[path = "against_local/backup.rs"]
mod backup;
#[path = "against_local/elected.rs"]
mod elected;
#[path = "against_local/strangers.rs"]
mod strangers;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use millstream_daemon::{
    Config, Overrides, RunError, access,
    store::{Memory, StateStore},
};
use millstream_local::{Local, LocalOptions};
use millstream_placement::{JobTopology, Replicas};
use millstream_scheduler::{Input, Now, State, step};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

const PATIENCE: Duration = Duration::from_secs(30);

struct Scheduler {
    url: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
    settings: TempDir,
}

impl Scheduler {
    async fn start(master: &str, executor: &Path, store: Arc<dyn StateStore>) -> Scheduler {
        let executor = Some(executor.to_owned());
        Self::start_with(master, Overrides { executor, ..Overrides::default() }, store).await
    }

    async fn start_with(master: &str, overrides: Overrides, store: Arc<dyn StateStore>) -> Scheduler {
        let overrides = Overrides { masters: vec![master.to_owned()], user: Some("root".into()), ..overrides };
        Self::start_by(config(overrides), store).await
    }

    async fn start_by((config, settings): (Config, TempDir), store: Arc<dyn StateStore>) -> Scheduler {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(millstream_daemon::serve(config, store, listener, async { drop(stopped.await) }));
        Scheduler { url, stop, running, settings }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = asked(method, &format!("{}{path}", self.url));
        let response = client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn until(&self, path: &str, what: impl Fn(u16, &str) -> bool) -> String {
        let all = async {
            loop {
                let (status, body) = self.ask("GET", path, "").await;
                if what(status, &body) {
                    return body;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{path} never said it"))
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap().unwrap();
    }
}

/// Good for everything.
const TOKEN: &str = "mst_the-token-of-these-tests-and-of-nobody-else";

/// Settings with one known token, and nothing written where the tests run.
fn config(overrides: Overrides) -> (Config, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::load(None, overrides).unwrap();
    let tokens = folder.path().join("tokens.toml");
    config.http.audit = Some(folder.path().join("audit.jsonl"));
    add_token(&tokens, "tests", TOKEN, access::Role::Admin, "*");
    config.http.tokens = Some(tokens);
    (config, folder)
}

fn add_token(file: &Path, name: &str, token: &str, role: access::Role, jobs: &str) {
    let (sha256, jobs) = (access::hash(token), vec![access::JobPattern::new(jobs)]);
    access::add(file, &access::Token { name: name.into(), sha256, role, jobs }).unwrap();
}

fn asked(method: &str, url: &str) -> hyper::http::request::Builder {
    let request = Request::builder().method(method).uri(url).header("Authorization", format!("Bearer {TOKEN}"));
    request.header("Content-Type", "application/toml")
}

async fn cluster(folder: &Path) -> Local {
    let options = LocalOptions { agents: 2, port: 0, agent_port: 0, ..LocalOptions::new(folder) };
    Local::start(options).await.unwrap()
}

/// A store in which a job of two slots waits for its places.
async fn store_with_job() -> Arc<Memory> {
    let spec = serde_json::from_value(json!({
        "name": "flights",
        "source": { "bootstrap": ["127.0.0.1:1"], "topic": "flights", "group": "flights" },
        "columns": [{ "name": "id", "type": "int", "path": ["id"] }],
        "transform": { "sql": "SELECT id FROM input" },
        "sink": { "contact_points": ["127.0.0.1:1"], "keyspace": "demo", "table": "flights" },
        "tasks": { "cpus": 0.5, "mem_bytes": 256 << 20 },
        "placement": { "goal": "any" },
    }))
    .unwrap();
    let mut state = State::new(Default::default());
    let now = Now { mono_ms: 0, wall_ms: 1_700_000_000_000 };
    let partitions = (0..2).map(|partition| (partition, Replicas::default())).collect();
    let topology = JobTopology { partitions, ..JobTopology::default() };
    let store = Arc::new(Memory::default());
    for input in [
        Input::Deploy { spec: Box::new(spec), toml: "# flights".into(), begun: None },
        Input::Topology { job: "flights".into(), topology },
    ] {
        store.apply(&step(&mut state, input, now).records).await.unwrap();
    }
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_launched_their_end_is_told_and_the_framework_outlives_the_scheduler() {
    let folder = tempfile::tempdir().unwrap();
    let local = cluster(folder.path()).await;
    let store = store_with_job().await;
    // An executor that ends at once.
    let scheduler = Scheduler::start(&local.master, Path::new("/bin/false"), store.clone()).await;
    scheduler.until("/health", |status, _| status == 200).await;
    let ended = |body: &str| body.contains("millstream_scheduler_task_ends_total{job=\"flights\"");
    let metrics = scheduler.until("/metrics", |_, body| ended(body)).await;
    assert!(metrics.contains("millstream_scheduler_launches_total{job=\"flights\"}"), "{metrics}");
    assert!(metrics.contains("millstream_scheduler_calls_total{call=\"accept\",outcome=\"accepted\"}"), "{metrics}");
    let why = scheduler.json("/api/v1/jobs/flights/why").await;
    assert!(!why["recent_failures"].as_array().unwrap().is_empty(), "{why}");
    assert!(why["backoff"]["failures"].as_u64().unwrap() >= 1, "{why}");
    let note = why["note"].as_str().unwrap_or_default();
    assert!(note.is_empty() || note.contains("cannot be read"), "{note}");
    let framework = store.load().await.unwrap()["framework"].clone();
    scheduler.end().await;

    let scheduler = Scheduler::start(&local.master, Path::new("/bin/false"), store.clone()).await;
    let health = scheduler.until("/health", |status, _| status == 200).await;
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["overview"]["framework_id"], framework["id"]);

    let (status, body) = scheduler.ask("POST", "/api/v1/jobs/flights/stop", "").await;
    assert_eq!((status, body.contains("\"changed\":true")), (200, true), "{body}");
    scheduler.until("/api/v1/jobs/flights", |_, body| body.contains("\"phase\":\"stopped\"")).await;
    assert_eq!(scheduler.ask("DELETE", "/api/v1/jobs/flights", "").await.0, 204);
    assert_eq!(scheduler.json("/api/v1/jobs").await["jobs"], json!([]));
    scheduler.end().await;
    local.stop().await;
}

/// A program that tells that it ran.
fn touches(file: &Path) -> String {
    format!("#!/bin/sh\ntouch {}\n", file.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_run_the_program_that_the_scheduler_serves_until_it_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let local = cluster(&folder.path().join("agents")).await;
    let (program, ran) = (folder.path().join("program"), folder.path().join("ran"));
    std::fs::write(&program, touches(&ran)).unwrap();
    let path = millstream_daemon::program::Program::open(&program).unwrap().url_path();
    let overrides = Overrides { executor: Some(program.clone()), serve_executor: true, ..Overrides::default() };
    let scheduler = Scheduler::start_with(&local.master, overrides, store_with_job().await).await;
    until("the program runs", || ran.exists()).await;
    assert_eq!(scheduler.ask("GET", &path, "").await.0, 200);
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    let (status, body) = scheduler.ask("GET", &path, "").await;
    assert_eq!((status, body.contains("rename it over")), (500, true), "{body}");
    let named = |body: &str| body.contains(&path) && body.contains("500 Internal Server Error");
    scheduler.until("/api/v1/jobs/flights/why", |_, body| named(body)).await;
    scheduler.end().await;
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_with_another_checksum_is_fetched_and_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let local = cluster(&folder.path().join("agents")).await;
    let (program, ran) = (folder.path().join("program"), folder.path().join("ran"));
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    let overrides = Overrides {
        executor: Some(program),
        serve_executor: true,
        url: Some(serves_to_all(touches(&ran)).await),
        ..Overrides::default()
    };
    let scheduler = Scheduler::start_with(&local.master, overrides, store_with_job().await).await;
    let failed = || files(folder.path(), "stdout").iter().any(|text| text.contains("millstream-executor: FAILED"));
    until("a checksum fails", failed).await;
    assert_eq!(files(folder.path(), "millstream-executor")[0], touches(&ran), "it was fetched");
    assert!(!ran.exists());
    scheduler.end().await;
    local.stop().await;
}

/// A server that answers everything with the same; its URL.
async fn serves_to_all(body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = axum::Router::new().fallback(move || async move { body });
    tokio::spawn(async move { axum::serve(listener, answer).await });
    url
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let all = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// What stands in all files of that name below a folder.
fn files(folder: &Path, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => files(&path, name),
        false if path.ends_with(name) => std::fs::read_to_string(path).into_iter().collect(),
        false => vec![],
    };
    entries.flat_map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_no_of_the_api_says_what_to_do() {
    let scheduler = Scheduler::start("127.0.0.1:1", Path::new("/bin/false"), store_with_job().await).await;
    let (status, body) = scheduler.ask("GET", "/health", "").await;
    assert_eq!(status, 503);
    assert!(body.contains("\"status\":\"connecting\""), "{body}");
    for (method, path, body, expected) in [
        ("GET", "/api/v1/jobs/nothing", "", 404),
        ("GET", "/api/v1/jobs/nothing/why", "", 404),
        ("GET", "/api/v1/jobs/nothing/lag", "", 404),
        ("POST", "/api/v1/jobs/nothing/stop", "", 404),
        ("DELETE", "/api/v1/jobs/flights", "", 409),
        ("PUT", "/api/v1/jobs/flights", "name = 1", 422),
        ("POST", "/api/v1/plan", "no toml", 422),
    ] {
        let (status, answer) = scheduler.ask(method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"].is_string() && answer["remedy"].is_string(), "{method} {path}: {answer}");
        let faults = answer["diagnostics"].as_array().map_or(0, Vec::len);
        assert_eq!(faults > 0, expected == 422, "{method} {path}: {answer}");
    }
    assert_eq!(scheduler.json("/api/v1/sd").await, json!([]));
    let (_, page) = scheduler.ask("GET", "/", "").await;
    assert!(page.contains("<title>Millstream</title>") && !page.contains("https://"), "no external assets");
    scheduler.end().await;
}
