//! One HTTP/1.1 connection by hand: the SUBSCRIBE connection must be ours, to see its end and to read it as it comes.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::MapErr};
use http_body_util::{BodyDataStream, BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{self, HeaderValue},
    http::request,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_util::{codec::FramedRead, io::StreamReader, task::AbortOnDropHandle};

use crate::{RecordIo, RecordIoError, Tls};

/// Bytes of an error answer that are read and shown: Mesos answers with one line.
const MAX_ERROR_BYTES: usize = 16 << 10;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection: nothing was sent.
    #[error("cannot connect to {authority}")]
    Connect {
        /// `host:port`
        authority: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The peer is not who it should be, or speaks no TLS: nothing was sent, and it will not pass by itself.
    #[error("{authority} is not trusted: {remedy}")]
    Untrusted {
        /// `host:port`
        authority: String,
        /// What is wrong and what to do.
        remedy: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No connection or no answer in time. The request may have arrived.
    #[error("{authority} did not answer within {after:?}")]
    TimedOut {
        /// `host:port`
        authority: String,
        /// The limit.
        after: Duration,
    },
    /// The connection ended before the answer. The request may have arrived.
    #[error("connection to {authority} broke")]
    Broken {
        /// `host:port`
        authority: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// `host:port` makes no request.
    #[error("{authority:?} is no host:port")]
    Address {
        /// What was given.
        authority: String,
    },
}

impl TransportError {
    /// The request cannot have arrived, so that it may be sent again.
    pub fn nothing_was_sent(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Address { .. } | Self::Untrusted { .. } => true,
            Self::Broken { source, .. } => source.is_canceled(),
            Self::TimedOut { .. } => false,
        }
    }
}

/// An open connection; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) authority: String,
    timeout: Duration,
    sender: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Connects to `host:port`, by TLS if it is given; every request is given `timeout` for its answer to begin.
    pub(crate) async fn open(authority: &str, tls: Option<&Tls>, timeout: Duration) -> Result<Self, TransportError> {
        match tokio::time::timeout(timeout, Self::open_patiently(authority, tls, timeout)).await {
            Ok(opened) => opened,
            Err(_) => Err(TransportError::TimedOut { authority: authority.into(), after: timeout }),
        }
    }

    async fn open_patiently(authority: &str, tls: Option<&Tls>, timeout: Duration) -> Result<Self, TransportError> {
        let failed = |source| TransportError::Connect { authority: authority.into(), source };
        let stream = TcpStream::connect(authority).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        match tls {
            None => Self::begin(authority, stream, timeout).await,
            Some(tls) => Self::begin(authority, tls.handshake(authority, stream).await?, timeout).await,
        }
    }

    async fn begin(
        authority: &str,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        timeout: Duration,
    ) -> Result<Self, TransportError> {
        let (sender, driver) = handshake(TokioIo::new(stream))
            .await
            .map_err(|source| TransportError::Broken { authority: authority.into(), source })?;
        // Its error comes out of the request or the body as well.
        let driver = tokio::spawn(async move { drop(driver.await) });
        Ok(Self { authority: authority.into(), timeout, sender, _driver: AbortOnDropHandle::new(driver) })
    }

    /// The peer has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// POSTs JSON and waits for the head of the answer.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, TransportError> {
        let json = HeaderValue::from_static("application/json");
        self.send(Request::post(path).header(header::CONTENT_TYPE, json), path, headers, body).await
    }

    /// GETs JSON and waits for the head of the answer.
    pub(crate) async fn get(&mut self, path: &str, headers: &HeaderMap) -> Result<Response<Incoming>, TransportError> {
        self.send(Request::get(path), path, headers, Bytes::new()).await
    }

    async fn send(
        &mut self,
        request: request::Builder,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, TransportError> {
        let mut request = request
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, "application/json")
            .body(Full::new(body))
            .map_err(|_| TransportError::Address { authority: format!("{}{path}", self.authority) })?;
        request.headers_mut().extend(headers.clone());
        let answer = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let broken = |source| TransportError::Broken { authority: self.authority.clone(), source };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer.map_err(broken),
            Err(_) => Err(TransportError::TimedOut { authority: self.authority.clone(), after: self.timeout }),
        }
    }

    /// Reads the answer as a RecordIO stream for as long as it lasts.
    pub(crate) fn records(self, answer: Response<Incoming>) -> Records {
        let to_io: fn(hyper::Error) -> std::io::Error = std::io::Error::other;
        let bytes = StreamReader::new(answer.into_body().into_data_stream().map_err(to_io));
        Records { frames: FramedRead::new(bytes, RecordIo::default()), _connection: self }
    }
}

type Chunks = MapErr<BodyDataStream<Incoming>, fn(hyper::Error) -> std::io::Error>;

/// The records of an answer that does not end.
pub(crate) struct Records {
    frames: FramedRead<StreamReader<Chunks, Bytes>, RecordIo>,
    _connection: Connection,
}

impl Records {
    /// The next record; none at the stream's clean end.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, RecordIoError>> {
        self.frames.next().await
    }
}

/// The text of an answer that is no success, cut at [`MAX_ERROR_BYTES`]; also makes the connection free again.
pub(crate) async fn error_text(answer: Response<Incoming>, timeout: Duration) -> String {
    let body = Limited::new(answer.into_body(), MAX_ERROR_BYTES).collect();
    match tokio::time::timeout(timeout, body).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        _ => String::new(),
    }
}

/// `Authorization` of HTTP Basic; marked sensitive, so that no log shows it.
pub(crate) fn basic(principal: &str, secret: &str) -> HeaderValue {
    sensitive(format!("Basic {}", STANDARD.encode(format!("{principal}:{secret}"))))
        .expect("base64 is valid in a header")
}

/// `Authorization` with a bearer token; none when the token cannot stand in a header.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(format!("Bearer {token}"))
}

fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
