//! Every answer that is no success has one form: `application/problem+json` (RFC 9457), with our own members besides.

use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::Failure;
use crate::api::ErrorBody;

/// Its media type.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

const PROBLEM: HeaderValue = HeaderValue::from_static(MEDIA_TYPE);

/// Longest text of a library's own answer.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Headers that are about a body.
const OF_BODY: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_LENGTH];

/// Any answer that is no success.
#[derive(Serialize, JsonSchema)]
pub(super) struct Problem<'a> {
    /// `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// The same as `error`.
    detail: &'a str,
    #[serde(flatten)]
    body: &'a ErrorBody,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Failure { status, body } = self;
        let title = status.canonical_reason().unwrap_or("error");
        let problem = Problem { kind: "about:blank", title, status: status.as_u16(), detail: &body.error, body: &body };
        let text = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM)], text).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Gives answers of libraries (a body that is too large, a query that cannot be read) the same form.
pub(super) async fn uniform(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE) == Some(&PROBLEM);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (head, body) = response.into_parts();
    // What health says with 503 is an answer of its own.
    if head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json") {
        return Response::from_parts(head, body);
    }
    let text = to_bytes(body, TEXT_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    let error = if text.is_empty() { status.canonical_reason().unwrap_or("error").to_owned() } else { text };
    let remedy = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "a job file has at most 1 MiB",
        StatusCode::METHOD_NOT_ALLOWED => "see docs/operating.md for what can be asked",
        _ => "mend the request",
    };
    let mut uniform = Failure::new(status, error, remedy).into_response();
    // What else it says stays: `Allow`, what browsers heed, …
    for (name, value) in head.headers.iter().filter(|(name, _)| !OF_BODY.contains(name)) {
        uniform.headers_mut().insert(name, value.clone());
    }
    uniform
}
