//! Who asks, and may they? All but liveness, the empty page and the executor's public program need a token.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use millstream_http::{Peer, token::bearer};

use super::{
    Failure,
    journal::{Entry, Journal},
};
use crate::access::{Role, Token, TokenError, Tokens};

/// Liveness: that the process answers. It tells nothing else.
pub(super) const LIVE: &str = "/health/live";

/// The status page, which holds nothing before somebody logs in.
pub(super) const PAGE: &str = "/";

/// Below it is a job, or what is asked of it.
const JOBS: &str = "/api/v1/jobs/";

/// What is about all jobs at once, and cannot be cut down to some.
const OF_ALL_JOBS: [&str; 3] = ["/metrics", "/api/v1/sd", STATE];

/// All that the scheduler knows: a look that only an admin may take, and that is written down.
pub(super) const STATE: &str = "/api/v1/state";

/// In which changes come.
const BODIES: [&str; 2] = ["application/toml", "application/json"];

/// Lets in who may come in.
#[derive(Clone)]
pub(crate) struct Gate {
    tokens: Arc<RwLock<Tokens>>,
    file: Option<PathBuf>,
    journal: Journal,
    /// Path of the executor's program, for agents, which have no token.
    program: Option<String>,
}

impl Gate {
    pub(crate) fn new(tokens: Tokens, file: Option<PathBuf>, journal: Journal, program: Option<String>) -> Gate {
        Gate { tokens: Arc::new(RwLock::new(tokens)), file, journal, program }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Reads the file of tokens again; those that are known stay when it cannot be used.
    pub(crate) fn renew(&self) -> Result<(), TokenError> {
        if let Some(file) = &self.file {
            let renewed = Tokens::read(file)?;
            *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        }
        Ok(())
    }

    fn is_open(&self, method: &Method, path: &str) -> bool {
        is_look(method) && (path == LIVE || path == PAGE || self.program.as_deref() == Some(path))
    }

    fn who(&self, headers: &HeaderMap) -> Option<Who> {
        let sent = bearer(headers)?;
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let found = tokens.find(sent)?;
        Some(Who(Arc::new(found.clone())))
    }
}

/// Whose token a request came with.
#[derive(Clone)]
pub(crate) struct Who(pub(crate) Arc<Token>);

impl Who {
    /// Whether the token is good for this job.
    pub(crate) fn check(&self, job: &str) -> Result<(), Failure> {
        if self.0.may_see(job) {
            return Ok(());
        }
        let remedy = "use a token that is good for it";
        Err(Failure::new(StatusCode::FORBIDDEN, format!("this token is not good for job {job}"), remedy))
    }
}

/// Answers 401 to strangers and 403 to who may not; what changes something, or is refused, is in the audit log.
pub(super) async fn login(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if gate.is_open(&method, &path) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let who = gate.who(request.headers());
    let allowed = match &who {
        None => Err(stranger()),
        Some(who) => check(who, &method, &path, request.headers()).map_err(|failure| failure.into_response()),
    };
    if let Some(who) = &who {
        request.extensions_mut().insert(who.clone());
    }
    let is_quiet = is_look(&method) && path != STATE;
    let answer = async move {
        let response = match allowed {
            Err(refusal) => refusal,
            Ok(()) => next.run(request).await,
        };
        let status = response.status();
        if !is_quiet || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            gate.journal.write(&Entry {
                at_ms: crate::clock::wall_ms(),
                who: who.as_ref().map(|who| who.0.name.as_str()),
                role: who.as_ref().map(|who| who.0.role),
                from: peer,
                method: method.as_str(),
                path: &path,
                status: status.as_u16(),
            });
        }
        response
    };
    if is_quiet {
        return answer.await;
    }
    // What a person asks for is done, and written down, also when they hang up meanwhile.
    tokio::spawn(answer).await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn stranger() -> Response {
    let remedy = "send a token, as `Authorization: Bearer …`; `millstream` takes it from MILLSTREAM_TOKEN or MILLSTREAM_TOKEN_FILE, and `millstream token` makes one (docs/security.md)";
    let failure = Failure::new(StatusCode::UNAUTHORIZED, "this scheduler asks for a token", remedy);
    let challenge = HeaderValue::from_static("Bearer realm=\"millstream\"");
    ([(header::WWW_AUTHENTICATE, challenge)], failure).into_response()
}

/// Whether it changes nothing.
fn is_look(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn check(who: &Who, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let needed = match *method {
        _ if path == STATE => Role::Admin,
        _ if is_look(method) => Role::Read,
        Method::DELETE => Role::Admin,
        _ => Role::Operate,
    };
    let forbidden = |error: String, remedy: &str| Err(Failure::new(StatusCode::FORBIDDEN, error, remedy));
    if who.0.role < needed {
        let error = format!("this needs the role `{}`, and the token has `{}`", needed.word(), who.0.role.word());
        return forbidden(error, "use a token that has it");
    }
    if OF_ALL_JOBS.contains(&path) && !who.0.sees_all() {
        return forbidden("this is about all jobs, and the token is bound to some".into(), "use a token that is not");
    }
    if let Some(job) = path.strip_prefix(JOBS).and_then(|rest| rest.split('/').next()) {
        if job.contains('%') {
            let remedy = "job names have only a-z, 0-9 and -";
            return Err(Failure::new(StatusCode::BAD_REQUEST, "this is no name of a job", remedy));
        }
        who.check(job)?;
    }
    if !is_look(method) && !comes_as(headers) {
        // A browser sends neither for another site without asking first.
        let remedy = "send `Content-Type: application/toml` with a job file, `application/json` with anything else";
        let error = "a change comes as application/toml or application/json";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, remedy));
    }
    Ok(())
}

