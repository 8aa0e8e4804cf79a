//! Against a scripted agent on a real socket.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use millstream_mesos_types::{
    TaskId, TaskState, TaskStatus,
    executor::{Call, Envelope, Update},
};
use tokio::sync::mpsc;

use super::*;
use crate::{Tls, tls::ca::Ca};

#[derive(Default)]
struct Inner {
    calls: Vec<(HeaderMap, Envelope)>,
    stream: Option<mpsc::Sender<Bytes>>,
    /// Answers SUBSCRIBE so, when set.
    refuse: Option<u16>,
    /// Never answers calls.
    mute: bool,
}

#[derive(Clone)]
struct FakeAgent {
    address: String,
    inner: Arc<Mutex<Inner>>,
}

impl FakeAgent {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let agent = Self { address: listener.local_addr().unwrap().to_string(), inner: Arc::default() };
        let router = Router::new().route("/api/v1/executor", post(answer)).with_state(agent.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        agent
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap())
    }

    async fn say(&self, json: &str) {
        let stream = self.with(|inner| inner.stream.clone()).expect("the executor has subscribed");
        stream.send(record(json)).await.unwrap();
    }

    async fn acknowledge(&self, update: &Update) {
        let uuid = serde_json::to_string(update.status.uuid.as_ref().unwrap()).unwrap();
        let task = &update.status.task_id;
        self.say(&format!(
            r#"{{"type":"ACKNOWLEDGED","acknowledged":{{"task_id":{{"value":"{task}"}},"uuid":{uuid}}}}}"#
        ))
        .await;
    }

    fn updates(&self) -> Vec<Update> {
        self.with(|inner| {
            let update = |(_, envelope): &(_, Envelope)| match &envelope.call {
                Call::Update { update } => Some(update.clone()),
                _ => None,
            };
            inner.calls.iter().filter_map(update).collect()
        })
    }

    fn environment(&self, checkpoint: bool) -> Environment {
        let variables = [
            ("MESOS_FRAMEWORK_ID", "fw"),
            ("MESOS_EXECUTOR_ID", "ex"),
            ("MESOS_AGENT_ENDPOINT", &self.address),
            ("MESOS_SANDBOX", "/"),
            ("MESOS_CHECKPOINT", if checkpoint { "1" } else { "0" }),
            ("MESOS_RECOVERY_TIMEOUT", "10secs"),
            ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "20ms"),
            ("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "token"),
        ];
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Environment::from_lookup(lookup).unwrap()
    }
}

async fn answer(State(agent): State<FakeAgent>, headers: HeaderMap, body: Bytes) -> Response {
    let envelope: Envelope = serde_json::from_slice(&body).unwrap();
    let is_subscribe = matches!(envelope.call, Call::Subscribe { .. });
    let (refuse, mute) = agent.with(|inner| {
        inner.calls.push((headers, envelope));
        (inner.refuse, inner.mute)
    });
    if !is_subscribe {
        if mute {
            std::future::pending::<()>().await;
        }
        return StatusCode::ACCEPTED.into_response();
    }
    if let Some(status) = refuse {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let (sender, mut receiver) = mpsc::channel(100);
    sender.try_send(record(SUBSCRIBED)).unwrap();
    agent.with(|inner| inner.stream = Some(sender));
    let body = stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok::<_, std::convert::Infallible>);
    Body::from_stream(body).into_response()
}

const SUBSCRIBED: &str = r#"{"type":"SUBSCRIBED","subscribed":{
    "executor_info":{"executor_id":{"value":"ex"}},
    "framework_info":{"user":"u","name":"n"},"agent_info":{"hostname":"h","port":5051}}}"#;
const LAUNCH: &str =
    r#"{"type":"LAUNCH","launch":{"task":{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"}}}}"#;

fn record(json: &str) -> Bytes {
    format!("{}\n{json}", json.len()).into()
}

fn status(state: TaskState) -> TaskStatus {
    TaskStatus {
        task_id: TaskId::new("t"),
        state,
        message: None,
        source: None,
        reason: None,
        data: None,
        agent_id: None,
        executor_id: None,
        timestamp: None,
        uuid: None,
    }
}

