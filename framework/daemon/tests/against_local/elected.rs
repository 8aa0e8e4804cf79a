//! Several schedulers, one of which leads. The election is one in memory: what ZooKeeper does about it is for tests/e2e.

use std::{collections::BTreeMap, sync::Mutex};

use futures_util::future::BoxFuture;
use millstream_daemon::{
    election::{Election, Term},
    store::StoreError,
};
use millstream_scheduler::RecordChange;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;

/// The one seat that schedulers compete for.
struct Seat {
    store: Arc<Memory>,
    /// Who sits there, by URL, and what is cancelled when they must leave.
    taken: watch::Sender<Option<(String, CancellationToken)>>,
    /// Who may not sit there.
    barred: Mutex<Option<String>>,
}

impl Seat {
    fn new(store: Arc<Memory>) -> Arc<Seat> {
        Arc::new(Seat { store, taken: watch::channel(None).0, barred: Mutex::default() })
    }

    fn leader(&self) -> Option<String> {
        self.taken.borrow().as_ref().map(|(url, _)| url.clone())
    }

    /// As when ZooKeeper has given a session up: the seat is free, and its holder is told so.
    fn depose(&self) {
        *self.barred.lock().unwrap() = self.leader();
        let deposed = self.taken.send_replace(None);
        deposed.expect("a leader").1.cancel();
    }
}

struct Competitor {
    url: String,
    seat: Arc<Seat>,
}

impl Election for Competitor {
    fn campaign<'a>(&'a self, leader: &'a watch::Sender<Option<String>>) -> BoxFuture<'a, Result<Term, StoreError>> {
        Box::pin(async move {
            let lost = CancellationToken::new();
            let mut taken = self.seat.taken.subscribe();
            let sit = |seat: &mut Option<(String, CancellationToken)>| {
                let free = seat.is_none() && self.seat.barred.lock().unwrap().as_ref() != Some(&self.url);
                if free {
                    *seat = Some((self.url.clone(), lost.clone()));
                }
                free
            };
            while !self.seat.taken.send_if_modified(sit) {
                leader.send_replace(self.seat.leader());
                taken.changed().await.unwrap();
            }
            let store = Arc::new(Fenced { records: self.seat.store.clone(), lost: lost.clone() });
            let seat = self.seat.clone();
            let release = async move {
                let _ = seat.taken.send_if_modified(|seat| seat.take().is_some());
            };
            Ok(Term { store, lost, release: Box::pin(release) })
        })
    }

    fn is_alone(&self) -> bool {
        false
    }
}

struct Fenced {
    records: Arc<Memory>,
    lost: CancellationToken,
}

impl StateStore for Fenced {
    fn load(&self) -> BoxFuture<'_, Result<BTreeMap<String, Value>, StoreError>> {
        self.records.load()
    }

    fn apply<'a>(&'a self, changes: &'a [RecordChange]) -> BoxFuture<'a, Result<(), StoreError>> {
        if self.lost.is_cancelled() { Box::pin(async { Err(StoreError::Lost) }) } else { self.records.apply(changes) }
    }
}

async fn compete(master: &str, executor: &Path, seat: &Arc<Seat>) -> Scheduler {
    let overrides = Overrides {
        masters: vec![master.to_owned()],
        user: Some("root".into()),
        executor: Some(executor.to_owned()),
        serve_executor: true,
        ..Overrides::default()
    };
    let (config, settings) = config(overrides);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let election = Arc::new(Competitor { url: url.clone(), seat: seat.clone() });
    let (stop, stopped) = oneshot::channel();
    let ended = millstream_daemon::serve_elected(config, election, listener, async { drop(stopped.await) });
    Scheduler { url, stop, running: tokio::spawn(ended), settings }
}