fn comes_as(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|sent| sent.to_str().ok()).unwrap_or_default();
    let kind = sent.split(';').next().unwrap_or_default().trim();
    BODIES.iter().any(|body| kind.eq_ignore_ascii_case(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{JobPattern, hash};

    fn answer(role: Role, jobs: &str, method: Method, path: &str, body: Option<&'static str>) -> Option<u16> {
        let jobs = vec![JobPattern::new(jobs)];
        let token = Token { name: "t".into(), sha256: hash("t"), role, jobs };
        let mut headers = HeaderMap::new();
        if let Some(body) = body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(body));
        }
        check(&Who(Arc::new(token)), &method, path, &headers).err().map(|failure| failure.status.as_u16())
    }

    #[test]
    fn roles_and_jobs() {
        let toml = Some("application/toml; charset=utf-8");
        let look = |role, jobs, path| answer(role, jobs, Method::GET, path, None);
        assert_eq!(look(Role::Read, "a-*", "/api/v1/jobs"), None, "cut down by the handler");
        assert_eq!(look(Role::Read, "a-*", "/api/v1/jobs/a-b/why"), None);
        assert_eq!(look(Role::Read, "a-*", "/api/v1/jobs/b/why"), Some(403));
        assert_eq!(look(Role::Admin, "a-*", "/metrics"), Some(403));
        assert_eq!(look(Role::Read, "*", "/metrics"), None);
        assert_eq!(look(Role::Read, "*2d*", "/api/v1/jobs/a%2db"), Some(400), "it would be another name");
        let put = |role, jobs, body| answer(role, jobs, Method::PUT, "/api/v1/jobs/a-b", body);
        assert_eq!((put(Role::Read, "*", toml), put(Role::Operate, "*", toml)), (Some(403), None));
        assert_eq!((put(Role::Operate, "b", toml), put(Role::Operate, "a-*", None)), (Some(403), Some(415)));
        for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/tomlx"] {
            assert_eq!(put(Role::Operate, "*", Some(form)), Some(415), "{form}");
        }
        assert_eq!((look(Role::Operate, "*", STATE), look(Role::Admin, "*", STATE)), (Some(403), None));
        assert_eq!(look(Role::Admin, "a-*", STATE), Some(403), "it is about all jobs");
        let delete = |role| answer(role, "*", Method::DELETE, "/api/v1/jobs/a", Some("application/json"));
        assert_eq!((delete(Role::Operate), delete(Role::Admin)), (Some(403), None));
    }
}
