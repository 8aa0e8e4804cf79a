//! Against a scripted master on a real socket.

mod calls;
mod detection;
mod leader;
mod session;
mod tls;

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
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use millstream_mesos_types::{
    FrameworkId, FrameworkInfo, TaskId,
    scheduler::{Call, Envelope, Event, Kill, Roles, Subscribe},
};
use tokio::sync::mpsc;

use super::*;

#[derive(Clone)]
enum Mode {
    Lead,
    Redirect(String),
    Answer(u16, &'static str),
    /// Takes a request and never answers.
    Silent,
}

impl Mode {
    fn answer(&self) -> Response {
        match self {
            Self::Redirect(location) => {
                (StatusCode::TEMPORARY_REDIRECT, [("Location", location.clone())]).into_response()
            }
            Self::Answer(status, text) => (StatusCode::from_u16(*status).unwrap(), *text).into_response(),
            Self::Lead | Self::Silent => unreachable!("made where it is given"),
        }
    }
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
        let router = Router::new()
            .route("/api/v1/scheduler", post(answer))
            .route("/slaves", get(slaves))
            .with_state(master.clone());
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
        self.config_of(&self.address)
    }

    fn config_of(&self, masters: &str) -> Config {
        let mut config = Config::read(&[masters], None).unwrap();
        config.timings.backoff_min = Duration::from_millis(10);
        config.timings.backoff_max = Duration::from_millis(40);
        config
    }
}

async fn slaves(State(master): State<FakeMaster>) -> Response {
    match master.with(|inner| inner.mode.clone()) {
        Mode::Lead => r#"{"slaves":[{"id":"S0"}]}"#.into_response(),
        mode => mode.answer(),
    }
}

async fn answer(State(master): State<FakeMaster>, headers: HeaderMap, body: Bytes) -> Response {
    let envelope: Envelope = serde_json::from_slice(&body).unwrap();
    if master.with(|inner| matches!(inner.mode, Mode::Silent)) {
        return std::future::pending().await;
    }
    let mut inner = master.inner.lock().unwrap();
    inner.calls.push((headers.clone(), envelope.clone()));
    if !matches!(inner.mode, Mode::Lead) {
        return inner.mode.answer();
    }
    let Call::Subscribe { .. } = envelope.call else {
        let expected = format!("stream-{}", inner.subscriptions);
        return match headers.get("Mesos-Stream-Id") {
            Some(id) if id == expected.as_str() => match envelope.call {
                Call::UpdateFramework { .. } => StatusCode::OK.into_response(),
                _ => StatusCode::ACCEPTED.into_response(),
            },
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
