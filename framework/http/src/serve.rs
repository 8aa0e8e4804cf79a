//! The accept loop.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    http::{Request, Response, StatusCode},
    response::IntoResponse as _,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use millstream_tls::Certificate;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    crowd::{Asking, Crowd, Guest},
    patience::Impatient,
    process::open_files,
};

/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Connections at once, where so many files may be open.
const CONNECTIONS_MAX: usize = 2_048;

/// Pause after an accept that failed, for example because no file can be opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; beyond it the one goes that has waited longest.
    pub connections: usize,
    /// For a TLS handshake, for the head of a request, and between two requests.
    pub head: Duration,
    /// For the other end to take something of an answer.
    pub write: Duration,
    /// From the head of a request to that of its answer; reading the body counts.
    pub answer: Duration,
    /// For a whole connection; none where answers may be streams without an end.
    pub connection: Option<Duration>,
    /// For answers that are under way when the server stops.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: CONNECTIONS_MAX.min(open_files() / 2),
            head: Duration::from_secs(10),
            write: Duration::from_secs(20),
            answer: Duration::from_secs(90),
            connection: Some(Duration::from_secs(1_800)),
            farewell: Duration::from_secs(5),
        }
    }
}

/// Who is on the other end; in the extensions of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves until `stop`; with a certificate by TLS.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    certificate: Option<Certificate>,
    stop: CancellationToken,
) {
    let crowd = Arc::new(Crowd::new(limits.connections));
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(guest) = crowd.enter() else { continue };
        let connection = Connection {
            guest: guest.clone(),
            peer,
            router: router.clone(),
            limits,
            certificate: certificate.clone(),
            stop: stop.clone(),
        };
        let crowd = crowd.clone();
        tracker.spawn(async move {
            let leave = guest.leave.clone();
            tokio::select! {
                () = connection.run(stream) => {}
                () = leave.cancelled() => {}
            }
            crowd.left(&guest);
        });
    }
    tracker.close();
    let _ = timeout(limits.farewell, tracker.wait()).await;
}

struct Connection {
    guest: Arc<Guest>,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    certificate: Option<Certificate>,
    stop: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        match &self.certificate {
            None => self.speak(stream).await,
            Some(certificate) => match timeout(self.limits.head, certificate.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => self.speak(stream).await,
                Ok(Err(error)) => tracing::debug!(%error, peer = %self.peer, "no TLS"),
                Err(_) => tracing::debug!(peer = %self.peer, "no TLS in time"),
            },
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Connection { guest, peer, router, limits, stop, .. } = self;
        let stream = Impatient::new(stream, guest.clone(), limits.write);
        let answers = Answers { router: TowerToHyperService::new(router), guest, peer, within: limits.answer };
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD_BYTES_MAX);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answers));
        let lifetime = limits.connection.unwrap_or(Duration::MAX);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = tokio::time::sleep(lifetime) => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, %peer, "connection ended");
        }
    }
}

/// The router, each answer within its time.
struct Answers {
    router: TowerToHyperService<Router>,
    guest: Arc<Guest>,
    peer: SocketAddr,
    within: Duration,
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<HeldBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let asking = self.guest.asks();
        request.extensions_mut().insert(Peer(self.peer));
        let answer = timeout(self.within, self.router.call(request));
        Box::pin(async move {
            let response = match answer.await {
                Ok(Ok(response)) => response,
                Err(_) => (StatusCode::REQUEST_TIMEOUT, [("connection", "close")]).into_response(),
            };
            Ok(response.map(|body| HeldBody { body, _asking: asking }))
        })
    }
}

/// The body of an answer; while it is sent, its connection is in use.
struct HeldBody {
    body: Body,
    _asking: Asking,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
