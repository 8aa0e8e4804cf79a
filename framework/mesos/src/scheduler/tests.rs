//! Against a scripted master on a real socket.

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
    TaskId,
    scheduler::{Call, Envelope, Event, Kill, Roles, Subscribe},
};
use tokio::sync::mpsc;

use super::*;

#[derive(Clone)]
enum Mode {
    Lead,
    Redirect(String),
    Answer(u16, &'static str),
}

struct Inner {
    mode: Mode,
    heartbeat_secs: f64,
    subscriptions: usize,
    calls: Vec<(HeaderMap, Envelope)>,
    stream: Option<mpsc::Sender<Bytes>>,
}

#[derive(Clone)]
struct FakeMaster {
    address: String,
    inner: Arc<Mutex<Inner>>,
}

impl FakeMaster {
    async fn start(mode: Mode) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Inner { mode, heartbeat_secs: 15.0, subscriptions: 0, calls: vec![], stream: None };
        let master = Self { address, inner: Arc::new(Mutex::new(inner)) };
        let router = Router::new().route("/api/v1/scheduler", post(answer)).with_state(master.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        master
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap())
    }

    async fn say(&self, bytes: impl Into<Bytes>) {
        let stream = self.with(|inner| inner.stream.clone()).expect("somebody has subscribed");
        stream.send(bytes.into()).await.unwrap();
    }

    fn config(&self) -> Config {
        let mut config = Config::new([self.address.clone()]);
        config.timings.backoff_min = Duration::from_millis(10);
        config.timings.backoff_max = Duration::from_millis(40);
        config
    }
}

async fn answer(State(master): State<FakeMaster>, headers: HeaderMap, body: Bytes) -> Response {
    let envelope: Envelope = serde_json::from_slice(&body).unwrap();
    let mut inner = master.inner.lock().unwrap();
    inner.calls.push((headers.clone(), envelope.clone()));
    match inner.mode.clone() {
        Mode::Redirect(location) => return (StatusCode::TEMPORARY_REDIRECT, [("Location", location)]).into_response(),
        Mode::Answer(status, text) => return (StatusCode::from_u16(status).unwrap(), text).into_response(),
        Mode::Lead => {}
    }
    let Call::Subscribe { .. } = envelope.call else {
        let expected = format!("stream-{}", inner.subscriptions);
        return match headers.get("Mesos-Stream-Id") {
            Some(id) if id == expected.as_str() => StatusCode::ACCEPTED.into_response(),
            _ => (StatusCode::BAD_REQUEST, "The stream ID 'x' included in this request didn't match").into_response(),
        };
    };
    inner.subscriptions += 1;
    let (sender, mut receiver) = mpsc::channel(100);
    let event = format!(
        r#"{{"type":"SUBSCRIBED","subscribed":{{"framework_id":{{"value":"fw"}},"heartbeat_interval_seconds":{}}}}}"#,
        inner.heartbeat_secs
    );
    sender.try_send(record(&event)).unwrap();
    inner.stream = Some(sender);
    let body = stream::poll_fn(move |cx| receiver.poll_recv(cx)).map(Ok::<_, std::convert::Infallible>);
    ([("Mesos-Stream-Id", format!("stream-{}", inner.subscriptions))], Body::from_stream(body)).into_response()
}

fn record(json: &str) -> Bytes {
    format!("{}\n{json}", json.len()).into()
}

fn revive() -> Call {
    Call::Revive { revive: Roles::default() }
}

async fn next(events: &mut Events) -> SessionEvent {
    tokio::time::timeout(Duration::from_secs(5), events.next()).await.expect("an event in time").expect("no end")
}

async fn subscribed(events: &mut Events) {
    let event = next(events).await;
    assert!(matches!(event, SessionEvent::Subscribed { .. }), "{event:?}");
}