async fn next(events: &mut Events) -> SessionEvent {
    tokio::time::timeout(Duration::from_secs(5), events.next()).await.expect("an event in time").expect("no end")
}

async fn subscribed(events: &mut Events) {
    let event = next(events).await;
    assert!(matches!(event, SessionEvent::Subscribed(_)), "{event:?}");
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not in time: {what}");
}

#[tokio::test]
async fn updates_are_kept_until_acknowledged_and_sent_again_at_each_subscription() {
    let agent = FakeAgent::start().await;
    let (mut events, handle) = Session::connect(agent.environment(true));
    subscribed(&mut events).await;
    agent.say(LAUNCH).await;
    assert!(matches!(next(&mut events).await, SessionEvent::Launch(task) if task.task_id.value == "t"));
    handle.update(status(TaskState::TaskStarting));
    handle.update(status(TaskState::TaskRunning));
    eventually("two updates", || agent.updates().len() == 2).await;
    let updates = agent.updates();
    assert_eq!(updates[0].status.state, TaskState::TaskStarting, "in order");
    assert_eq!(updates[0].status.uuid.as_ref().unwrap().0.len(), 16);
    assert_eq!(updates[0].status.source.as_deref(), Some("SOURCE_EXECUTOR"));
    assert!(updates[0].status.timestamp.is_some());
    agent.acknowledge(&updates[0]).await;
    eventually("one acknowledged", || handle.unacknowledged() == 1).await;

    // The agent restarts; an update made meanwhile is not lost.
    agent.with(|inner| inner.stream = None);
    assert!(matches!(next(&mut events).await, SessionEvent::Disconnected { .. }));
    handle.update(status(TaskState::TaskFinished));
    subscribed(&mut events).await;
    let finished = |update: &Update| update.status.state == TaskState::TaskFinished;
    let resent = |inner: &mut Inner| match &inner.calls.iter().rfind(|(_, e)| matches!(e.call, Call::Subscribe { .. }))
    {
        Some((_, Envelope { call: Call::Subscribe { subscribe }, .. })) => subscribe.clone(),
        _ => panic!("no subscription"),
    };
    let again = agent.with(resent);
    assert!(again.unacknowledged_tasks.is_empty(), "its first update was acknowledged");
    assert_eq!(again.unacknowledged_updates[0], updates[1], "the same uuid");
    eventually("the last update", || {
        again.unacknowledged_updates.iter().any(finished) || agent.updates().iter().any(finished)
    })
    .await;

    let last = again.unacknowledged_updates.iter().chain(&agent.updates()).find(|u| finished(u)).unwrap().clone();
    agent.acknowledge(&updates[1]).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), handle.flush()).await.is_err(), "one is missing");
    agent.acknowledge(&last).await;
    tokio::time::timeout(Duration::from_secs(5), handle.flush()).await.unwrap();
}

#[tokio::test]
async fn a_task_without_an_acknowledged_update_is_told_again() {
    let agent = FakeAgent::start().await;
    let (mut events, _handle) = Session::connect(agent.environment(true));
    subscribed(&mut events).await;
    agent.say(LAUNCH).await;
    next(&mut events).await;
    agent.with(|inner| inner.stream = None);
    assert!(matches!(next(&mut events).await, SessionEvent::Disconnected { .. }));
    subscribed(&mut events).await;
    agent.with(|inner| match &inner.calls.last().unwrap().1.call {
        Call::Subscribe { subscribe } => assert_eq!(subscribe.unacknowledged_tasks[0].task_id.value, "t"),
        other => panic!("{other:?}"),
    });
}

#[tokio::test]
async fn every_call_names_the_executor_and_carries_the_token() {
    let agent = FakeAgent::start().await;
    let (mut events, handle) = Session::connect(agent.environment(true));
    assert_eq!(handle.message("early"), Err(MessageError::NotSubscribed));
    subscribed(&mut events).await;
    handle.message("hello").unwrap();
    eventually("a message", || agent.with(|inner| inner.calls.len() == 2)).await;
    agent.with(|inner| {
        for (headers, envelope) in &inner.calls {
            assert_eq!(headers["Authorization"], "Bearer token");
            assert_eq!((envelope.executor_id.value.as_str(), envelope.framework_id.value.as_str()), ("ex", "fw"));
        }
        assert!(matches!(&inner.calls[1].1.call, Call::Message { message } if message.data.0 == b"hello"));
    });
}

