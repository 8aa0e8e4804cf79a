//! Talks to the scheduler's HTTP API: to the first of several that answers, and to the leader it names.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, LOCATION},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use millstream_daemon::api::{DiagnosticView, ErrorBody};
use serde_json::Value;

use crate::{
    failure::Failure,
    login::{Login, is_loopback_url},
    printable::escaped,
};

/// Longest wait for an answer: a deployment asks Kafka and Cassandra first, which may time out themselves.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for a connection: a host that is down must not hold up the next one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest answer: the lag of 100,000 partitions has about 30 MB.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// From a standby to the leader, and once more when the leader changes meanwhile.
const REDIRECTS_MAX: usize = 3;

/// A client of one scheduler, or of several of which one leads.
pub(crate) struct Client {
    bases: Vec<String>,
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    login: Login,
}

/// Why a scheduler gave no answer.
struct Silent {
    base: String,
    why: String,
    /// It had the request, and may have done what it asks for.
    asked: bool,
}

impl Client {
    /// A client of the schedulers at these URLs, separated by commas; nothing is sent yet.
    pub(crate) fn new(urls: &str, login: Login) -> Result<Self, Failure> {
        let urls = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
        let bases = urls.map(base).collect::<Result<Vec<_>, _>>()?;
        if bases.is_empty() {
            return Err(Failure::new("no scheduler is named", FORM));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.enforce_http(false);
        let is_asked_by_https = bases.iter().any(|base| base.starts_with("https:"));
        let connector = login.https(connector, is_asked_by_https)?;
        Ok(Client { bases, http: HyperClient::builder(TokioExecutor::new()).build(connector), login })
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

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.call(Method::DELETE, path, String::new()).await
    }

    /// An answer that is no JSON, as it came; at most so many bytes.
    pub(crate) async fn bytes(&self, path: &str, bytes_max: usize) -> Result<Bytes, Failure> {
        let (base, status, body) = self.asked(Method::GET, path, String::new(), bytes_max).await?;
        if status.is_success() { Ok(body) } else { Err(refused(&base, status, &body)) }
    }

    async fn call(&self, method: Method, path: &str, body: String) -> Result<Value, Failure> {
        let (base, status, body) = self.asked(method, path, body, MAX_ANSWER_BYTES).await?;
        answer(&base, status, &body)
    }

    /// Asks one scheduler after the other. One that knows no leader counts as silent as long as there is another.
    async fn asked(
        &self,
        method: Method,
        path: &str,
        body: String,
        bytes_max: usize,
    ) -> Result<(String, StatusCode, Bytes), Failure> {
        let mut silent = vec![];
        let mut unready = None;
        for base in &self.bases {
            match self.ask(base, &method, path, &body, bytes_max).await {
                Ok((base, StatusCode::SERVICE_UNAVAILABLE, body)) => {
                    unready.get_or_insert((base, body));
                }
                Ok(answered) => return Ok(answered),
                Err(failed) => {
                    let asked = failed.asked;
                    silent.push(failed);
                    if asked {
                        break;
                    }
                }
            }
        }
        match unready {
            Some((base, body)) => Ok((base, StatusCode::SERVICE_UNAVAILABLE, body)),
            None => Err(unreachable(&silent)),
        }
    }

    /// Asks one scheduler, or the leader it names: who has answered, and what.
    async fn ask(
        &self,
        base: &str,
        method: &Method,
        path: &str,
        body: &str,
        bytes_max: usize,
    ) -> Result<(String, StatusCode, Bytes), Silent> {
        let mut url = format!("{base}{path}");
        for _ in 0..=REDIRECTS_MAX {
            let base = origin(&url);
            let silent = |why: String, asked| Silent { base: base.clone(), why, asked };
            let mut request = Request::builder().method(method).uri(&url).header(CONTENT_TYPE, kind(path, body));
            if let Some(token) = self.login.token_for(&url).map_err(|failure| silent(failure.0.error, false))? {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let request = request.body(Full::from(body.to_owned()));
            let request = request.map_err(|error| silent(format!("{url} cannot be called: {error}"), false))?;
            let answered = tokio::time::timeout(TIMEOUT, self.send(request, &base, bytes_max)).await;
            let late = |_| silent(format!("no answer within {} s", TIMEOUT.as_secs()), true);
            match answered.map_err(late)?? {
                (StatusCode::TEMPORARY_REDIRECT, Some(leader), _)
                    if url.starts_with("https:") && !leader.starts_with("https:") =>
                {
                    let why = format!("it names a leader without TLS ({}), who is not told the token", origin(&leader));
                    return Err(silent(why, false));
                }
                (StatusCode::TEMPORARY_REDIRECT, Some(leader), _) if !self.login.trusts(&self.bases, &leader) => {
                    let leader = origin(&leader);
                    let why = format!(
                        "it names a leader that was not named here, {leader}; name both: --scheduler {base},{leader}"
                    );
                    return Err(silent(why, false));
                }
                (StatusCode::TEMPORARY_REDIRECT, Some(leader), _) => url = leader,
                (status, _, body) => return Ok((base, status, body)),
            }
        }
        Err(Silent { base: base.to_owned(), why: "the schedulers name each other as leader".to_owned(), asked: false })
    }

    /// Status, where it leads, and body.
    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        base: &str,
        bytes_max: usize,
    ) -> Result<(StatusCode, Option<String>, Bytes), Silent> {
        let silent = |why: String, asked| Silent { base: base.to_owned(), why, asked };
        let response: Response<Incoming> =
            self.http.request(request).await.map_err(|error| silent(root_cause(&error), !error.is_connect()))?;
        let status = response.status();
        let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), bytes_max).collect().await;
        let body = body.map_err(|error| silent(format!("its answer broke off: {error}"), true))?;
        Ok((status, location, body.to_bytes()))
    }
}