async fn reason(events: &mut Events) -> DisconnectReason {
    match next(events).await {
        SessionEvent::Disconnected { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn redirects_of_all_forms_lead_to_the_leader() {
    let leader = FakeMaster::start(Mode::Lead).await;
    let c = FakeMaster::start(Mode::Redirect(leader.address.clone())).await;
    let b = FakeMaster::start(Mode::Redirect(format!("http://{}/api/v1/scheduler", c.address))).await;
    let a = FakeMaster::start(Mode::Redirect(format!("//{}/master/api/v1/scheduler", b.address))).await;
    let (mut events, caller) = Session::connect(a.config(), Subscribe::default());
    match next(&mut events).await {
        SessionEvent::Subscribed { master, .. } => assert_eq!(master, leader.address),
        other => panic!("{other:?}"),
    }
    caller.send(revive()).await.unwrap();
    assert_eq!(leader.with(|inner| inner.calls.len()), 2, "the call goes straight to the leader");
}

#[tokio::test]
async fn masters_that_point_at_each_other_are_left_alone() {
    let a = FakeMaster::start(Mode::Lead).await;
    a.with(|inner| inner.mode = Mode::Redirect(format!("//{}/", a.address)));
    let (mut events, _caller) = Session::connect(a.config(), Subscribe::default());
    assert_eq!(reason(&mut events).await, DisconnectReason::TooManyRedirects { master: a.address.clone() });
    a.with(|inner| inner.mode = Mode::Redirect("/nowhere".into()));
    while !matches!(reason(&mut events).await, DisconnectReason::BadRedirect { .. }) {}
}

#[tokio::test]
async fn the_next_master_is_tried_when_one_is_dead() {
    let alive = FakeMaster::start(Mode::Lead).await;
    let mut config = alive.config();
    config.masters.insert(0, "127.0.0.1:1".into());
    let (mut events, _caller) = Session::connect(config, Subscribe::default());
    subscribed(&mut events).await;
}

#[tokio::test]
async fn events_come_whole_whatever_the_chunks() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    let text = [
        record(r#"{"type":"RESCIND","rescind":{"offer_id":{"value":"o"}}}"#),
        record(r#"{"type":"BRAND_NEW","x":1}"#),
        record(r#"{"type":"RESCIND","rescind":1}"#),
        record(r#"{"type":"HEARTBEAT"}"#),
    ]
    .concat();
    for byte in text {
        master.say(vec![byte]).await;
    }
    assert!(matches!(next(&mut events).await, SessionEvent::Event(Event::Rescind { .. })));
    assert_eq!(next(&mut events).await, SessionEvent::Event(Event::Unknown));
    assert!(matches!(next(&mut events).await, SessionEvent::Malformed { .. }));
    assert_eq!(next(&mut events).await, SessionEvent::Event(Event::Heartbeat));
}

#[tokio::test]
async fn a_silent_master_is_left_and_the_framework_id_kept() {
    let master = FakeMaster::start(Mode::Lead).await;
    master.with(|inner| inner.heartbeat_secs = 0.2);
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        master.say(record(r#"{"type":"HEARTBEAT"}"#)).await;
    }
    for _ in 0..7 {
        assert_eq!(next(&mut events).await, SessionEvent::Event(Event::Heartbeat));
    }
    assert_eq!(reason(&mut events).await, DisconnectReason::Silent(Duration::from_secs(1)));
    subscribed(&mut events).await;
    let ids = master.with(|inner| inner.calls.iter().map(|(_, call)| call.framework_id.clone()).collect::<Vec<_>>());
    assert_eq!(ids[0], None);
    assert_eq!(ids[1].as_ref().unwrap().value, "fw");
    master.with(|inner| match &inner.calls[1].1.call {
        Call::Subscribe { subscribe } => assert_eq!(subscribe.framework_info.id.as_ref().unwrap().value, "fw"),
        other => panic!("{other:?}"),
    });
}

#[tokio::test]
async fn calls_carry_stream_framework_and_credentials_and_keep_their_order() {
    let master = FakeMaster::start(Mode::Lead).await;
    let mut config = master.config();
    config.credentials = Some(Credentials { principal: "me".into(), secret: "hush".into() });
    assert!(!format!("{config:?}").contains("hush"));
    let (mut events, caller) = Session::connect(config, Subscribe::default());
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)), "before Subscribed was seen");
    subscribed(&mut events).await;
    let kill =
        |n: usize| Call::Kill { kill: Kill { task_id: TaskId::new(n.to_string()), agent_id: None, kill_policy: None } };
    let sends = (0..50).map(|n| {
        let caller = caller.clone();
        async move { caller.send(kill(n)).await }
    });
    let results = futures_util::future::join_all(sends).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    master.with(|inner| {
        for (n, (headers, envelope)) in inner.calls.iter().enumerate() {
            assert_eq!(headers["Authorization"], "Basic bWU6aHVzaA==");
            match (n, &envelope.call) {
                (0, Call::Subscribe { subscribe }) => {
                    assert!(!headers.contains_key("Mesos-Stream-Id"));
                    assert_eq!(subscribe.framework_info.principal.as_deref(), Some("me"));
                }
                (n, Call::Kill { kill }) => {
                    assert_eq!(kill.task_id.value, (n - 1).to_string());
                    assert_eq!(headers["Mesos-Stream-Id"], "stream-1");
                    assert_eq!(envelope.framework_id.as_ref().unwrap().value, "fw");
                }
                (n, call) => panic!("{n}: {call:?}"),
            }
        }
    });
}

#[tokio::test]
async fn a_call_on_a_stale_stream_fails_and_makes_the_session_subscribe_anew() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    master.with(|inner| inner.subscriptions = 7); // a newer scheduler subscribed
    assert!(matches!(caller.send(revive()).await, Err(CallError::StaleStream { status: 400, .. })));
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)));
    assert_eq!(reason(&mut events).await, DisconnectReason::Stale);
    let sent = master.with(|inner| inner.calls.len());
    while master.with(|inner| inner.calls.len()) == sent {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The session has subscribed again, but nobody has seen it.
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)));
    assert_eq!(master.with(|inner| inner.calls.len()), sent + 1, "nothing but SUBSCRIBE went out");
    subscribed(&mut events).await;
    caller.send(revive()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_call_is_refused_without_a_new_subscription() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    master.with(|inner| inner.mode = Mode::Answer(400, "Failed to validate scheduler::Call"));
    match caller.send(revive()).await {
        Err(CallError::Refused { status: 400, message }) => assert!(message.contains("validate")),
        other => panic!("{other:?}"),
    }
    master.with(|inner| inner.mode = Mode::Lead);
    caller.send(revive()).await.unwrap();
    assert_eq!(master.with(|inner| inner.subscriptions), 1);
}

