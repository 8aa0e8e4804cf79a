//! The wire between one scheduler process and the master, on which things get lost and the process may die.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use millstream_daemon::store::{Memory, StateStore as _};
use millstream_mesos::RecordIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::{
    codec::{Decoder as _, Encoder as _},
    task::AbortOnDropHandle,
};

use super::{
    points::{Fault, Step},
    promises,
    script::{Life, Pass},
};

/// For bytes that were passed on to arrive and to be read, before their reader dies.
const HANDED_OVER: Duration = Duration::from_millis(20);

/// How late a call is that is late: the scheduler has asked for its launch by then, and has launched another.
const LATE: Duration = Duration::from_secs(6);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

#[derive(Clone)]
struct Proxy {
    /// `host:port`
    master: String,
    life: Life,
    /// To see whether what a call is about is durable.
    store: Arc<Memory>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Starts a proxy for one process: its `host:port`, and what ends it when dropped. With the process's death all its
/// connections end.
pub async fn start(master: &str, life: Life, store: Arc<Memory>) -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let proxy = Proxy { master: master.to_owned(), life, store, client };
    (address, AbortOnDropHandle::new(tokio::spawn(proxy.run(listener))))
}

impl Proxy {
    async fn run(self, listener: TcpListener) {
        // Dropped with this future: no connection outlives the process.
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = self.life.dead() => return,
                Ok((stream, _)) = listener.accept() => drop(connections.spawn(self.clone().serve(stream))),
                Some(_) = connections.join_next() => {}
            }
        }
    }

    async fn serve(self, stream: TcpStream) {
        stream.set_nodelay(true).expect("a TCP socket");
        let service = service_fn(|request| self.answer(request));
        // Cut connections are what this is for.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let call: Value = serde_json::from_slice(&body).map_err(|_| Cut)?;
        let records = self.store.load().await.expect("in memory");
        self.life.calls(promises::launched(&call), promises::broken(&call, &records));
        let step = match call["type"].as_str() {
            Some("ACCEPT") => Some(Step::Accept),
            Some("ACKNOWLEDGE") => Some(Step::Acknowledge),
            _ => None,
        };
        let mut request = Request::from_parts(head, Full::new(body));
        *request.uri_mut() = format!("http://{}{}", self.master, request.uri().path()).parse().map_err(|_| Cut)?;
        request.headers_mut().remove(header::HOST);
        match self.life.pass(step, &format!("→ {}", describe_call(&call))) {
            Pass::Dead => Err(Cut),
            Pass::Go if call["type"] == "SUBSCRIBE" => self.subscribe(request).await,
            Pass::Go => self.forward(request).await,
            Pass::Fault(Fault::Lost) => Ok(accepted()),
            Pass::Fault(Fault::Late) => {
                tokio::spawn(self.clone().forward_late(request));
                Ok(accepted())
            }
            Pass::Fault(fault) => {
                let answer = self.forward(request).await?;
                match fault {
                    Fault::DiesUnaware => self.life.die(),
                    Fault::DiesAfter => {
                        self.die_soon();
                        return Ok(answer);
                    }
                    _ => {}
                }
                Err(Cut)
            }
        }
    }

    /// One call and its answer.
    async fn forward(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Cut> {
        let (head, body) = self.client.request(request).await.map_err(|_| Cut)?.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        if head.status != StatusCode::ACCEPTED {
            self.life.pass(None, &format!("← {} {}", head.status, String::from_utf8_lossy(&body)));
        }
        Ok(Response::from_parts(head, Full::new(body).boxed_unsync()))
    }

    /// What is on its way arrives even when its sender is dead.
    async fn forward_late(self, request: Request<Full<Bytes>>) {
        tokio::time::sleep(LATE).await;
        // The trial may be over.
        let Ok(answer) = self.client.request(request).await else { return };
        self.life.arrives_late(&format!("*** the late call arrives: {}", answer.status()));
    }

    /// SUBSCRIBE and the events that follow.
    async fn subscribe(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Cut> {
        let (mut head, from) = self.client.request(request).await.map_err(|_| Cut)?.into_parts();
        head.headers.remove(header::TRANSFER_ENCODING);
        let events = Events { proxy: self.clone(), from, records: RecordIo::default(), buffer: BytesMut::new() };
        let frames = stream::unfold(events, |mut events| async {
            let record = events.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(record)), events))
        });
        Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
    }

    fn die_soon(&self) {
        let life = self.life.clone();
        tokio::spawn(async move {
            tokio::time::sleep(HANDED_OVER).await;
            life.die();
        });
    }
}

/// The events of one subscription on their way.
struct Events {
    proxy: Proxy,
    from: Incoming,
    records: RecordIo,
    buffer: BytesMut,
}

impl Events {
    /// The next event that is passed on, as it travels; none when the master ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            while let Some(record) = self.records.decode(&mut self.buffer).ok()? {
                let times = self.times(&record).await;
                let mut framed = BytesMut::new();
                for _ in 0..times {
                    RecordIo::default().encode(&record, &mut framed).ok()?;
                }
                if times > 0 {
                    return Some(framed.freeze());
                }
            }
            if let Ok(data) = self.from.frame().await?.ok()?.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// How often an event is passed on.
    async fn times(&self, record: &[u8]) -> usize {
        let event: Value = serde_json::from_slice(record).unwrap_or_default();
        let step = match event["type"].as_str() {
            // There are far too many of them for a trace.
            Some("HEARTBEAT" | "MESSAGE") => return 1,
            Some("SUBSCRIBED") => Some(Step::Subscribed),
            Some("UPDATE") if event["update"]["status"]["uuid"].is_string() => Some(Step::Update),
            _ => None,
        };
        match self.proxy.life.pass(step, &format!("← {}", describe_event(&event))) {
            Pass::Go => 1,
            Pass::Fault(Fault::DiesAfter) => {
                self.proxy.die_soon();
                1
            }
            Pass::Fault(Fault::Twice) => 2,
            Pass::Fault(_) => 0,
            // The connection ends with the process, and must not end cleanly before that.
            Pass::Dead => std::future::pending().await,
        }
    }
}

fn accepted() -> Response<Body> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn describe_call(call: &Value) -> String {
    let kind = call["type"].as_str().unwrap_or("?");
    let more = match kind {
        "SUBSCRIBE" => text(&call["framework_id"]["value"]),
        "ACCEPT" => promises::launched(call).join(" "),
        "KILL" => text(&call["kill"]["task_id"]["value"]),
        "SHUTDOWN" => text(&call["shutdown"]["executor_id"]["value"]),
        "ACKNOWLEDGE" => text(&call["acknowledge"]["task_id"]["value"]),
        "RECONCILE" => texts(&call["reconcile"]["tasks"], |task| &task["task_id"]["value"]),
        _ => String::new(),
    };
    format!("{kind} {more}")
}

fn describe_event(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or("?");
    let more = match kind {
        "SUBSCRIBED" => text(&event["subscribed"]["framework_id"]["value"]),
        "OFFERS" => texts(&event["offers"]["offers"], |offer| &offer["hostname"]),
        "UPDATE" => {
            let status = &event["update"]["status"];
            format!("{} {} {}", text(&status["task_id"]["value"]), text(&status["state"]), text(&status["reason"]))
        }
        "FAILURE" => text(&event["failure"]["executor_id"]["value"]),
        "ERROR" => text(&event["error"]["message"]),
        _ => String::new(),
    };
    format!("{kind} {more}")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(list: &Value, of: impl Fn(&Value) -> &Value) -> String {
    list.as_array().into_iter().flatten().map(|item| text(of(item))).collect::<Vec<_>>().join(" ")
}
