//! `If-Match` and `If-None-Match` (RFC 9110): a change is made only to what its author has seen.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use millstream_scheduler::views;

use super::Failure;
use crate::driver::Condition;

/// `ETag` of a version of a job.
pub(super) fn tag(version: &str) -> HeaderValue {
    // Digits and a hyphen.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// What must hold for a change of the job; none when nothing is asked.
pub(super) fn of(headers: &HeaderMap, job: &str) -> Result<Option<Condition>, Failure> {
    let (wanted, unwanted) = (tags(headers, &header::IF_MATCH)?, tags(headers, &header::IF_NONE_MATCH)?);
    if wanted.is_none() && unwanted.is_none() {
        return Ok(None);
    }
    let job = job.to_owned();
    Ok(Some(Box::new(move |seen| {
        let version = views::job_version(seen.state, &job);
        let is_among =
            |tags: &[String]| version.as_ref().is_some_and(|v| tags.iter().any(|tag| tag == "*" || tag == v));
        wanted.as_deref().is_none_or(is_among) && !unwanted.as_deref().is_some_and(is_among)
    })))
}

/// Somebody else was faster.
pub(super) fn failed(job: &str) -> Failure {
    let remedy = format!("nothing was changed; look at it again (GET /api/v1/jobs/{job} tells its ETag), then decide");
    Failure::new(StatusCode::PRECONDITION_FAILED, format!("job {job} is not the version that was expected"), remedy)
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<String>>, Failure> {
    let mut tags = vec![];
    for value in headers.get_all(name) {
        let value = value.to_str().unwrap_or_default();
        for tag in value.split(',').map(str::trim) {
            let inside = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            match inside.or(Some(tag).filter(|tag| *tag == "*")) {
                Some(tag) => tags.push(tag.to_owned()),
                None => {
                    let remedy = "write it as the ETag came, in quotation marks, or as *";
                    return Err(Failure::new(StatusCode::BAD_REQUEST, format!("{name} holds no tag"), remedy));
                }
            }
        }
    }
    Ok((!tags.is_empty()).then_some(tags))
}