#[tokio::test]
async fn refusals_are_told_and_tried_again() {
    let master = FakeMaster::start(Mode::Answer(503, "Master has not finished recovery")).await;
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    assert!(matches!(reason(&mut events).await, DisconnectReason::Refused { status: 503, .. }));
    master.with(|inner| inner.mode = Mode::Answer(401, "who are you"));
    loop {
        let reason = reason(&mut events).await;
        if matches!(reason, DisconnectReason::Refused { status: 401, .. }) {
            assert!(reason.needs_a_person());
            break;
        }
    }
    master.with(|inner| inner.mode = Mode::Lead);
    while !matches!(next(&mut events).await, SessionEvent::Subscribed { .. }) {}
}

#[tokio::test]
async fn an_error_ends_the_session_for_good() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    master.say(record(r#"{"type":"ERROR","error":{"message":"Framework has been removed"}}"#)).await;
    assert!(matches!(next(&mut events).await, SessionEvent::Event(Event::Error { .. })));
    let expected = DisconnectReason::Error("Framework has been removed".into());
    assert_eq!(next(&mut events).await, SessionEvent::Disconnected { reason: expected, retry_in: None });
    assert!(events.next().await.is_none());
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)));
    assert_eq!(master.with(|inner| inner.subscriptions), 1);
}

#[tokio::test]
async fn a_closed_stream_is_opened_again() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    master.with(|inner| inner.stream = None);
    assert_eq!(reason(&mut events).await, DisconnectReason::Closed);
    assert!(!caller.is_subscribed());
    subscribed(&mut events).await;
    caller.send(revive()).await.unwrap();
}
