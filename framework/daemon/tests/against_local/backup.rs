//! A backup of a scheduler that runs.

use millstream_daemon::state::Backup;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_gives_a_backup_of_all_it_has_stored_and_writes_down_to_whom() {
    let folder = tempfile::tempdir().unwrap();
    let local = cluster(folder.path()).await;
    let store = store_with_job().await;
    let scheduler = Scheduler::start(&local.master, Path::new("/bin/false"), store.clone()).await;
    scheduler.until("/health", |status, _| status == 200).await;
    // What is decided meanwhile is in it whole or not at all: each takes all records over, or it would be refused.
    let mut last = None;
    for _ in 0..20 {
        let (status, text) = scheduler.ask("GET", "/api/v1/state", "").await;
        assert_eq!(status, 200, "{text}");
        last = Some(Backup::decode("it", text.as_bytes()).unwrap());
    }
    let backup = last.unwrap();
    let stored = store.load().await.unwrap();
    assert_eq!(backup.records["framework"], stored["framework"]);
    assert_eq!(backup.records["job/flights"]["toml"], "# flights");
    let began = std::time::Instant::now();
    loop {
        let audit = std::fs::read_to_string(scheduler.settings.path().join("audit.jsonl")).unwrap();
        let lines = audit.lines().filter(|line| line.contains("/api/v1/state") && line.contains("\"who\":\"tests\""));
        if lines.count() == 20 {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{audit}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    scheduler.end().await;
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_does_not_begin_where_the_state_has_gone_or_is_not_whole() {
    for (mark, value, part) in [
        ("moved", json!({ "to": "zk://z:2181/x" }), "moved: this state is in zk://z:2181/x now"),
        ("unfinished", json!({ "from": "/a" }), "unfinished: the state has not come here whole from /a"),
    ] {
        let store = store_with_job().await;
        let change = millstream_scheduler::RecordChange { key: mark.into(), value: Some(value) };
        store.apply(&[change]).await.unwrap();
        let Scheduler { running, stop: _stop, settings: _settings, .. } =
            Scheduler::start("127.0.0.1:1", Path::new("/bin/false"), store).await;
        let ended = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
        let error = ended.expect_err("it must not begin").to_string();
        assert!(error.starts_with(part), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_beyond_its_quota_is_refused_with_the_limit_and_whom_to_ask() {
    let overrides = Overrides {
        masters: vec!["127.0.0.1:1".into()],
        user: Some("root".into()),
        executor: Some("/bin/false".into()),
        ..Overrides::default()
    };
    let (mut config, settings) = config(overrides);
    config.jobs.quotas.file_bytes = 100;
    let scheduler = Scheduler::start_by((config, settings), store_with_job().await).await;
    for (method, path) in [("PUT", "/api/v1/jobs/flights"), ("POST", "/api/v1/plan")] {
        let (status, body) = scheduler.ask(method, path, &"#".repeat(101)).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 422, "{body}");
        assert!(body["detail"].as_str().unwrap().contains("101 bytes, and this scheduler takes 100"), "{body}");
        assert!(body["remedy"].as_str().unwrap().contains("[jobs.quotas]"), "{body}");
    }
    scheduler.end().await;
}
