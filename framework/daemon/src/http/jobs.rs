//! What the leader tells of its jobs, and does with them; deploying one is in `deploy`.

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::{Path, State as Shared},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use millstream_scheduler::{Input, Reply, views};

use super::{Answer, Api, Failure, Who, precondition};
use crate::{
    access::Role,
    api::{JobDetail, Jobs, LagView, SdTarget, Stopped, WhyView},
};

pub(super) async fn jobs(Shared(api): Shared<Api>, Extension(who): Extension<Who>) -> Answer<Jobs> {
    let mut jobs = api.read(|seen| views::jobs(seen.state)).await?;
    jobs.retain(|job| who.0.may_see(&job.name));
    Ok(Json(Jobs { jobs, note: api.without_master().await }))
}

pub(super) async fn job(
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<JobDetail>), Failure> {
    let asked = name.clone();
    let detail = api.read(move |seen| {
        let (job, toml) = (views::job(seen.state, &asked)?, views::job_toml(seen.state, &asked)?);
        let detail = JobDetail { job, toml, previous_toml: views::previous_toml(seen.state, &asked) };
        Some((detail, views::job_version(seen.state, &asked)?))
    });
    let (detail, version) = detail.await?.ok_or_else(|| Failure::no_such_job(&name))?;
    Ok(([(header::ETAG, precondition::tag(&version))], Json(detail)))
}

pub(super) async fn why(
    Shared(api): Shared<Api>,
    Extension(who): Extension<Who>,
    Path(name): Path<String>,
) -> Answer<WhyView> {
    let asked = name.clone();
    // Which ports are open somewhere is for those who may make the scheduler ask.
    let tells_cause = who.0.role >= Role::Operate;
    let view = api.read(move |seen| {
        let mut view = views::why(seen.state, &asked)?;
        if let Some(error) = seen.topology_errors.get(&asked) {
            let cause = if tells_cause { format!(": {error}") } else { String::new() };
            view.note = Some(format!("its topic or ring cannot be read{cause}"));
        }
        Some((view, views::without_room(seen.state, &asked)))
    });
    let (mut view, without_room) = view.await?.ok_or_else(|| Failure::no_such_job(&name))?;
    view.note = api.without_master().await.or(view.note);
    for (spec, slots) in without_room {
        if let Some(lacks) = api.lacks_room(&spec).await {
            view.never_placed(&slots, &lacks);
        }
    }
    Ok(Json(view))
}

pub(super) async fn lag(Shared(api): Shared<Api>, Path(name): Path<String>) -> Answer<LagView> {
    let asked = name.clone();
    let view = api.read(move |seen| views::lag(seen.state, &asked)).await?;
    view.map(Json).ok_or_else(|| Failure::no_such_job(&name))
}

pub(super) async fn halt(Shared(api): Shared<Api>, Path(name): Path<String>) -> Answer<Stopped> {
    match api.act(Input::Stop { job: name.clone() }).await? {
        Reply::NoSuchJob => Err(Failure::no_such_job(&name)),
        reply => Ok(Json(Stopped { job: name, changed: reply == Reply::Stopping })),
    }
}

pub(super) async fn delete(
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let only_if = precondition::of(&headers, &name)?;
    let reply = api.act_if(only_if, Input::Delete { job: name.clone() }).await?;
    match reply.ok_or_else(|| precondition::failed(&name))? {
        Reply::NoSuchJob => Err(Failure::no_such_job(&name)),
        Reply::NotStopped => {
            let remedy = format!("stop it first: `millstream stop {name}`");
            Err(Failure::new(StatusCode::CONFLICT, format!("job {name} is not stopped"), remedy))
        }
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

pub(super) async fn targets(Shared(api): Shared<Api>) -> Answer<Vec<SdTarget>> {
    let targets = api.read(|seen| views::scrape_targets(seen.state)).await?;
    let target = |t: views::ScrapeTarget| SdTarget {
        targets: vec![t.url.trim_start_matches("http://").trim_end_matches('/').to_owned()],
        labels: BTreeMap::from([
            ("millstream_job".to_owned(), t.job),
            ("millstream_executor".to_owned(), t.executor),
            ("millstream_host".to_owned(), t.host),
        ]),
    };
    Ok(Json(targets.into_iter().map(target).collect()))
}