#[tokio::test]
async fn other_events_come_through() {
    let agent = FakeAgent::start().await;
    let (mut events, _handle) = Session::connect(agent.environment(true));
    subscribed(&mut events).await;
    agent.say(r#"{"type":"HEARTBEAT"}"#).await;
    agent.say(r#"{"type":"BRAND_NEW"}"#).await;
    agent.say(r#"{"type":"MESSAGE","message":{"data":"aGk="}}"#).await;
    agent
        .say(r#"{"type":"KILL","kill":{"task_id":{"value":"t"},"kill_policy":{"grace_period":{"nanoseconds":5}}}}"#)
        .await;
    agent.say(r#"{"type":"SHUTDOWN"}"#).await;
    agent.say(r#"{"type":"ERROR","error":{"message":"no"}}"#).await;
    assert_eq!(next(&mut events).await, SessionEvent::Message(b"hi".to_vec()));
    assert!(matches!(next(&mut events).await, SessionEvent::Kill(kill) if kill.kill_policy.is_some()));
    assert_eq!(next(&mut events).await, SessionEvent::Shutdown);
    assert_eq!(next(&mut events).await, SessionEvent::Over { reason: "agent: no".into() });
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn an_agent_that_stays_away_ends_the_session_after_the_recovery_timeout() {
    let agent = FakeAgent::start().await;
    let environment = Environment { recovery_timeout: Duration::from_millis(400), ..agent.environment(true) };
    let (mut events, _handle) = Session::connect(environment);
    subscribed(&mut events).await;
    agent.with(|inner| (inner.stream, inner.refuse) = (None, Some(503)));
    let begin = std::time::Instant::now();
    assert!(matches!(next(&mut events).await, SessionEvent::Disconnected { .. }));
    assert!(matches!(next(&mut events).await, SessionEvent::Over { .. }));
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn without_checkpointing_the_session_ends_with_the_stream() {
    let agent = FakeAgent::start().await;
    let (mut events, _handle) = Session::connect(agent.environment(false));
    subscribed(&mut events).await;
    agent.with(|inner| inner.stream = None);
    assert!(matches!(next(&mut events).await, SessionEvent::Over { .. }));
}

#[tokio::test]
async fn an_agent_that_answers_no_call_is_taken_for_away() {
    let agent = FakeAgent::start().await;
    agent.with(|inner| inner.mute = true);
    let timings = Timings { answer: Duration::from_millis(500) };
    let (mut events, handle) = Session::connect_with(agent.environment(true), timings);
    subscribed(&mut events).await;
    handle.update(status(TaskState::TaskRunning));
    assert!(matches!(next(&mut events).await, SessionEvent::Disconnected { .. }));
    assert!(!handle.is_subscribed());
    subscribed(&mut events).await;
    agent.with(|inner| match &inner.calls.last().unwrap().1.call {
        Call::Subscribe { subscribe } => assert_eq!(subscribe.unacknowledged_updates.len(), 1),
        other => panic!("{other:?}"),
    });
}

#[tokio::test]
async fn an_agent_that_speaks_tls_is_spoken_to_by_tls_and_a_strange_one_is_not() {
    let (ca, agent) = (Ca::new(), FakeAgent::start().await);
    let port = ca.guard("127.0.0.1", &agent.address, true).await;
    let environment = |tls| Environment {
        agent_endpoint: format!("127.0.0.1:{port}"),
        tls: Some(tls),
        recovery_timeout: Duration::from_millis(200),
        ..agent.environment(true)
    };
    let (mut events, handle) = Session::connect(environment(Tls::read(&ca.files_with(&ca)).unwrap()));
    assert!(matches!(events.next().await, Some(SessionEvent::Subscribed(_))));
    handle.update(status(TaskState::TaskRunning));
    while agent.updates().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let calls = agent.with(|inner| inner.calls.len());
    let (mut events, _handle) = Session::connect(environment(Ca::new().tls()));
    match events.next().await {
        Some(SessionEvent::Over { reason }) => assert!(reason.contains("not signed by"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(agent.with(|inner| inner.calls.len()), calls, "the token stays at home");
}
