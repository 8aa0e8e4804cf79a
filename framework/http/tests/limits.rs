//! A server against clients that hold it up.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::stream;
use millstream_http::{Limits, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(20);

/// Bytes that no socket's buffers hold.
const LARGE: usize = 32 << 20;

async fn server(limits: Limits) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let endless = || async {
        let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"begun\n")) });
        Body::from_stream(stream::StreamExt::chain(first, stream::pending()))
    };
    let router = Router::new()
        .route("/live", get(async || "live"))
        .route("/echo", post(async |body: String| body))
        .route("/large", get(async || "x".repeat(LARGE)))
        .route("/endless", get(endless));
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, router, limits, None, stop.clone()));
    (address, stop)
}

async fn connected(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(text.as_bytes()).await.expect("sent");
    stream
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = vec![];
    // A reset is an end as well.
    let _ = timeout(LONG, stream.read_to_end(&mut text)).await.expect("the server closes");
    String::from_utf8_lossy(&text).into_owned()
}

async fn live(address: SocketAddr) -> String {
    rest(&mut connected(address, "GET /live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await).await
}

#[tokio::test]
async fn who_only_holds_connections_keeps_nobody_from_being_answered() {
    let (address, _stop) = server(Limits { connections: 50, head: LONG, ..Limits::default() }).await;
    let mut held = vec![];
    for text in ["", "GET /live HT", "GET /live HTTP/1.1\r\nhost: a\r\n\r\n", "POST /echo HTTP/1.1\r\ncontent-"] {
        for _ in 0..100 {
            held.push(connected(address, text).await);
        }
        assert!(live(address).await.ends_with("live"), "after {} connections", held.len());
    }
}

/// Asks for a lot and reads nothing: neither its memory nor its place is held for ever.
#[tokio::test]
async fn who_takes_no_answer_keeps_nobody_from_being_answered() {
    let short = Duration::from_millis(500);
    let (address, _stop) = server(Limits { connections: 20, write: short, head: LONG, ..Limits::default() }).await;
    let mut held = vec![];
    for _ in 0..30 {
        // Larger than all buffers on the way together.
        let text = "GET /large HTTP/1.1\r\nhost: a\r\n\r\n".repeat(4);
        held.push(connected(address, &text).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(live(address).await.ends_with("live"), "after {}", held.len());
    }
    tokio::time::sleep(short * 3).await;
    let mut last = held.pop().expect("some");
    let got = rest(&mut last).await;
    assert!(got.len() < 4 * LARGE, "it was given up, and not waited for: {}", got.len());
}

#[tokio::test]
async fn a_stream_goes_on_while_others_come_and_go() {
    let (address, _stop) = server(Limits { connections: 20, connection: None, head: LONG, ..Limits::default() }).await;
    let mut events = connected(address, "GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut some = [0; 4_096];
    assert!(timeout(LONG, events.read(&mut some)).await.expect("an answer").expect("a head") > 0);
    let mut held = vec![];
    for _ in 0..100 {
        held.push(connected(address, "").await);
    }
    assert!(live(address).await.ends_with("live"));
    let more = timeout(Duration::from_millis(200), async {
        loop {
            if events.read(&mut some).await.expect("it is open") == 0 {
                return;
            }
        }
    });
    assert!(more.await.is_err(), "it was not sent away");
}

#[tokio::test]
async fn heads_bodies_and_answers_have_their_time() {
    let short = Duration::from_millis(200);
    let (address, _stop) = server(Limits { head: short, answer: short, ..Limits::default() }).await;
    for text in ["", "GET /live HTTP/1.1\r\nhost:", "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab"] {
        let began = Instant::now();
        let answer = rest(&mut connected(address, text).await).await;
        assert!(!answer.contains("200 OK") && began.elapsed() < LONG, "{text}: {answer}");
    }
    let mut idle = connected(address, "GET /live HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(rest(&mut idle).await.contains("200 OK"), "answered, then closed while idle");
    let huge = format!("GET /live HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let _ = stream.write_all(huge.as_bytes()).await;
    assert!(!rest(&mut stream).await.contains("200 OK"));
}

#[tokio::test]
async fn a_server_that_stops_waits_for_nobody_for_long() {
    let limits = Limits { connection: None, farewell: Duration::from_millis(100), ..Limits::default() };
    let (address, stop) = server(limits).await;
    let mut idle = connected(address, "").await;
    assert!(live(address).await.ends_with("live"));
    stop.cancel();
    rest(&mut idle).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
}