/// Where a scheduler leads with a request.
async fn location(scheduler: &Scheduler, method: &str, path: &str) -> Option<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = asked(method, &format!("{}{path}", scheduler.url));
    let response = client.request(request.body(Full::default()).unwrap()).await.unwrap();
    let location = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
    assert_eq!(response.status() == 307, location.is_some(), "{method} {path}: {}", response.status());
    location
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_sends_people_to_the_leader_and_takes_over_with_the_same_framework() {
    let folder = tempfile::tempdir().unwrap();
    let local = cluster(folder.path()).await;
    let seat = Seat::new(store_with_job().await);
    let first = compete(&local.master, Path::new("/bin/false"), &seat).await;
    first.until("/health", |status, body| status == 200 && body.contains("\"status\":\"ok\"")).await;
    let second = compete(&local.master, Path::new("/bin/false"), &seat).await;
    let standby = second.until("/health", |_, body| body.contains("\"leader\"")).await;
    let standby: Value = serde_json::from_str(&standby).unwrap();
    assert_eq!((&standby["status"], &standby["leader"]), (&json!("standby"), &json!(first.url)));

    for (method, path) in [
        ("GET", "/"),
        ("GET", "/api/v1/jobs"),
        ("GET", "/api/v1/jobs/flights/why?a=b%20c"),
        ("PUT", "/api/v1/jobs/flights"),
        ("DELETE", "/api/v1/jobs/flights"),
        ("POST", "/api/v1/plan"),
    ] {
        assert_eq!(location(&second, method, path).await, Some(format!("{}{path}", first.url)), "{method}");
    }
    assert!(second.ask("GET", "/metrics", "").await.1.contains("millstream_scheduler_leader 0"));
    assert!(first.ask("GET", "/metrics", "").await.1.contains("millstream_scheduler_leader 1"));

    let framework = seat.store.load().await.unwrap()["framework"]["id"].clone();
    assert!(framework.is_string(), "{framework}");
    first.end().await;
    let health = second.until("/health", |status, body| status == 200 && body.contains("\"status\":\"ok\"")).await;
    assert_eq!(serde_json::from_str::<Value>(&health).unwrap()["overview"]["framework_id"], framework);
    assert_eq!(second.json("/api/v1/jobs/flights/why").await["job"], "flights");
    let lag = second.json("/api/v1/jobs/flights/lag").await;
    assert_eq!((&lag["unknown"], lag["partitions"].as_array().map(Vec::len)), (&json!(2), Some(2)), "{lag}");
    second.end().await;
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_deposed_decides_nothing_more_and_stands_by() {
    let folder = tempfile::tempdir().unwrap();
    let local = cluster(folder.path()).await;
    let seat = Seat::new(store_with_job().await);
    let first = compete(&local.master, Path::new("/bin/false"), &seat).await;
    first.until("/health", |status, body| status == 200 && body.contains("\"status\":\"ok\"")).await;
    seat.depose();
    // Nobody leads, and the deposed one says so instead of naming itself.
    let health = first.until("/health", |_, body| body.contains("\"status\":\"standby\"")).await;
    assert!(!health.contains("\"leader\""), "{health}");
    let (status, body) = first.ask("GET", "/api/v1/jobs", "").await;
    assert_eq!((status, body.contains("remedy")), (503, true), "{body}");
    assert!(first.ask("GET", "/metrics", "").await.1.contains("millstream_scheduler_subscribed 0"));

    let second = compete(&local.master, Path::new("/bin/false"), &seat).await;
    second.until("/health", |status, body| status == 200 && body.contains("\"status\":\"ok\"")).await;
    first.until("/health", |_, body| body.contains(&format!("\"leader\":\"{}\"", second.url))).await;
    assert_eq!(location(&first, "GET", "/").await, Some(format!("{}/", second.url)));
    first.end().await;
    second.end().await;
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_fetch_the_executor_from_leader_and_standby_alike() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("millstream-executor");
    std::fs::write(&program, vec![7; 1_000_000]).unwrap();
    let path = millstream_daemon::program::Program::open(&program).unwrap().url_path();
    let seat = Seat::new(Arc::default());
    let schedulers = [compete("127.0.0.1:1", &program, &seat).await, compete("127.0.0.1:1", &program, &seat).await];
    for scheduler in schedulers {
        let (status, body) = scheduler.ask("GET", &path, "").await;
        assert_eq!((status, body.len()), (200, 1_000_000));
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let head = Request::head(format!("{}{path}", scheduler.url)).body(Full::default()).unwrap();
        let head = client.request(head).await.unwrap();
        assert_eq!(head.headers()["content-length"], "1000000", "Mesos' fetcher asks for the length first");
        assert_eq!(scheduler.ask("GET", "/executor/0123", "").await.0, 404);
        scheduler.end().await;
    }
}
