//! Who asks without belonging here: without a token, with another's, from a page of another site, by another's name.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, time::Instant};

use hyper::HeaderMap;
use millstream_daemon::access::Role;

use super::*;

/// All routes, with what may be asked of them.
const ROUTES: [(&str, &str); 17] = [
    ("GET", "/health"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/flights"),
    ("GET", "/api/v1/jobs/flights/why"),
    ("GET", "/api/v1/jobs/flights/lag"),
    ("GET", "/api/v1/sd"),
    ("GET", "/api/v1/state"),
    ("GET", "/api/v1/openapi.json"),
    ("PUT", "/api/v1/jobs/flights"),
    ("DELETE", "/api/v1/jobs/flights"),
    ("POST", "/api/v1/jobs/flights/stop"),
    ("POST", "/api/v1/plan"),
    ("GET", "/executor/0000"),
    ("GET", "/nothing/here"),
    ("OPTIONS", "/api/v1/jobs/flights"),
];

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
}

async fn send(scheduler: &Scheduler, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", scheduler.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.request(request.body(Full::from(body.to_owned())).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

async fn scheduler(folder: &Path) -> (Local, Scheduler) {
    let local = cluster(folder).await;
    let scheduler = Scheduler::start(&local.master, Path::new("/bin/false"), store_with_job().await).await;
    scheduler.until("/health", |status, _| status == 200).await;
    (local, scheduler)
}

fn audit(scheduler: &Scheduler) -> Vec<Value> {
    let text = fs::read_to_string(scheduler.settings.path().join("audit.jsonl")).unwrap();
    // The last line may be on its way.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// A line of the audit log, which is written a moment after the answer.
async fn audited(scheduler: &Scheduler, is_it: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        if let Some(entry) = audit(scheduler).into_iter().find(&is_it) {
            return entry;
        }
        assert!(began.elapsed() < PATIENCE, "it is not written down");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_liveness_and_the_empty_page_is_told_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (local, scheduler) = scheduler(folder.path()).await;
    for (method, path) in ROUTES {
        for header in ["", "Bearer", "Bearer ", "Bearer x", "Basic dXNlcjpwYXNz", TOKEN, "Bearer mst_another"] {
            let headers = [("authorization", header), ("content-type", "application/toml")];
            let answer = send(&scheduler, method, path, &headers, "").await;
            assert_eq!(answer.status, 401, "{method} {path} with {header:?}: {}", answer.body);
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"millstream\"");
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert!(body["status"] == 401 && body["remedy"].as_str().unwrap().contains("MILLSTREAM_TOKEN"), "{body}");
        }
    }
    let live = send(&scheduler, "GET", "/health/live", &[], "").await;
    assert_eq!((live.status, live.body.as_str()), (200, "{\"status\":\"live\"}"));
    let page = send(&scheduler, "GET", "/", &[], "").await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("script-src 'sha256-"), "{policy}");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("cache-control", "no-store"), ("x-frame-options", "DENY")]
    {
        assert!(page.headers[name] == value && live.headers[name] == value, "{name}");
    }
    assert_eq!(send(&scheduler, "POST", "/health/live", &[], "").await.status, 401, "only looking is free");
    audited(&scheduler, |entry| entry["status"] == 401 && entry["who"].is_null() && entry["path"] == "/health/live")
        .await;
    let refused = audit(&scheduler).into_iter().filter(|entry| entry["status"] == 401 && entry["who"].is_null());
    assert_eq!(refused.count(), ROUTES.len() * 7 + 1, "each is written down");
    let file = fs::metadata(scheduler.settings.path().join("audit.jsonl")).unwrap();
    assert_eq!(file.mode() & 0o777, 0o600);
    scheduler.end().await;
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_good_for_their_role_and_their_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let local = cluster(folder.path()).await;
    let (config, settings) = config(Overrides {
        masters: vec![local.master.clone()],
        user: Some("root".into()),
        executor: Some("/bin/false".into()),
        ..Overrides::default()
    });
    let tokens = settings.path().join("tokens.toml");
    for (name, role, jobs) in
        [("reader", Role::Read, "*"), ("other", Role::Operate, "orders-*"), ("pilot", Role::Operate, "fl*")]
    {
        add_token(&tokens, name, &format!("mst_{name}"), role, jobs);
    }
    let scheduler = Scheduler::start_by((config, settings), store_with_job().await).await;
    scheduler.until("/health", |status, _| status == 200).await;

    let ask = async |who: &str, method: &str, path: &str| {
        let token = format!("bearer mst_{who}");
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        send(&scheduler, method, path, &headers, "").await
    };
    let listed =
        |answer: &Answer| serde_json::from_str::<Value>(&answer.body).unwrap()["jobs"].as_array().unwrap().len();
    assert_eq!(listed(&ask("reader", "GET", "/api/v1/jobs").await), 1);
    assert_eq!(listed(&ask("other", "GET", "/api/v1/jobs").await), 0, "not even its name");
    for (who, method, path, status) in [
        ("reader", "GET", "/metrics", 200),
        ("other", "GET", "/metrics", 403),
        ("pilot", "GET", "/api/v1/sd", 403),
        ("reader", "POST", "/api/v1/jobs/flights/stop", 403),
        ("reader", "PUT", "/api/v1/jobs/flights", 403),
        ("reader", "POST", "/api/v1/plan", 403),
        ("other", "GET", "/api/v1/jobs/flights/why", 403),
        ("other", "POST", "/api/v1/jobs/flights/stop", 403),
        ("other", "POST", "/api/v1/jobs/flights%2fstop", 400),
        ("pilot", "DELETE", "/api/v1/jobs/flights", 403),
        ("pilot", "GET", "/api/v1/jobs/flights/why", 200),
        ("pilot", "POST", "/api/v1/jobs/flights/stop", 200),
    ] {
        let answer = ask(who, method, path).await;
        assert_eq!(answer.status, status, "{who} {method} {path}: {}", answer.body);
    }
    let stopped = audited(&scheduler, |entry| entry["who"] == "pilot" && entry["status"] == 200).await;
    assert!(
        stopped["path"] == "/api/v1/jobs/flights/stop" && stopped["from"].as_str().unwrap().starts_with("127.0.0.1:")
    );

    // A token that is taken out of the file is nobody's after SIGHUP; what cannot be read changes nothing.
    let hang_up = || nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).unwrap();
    let text = fs::read_to_string(&tokens).unwrap();
    fs::write(&tokens, text.replacen(&access::hash("mst_pilot"), &access::hash("mst_renewed"), 1)).unwrap();
    hang_up();
    let began = Instant::now();
    while ask("pilot", "GET", "/api/v1/jobs").await.status != 401 {
        assert!(began.elapsed() < PATIENCE, "the file is not read again");
    }
    assert_eq!(ask("renewed", "GET", "/api/v1/jobs").await.status, 200);
    fs::write(&tokens, "nonsense").unwrap();
    hang_up();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(ask("renewed", "GET", "/api/v1/jobs").await.status, 200);
    scheduler.end().await;
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_sites_can_neither_look_nor_change() {
    let folder = tempfile::tempdir().unwrap();
    let (local, scheduler) = scheduler(folder.path()).await;
    let bearer = format!("Bearer {TOKEN}");
    let known = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let with = |more: &[(&'static str, &'static str)]| [&known[..], more].concat();
    for (more, status) in [
        (&[("host", "evil.example")][..], 421),
        (&[("host", "127.0.0.1.evil.example:7070")], 421),
        (&[("origin", "http://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], 403),
    ] {
        for (method, path) in [("GET", "/api/v1/jobs"), ("POST", "/api/v1/jobs/flights/stop"), ("GET", "/health/live")]
        {
            let answer = send(&scheduler, method, path, &with(more), "").await;
            assert_eq!(answer.status, status, "{method} {path} {more:?}: {}", answer.body);
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!(answer.headers["x-frame-options"], "DENY");
        }
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        assert_eq!(send(&scheduler, "PUT", "/api/v1/jobs/flights", &headers, "x").await.status, 415, "{kind}");
    }
    // The same for the master and the agents, which ask for no token.
    for address in [local.master.clone(), local.agents[0].clone()] {
        let other = Scheduler { url: format!("http://{address}"), ..Scheduler::nobody() };
        for (more, status) in [
            (&[("host", "evil.example"), ("content-type", "application/json")][..], 421),
            (&[("origin", "http://evil.example"), ("content-type", "application/json")], 403),
        ] {
            for (method, path) in [("GET", "/state"), ("POST", "/api/v1/scheduler"), ("POST", "/machine/down")] {
                let answer = send(&other, method, path, more, "{}").await;
                assert_eq!(answer.status, status, "{address} {method} {path} {more:?}: {}", answer.body);
            }
        }
        other.running.abort();
    }
    scheduler.end().await;
    local.stop().await;
}

impl Scheduler {
    /// For its URL only.
    fn nobody() -> Scheduler {
        let (stop, _) = oneshot::channel();
        let running = tokio::spawn(async { Ok(()) });
        Scheduler { url: String::new(), stop, running, settings: tempfile::tempdir().unwrap() }
    }
}

/// Two people change the same job: the second one has not seen what the first one did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_what_has_changed_meanwhile_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (local, scheduler) = scheduler(folder.path()).await;
    let bearer = format!("Bearer {TOKEN}");
    let ask = async |method: &str, path: &str, tag: (&str, &str)| {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), tag];
        send(&scheduler, method, path, &headers, "").await
    };
    const JOB: &str = "/api/v1/jobs/flights";
    let none = ("x-nothing", "");
    let seen = ask("GET", JOB, none).await.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(ask("POST", "/api/v1/jobs/flights/stop", none).await.status, 200);
    scheduler.until(JOB, |_, body| body.contains("\"phase\":\"stopped\"")).await;
    let now = ask("GET", JOB, none).await.headers["etag"].to_str().unwrap().to_owned();
    let stale = if now == seen { "\"0-0\"".to_owned() } else { seen };
    for (tag, status) in [
        (("if-match", stale.as_str()), 412),
        (("if-match", "unquoted"), 400),
        (("if-none-match", "*"), 412),
        (("if-none-match", now.as_str()), 412),
        (("if-match", now.as_str()), 204),
    ] {
        let answer = ask("DELETE", JOB, tag).await;
        assert_eq!(answer.status, status, "{tag:?}: {}", answer.body);
    }
    assert_eq!(ask("DELETE", JOB, ("if-match", "*")).await.status, 412, "it is gone");
    scheduler.end().await;
    local.stop().await;
}

/// The document of the API has the methods of each path as the router tells them; that the paths are the same is tested
/// beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_has_the_methods_of_the_router() {
    let folder = tempfile::tempdir().unwrap();
    let (local, scheduler) = scheduler(folder.path()).await;
    let bearer = format!("Bearer {TOKEN}");
    let document = scheduler.json("/api/v1/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 10, "{}", paths.len());
    for (path, described) in paths {
        let asked = path.replace("{name}", "flights").replace("{sha256}", "0");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let answer = send(&scheduler, "TRACE", &asked, &headers, "").await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (405, &"application/problem+json".parse().unwrap())
        );
        let allowed = answer.headers["allow"].to_str().unwrap().split(',').filter(|method| *method != "HEAD");
        let allowed: BTreeSet<String> = allowed.map(str::to_ascii_lowercase).collect();
        assert_eq!(allowed, described.as_object().unwrap().keys().cloned().collect(), "{path}");
    }
    scheduler.end().await;
    local.stop().await;
}
