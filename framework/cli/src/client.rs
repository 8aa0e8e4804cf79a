//! Talks to the scheduler's HTTP API.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::{client::legacy::Client as HyperClient, rt::TokioExecutor};
use millstream_daemon::api::ErrorBody;
use serde_json::Value;

use crate::failure::Failure;

/// Longest wait for an answer: a deployment asks Kafka and Cassandra first, which may time out themselves.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Largest answer: the lag of 100,000 partitions has about 30 MB.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A client of one scheduler.
pub(crate) struct Client {
    base: String,
    http: HyperClient<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client of the scheduler at `url`; nothing is sent yet.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        const FORM: &str = "write it as http://HOST:PORT";
        let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let uri: Uri = with_scheme.parse().map_err(|_| Failure::new(format!("{url} is not a URL"), FORM))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(_)) => {}
            _ => return Err(Failure::new(format!("{url} is not the address of a scheduler: it speaks http"), FORM)),
        }
        let base = with_scheme.trim_end_matches('/').to_owned();
        Ok(Client { base, http: HyperClient::builder(TokioExecutor::new()).build_http() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::GET, path, String::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: String) -> Result<Value, Failure> {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: String) -> Result<Value, Failure> {
        self.call(Method::PUT, path, body).await
    }

    async fn call(&self, method: Method, path: &str, body: String) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.base);
        let request = Request::builder().method(method).uri(&url).body(Full::from(body));
        let request = request.map_err(|e| Failure::new(format!("{url} cannot be called: {e}"), "check --scheduler"))?;
        let answer = tokio::time::timeout(TIMEOUT, self.send(request)).await;
        let (status, body) = answer.map_err(|_| self.silent(format!("no answer within {} s", TIMEOUT.as_secs())))??;
        if status.is_success() {
            return match body.len() {
                0 => Ok(Value::Null),
                _ => serde_json::from_slice(&body)
                    .map_err(|e| self.foreign(status, &format!("its answer is not JSON: {e}"))),
            };
        }
        // A scheduler says what is wrong in its own form; anything else came from another program.
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(error) => Err(Failure(error)),
            Err(_) => Err(self.foreign(status, &format!("it answers {status}"))),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        let response = self.http.request(request).await.map_err(|e| self.silent(root_cause(&e)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|e| self.silent(format!("its answer broke off: {e}")))?;
        Ok((status, body.to_bytes()))
    }

    fn silent(&self, why: String) -> Failure {
        Failure::new(
            format!("the scheduler at {} cannot be reached: {why}", self.base),
            "start one with `millstream local` or `millstream scheduler`, or say where it is with --scheduler URL or MILLSTREAM_SCHEDULER",
        )
    }

    fn foreign(&self, status: StatusCode, why: &str) -> Failure {
        let remedy = match status {
            StatusCode::NOT_FOUND => "this scheduler does not know the command: are both of the same version?",
            _ => "is it another program that listens there? See --scheduler URL and MILLSTREAM_SCHEDULER",
        };
        Failure::new(format!("{} does not answer as a scheduler: {why}", self.base), remedy)
    }
}

/// The innermost cause, which names the fault: "connection refused" instead of "client error (Connect)".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string().to_lowercase();
    // Numbers of the operating system say nothing to people.
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