const FORM: &str = "write it as https://HOST:PORT, or http://HOST:PORT";

/// Job files go as TOML.
fn kind(path: &str, body: &str) -> &'static str {
    if body.is_empty() || path.ends_with("/stop") { "application/json" } else { "application/toml" }
}

fn base(url: &str) -> Result<String, Failure> {
    let scheme = if is_loopback_url(&format!("http://{url}")) { "http" } else { "https" };
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("{scheme}://{url}") };
    let uri: Uri = with_scheme.parse().map_err(|_| Failure::new(format!("{url} is not a URL"), FORM))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => Ok(with_scheme.trim_end_matches('/').to_owned()),
        _ => Err(Failure::new(format!("{url} is not the address of a scheduler: it speaks http or https"), FORM)),
    }
}

/// The part of a URL that says which scheduler it is.
fn origin(url: &str) -> String {
    let path = url.find("://").and_then(|scheme| url[scheme + 3..].find('/').map(|slash| scheme + 3 + slash));
    url[..path.unwrap_or(url.len())].to_owned()
}

fn answer(base: &str, status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
    if status.is_success() {
        return match body.len() {
            0 => Ok(Value::Null),
            _ => serde_json::from_slice(body)
                .map_err(|error| foreign(base, status, &format!("its answer is not JSON: {error}"))),
        };
    }
    Err(refused(base, status, body))
}

/// A scheduler says what is wrong in its own form; anything else came from another program.
fn refused(base: &str, status: StatusCode, body: &[u8]) -> Failure {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(error) => Failure(plain(error)),
        Err(_) => foreign(base, status, &format!("it answers {status}")),
    }
}

/// Colours are ours, never a server's.
fn plain(ErrorBody { error, remedy, diagnostics }: ErrorBody) -> ErrorBody {
    let diagnostics = diagnostics.into_iter().map(|d| DiagnosticView { rendered: escaped(&d.rendered), ..d });
    ErrorBody { error: escaped(&error), remedy: remedy.as_deref().map(escaped), diagnostics: diagnostics.collect() }
}

fn unreachable(silent: &[Silent]) -> Failure {
    let error = match silent {
        [Silent { base, why, .. }] => format!("the scheduler at {base} cannot be reached: {why}"),
        more => {
            let each: Vec<String> = more.iter().map(|silent| format!("{} ({})", silent.base, silent.why)).collect();
            format!("no scheduler can be reached: {}", each.join(", "))
        }
    };
    let remedy = "start one with `millstream local` or `millstream scheduler`, or say where it is with --scheduler URL or MILLSTREAM_SCHEDULER";
    Failure::new(error, remedy)
}

fn foreign(base: &str, status: StatusCode, why: &str) -> Failure {
    let remedy = match status {
        StatusCode::NOT_FOUND => "is it the scheduler's address (port 7070 by default), and of the same version?",
        _ => "is it another program that listens there? See --scheduler URL and MILLSTREAM_SCHEDULER",
    };
    Failure::new(format!("{base} does not answer as a scheduler: {why}"), remedy)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_are_named_with_or_without_a_scheme_and_commas_between() {
        let client = |urls: &str| Client::new(urls, Login::default());
        let bases = |urls: &str| client(urls).map(|client| client.bases).map_err(|failure| failure.0.error);
        assert_eq!(bases("http://a:7070/, b:7070").unwrap(), ["http://a:7070", "https://b:7070"]);
        assert_eq!(bases("127.0.0.1:7070,localhost:1").unwrap(), ["http://127.0.0.1:7070", "http://localhost:1"]);
        assert_eq!(bases("https://a:7070").unwrap(), ["https://a:7070"]);
        assert!(bases("ftp://a:7070").unwrap_err().contains("speaks http"));
        assert!(bases(" , ").unwrap_err().contains("no scheduler"));
        assert_eq!(origin("http://a:7070/api/v1/jobs?x=/"), "http://a:7070");
        assert_eq!(origin("http://a:7070"), "http://a:7070");
    }
}
