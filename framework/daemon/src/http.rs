//! The HTTP API of [`crate::api`], the status page and the metrics.

mod checks;
mod deploy;
mod jobs;
mod journal;
mod login;
mod openapi;
mod page;
mod precondition;
mod problem;
mod role;
mod state;

pub(crate) use checks::{Checks, JobText};
use deploy::refused;
pub(crate) use deploy::{Named, refused_here};
pub(crate) use journal::Journal;
pub(crate) use login::{Gate, Who};
pub(crate) use role::{Leading, Role};
use state::Backups;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, State as Shared},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use millstream_http::{
    Limits,
    browser::{Hosts, guard},
};
use millstream_mesos::scheduler::Config as SessionConfig;
use millstream_scheduler::{Change, Input, Reply, Settings, views};
use millstream_spec::JobSpec;
use millstream_tls::Certificate;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{ErrorBody, Health, HealthStatus, Live, Ready},
    change::{self, Standing},
    check::Checked,
    driver::{Ask, Condition, Seen, Vitals},
    metrics::Metrics,
    plan::{self, Room},
    program::{self, Program},
    quota::Quotas,
    reach::Reach,
};

/// The driver answers in microseconds; after this time it is stuck on its store.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Api {
    roles: watch::Receiver<Role>,
    /// Its own URL, as others know it.
    url: Option<String>,
    metrics: Arc<Metrics>,
    session: SessionConfig,
    program: Option<Program>,
    reach: Arc<Reach>,
    room: Room,
    checks: Checks,
    backups: Backups,
}

/// An answer that is not a success.
pub(crate) struct Failure {
    status: StatusCode,
    body: ErrorBody,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure { status, body: ErrorBody { error: error.into(), remedy: Some(remedy.into()), diagnostics: vec![] } }
    }

    fn no_such_job(name: &str) -> Self {
        Failure::new(StatusCode::NOT_FOUND, format!("there is no job {name}"), "`millstream jobs` lists them")
    }

    fn no_leader() -> Self {
        let remedy =
            "try again: a leader is elected within the session timeout, as long as ZooKeeper answers; see the logs";
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "no scheduler leads at the moment", remedy)
    }

    fn stuck() -> Self {
        let remedy = "its state store may fail: see GET /health and the log";
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the scheduler does not answer", remedy)
    }
}

type Answer<T> = Result<Json<T>, Failure>;

impl Api {
    pub(crate) fn new(
        roles: watch::Receiver<Role>,
        url: Option<String>,
        metrics: Arc<Metrics>,
        session: SessionConfig,
        program: Option<Program>,
        reach: Reach,
        place: String,
    ) -> Self {
        let (reach, room, checks, backups) = (Arc::new(reach), Room::default(), Checks::default(), Backups::of(place));
        Api { roles, url, metrics, session, program, reach, room, checks, backups }
    }

    /// Refuses a job that names what it may not.
    pub(crate) async fn within_reach(&self, checked: &Checked) -> Result<(), Failure> {
        let found = self.reach.refused(&checked.file).await;
        if found.is_empty() { Ok(()) } else { Err(refused(&checked.file.diagnostics(found))) }
    }

    /// Path of the executor's program, when it is served.
    pub(crate) fn program_path(&self) -> Option<String> {
        self.program.as_ref().map(Program::url_path)
    }

    pub(crate) fn session(&self) -> &SessionConfig {
        &self.session
    }

    pub(crate) fn checks(&self) -> &Checks {
        &self.checks
    }

    pub(crate) async fn settings(&self) -> Result<Settings, Failure> {
        self.read(|seen| seen.state.settings().clone()).await
    }

    /// What deploying a file would meet, with a topic of so many partitions.
    pub(crate) async fn standing(
        &self,
        who: &Who,
        (spec, partitions): (&JobSpec, usize),
        file: &str,
        toml: &str,
    ) -> Result<Standing, Failure> {
        let (who, quotas) = (who.0.clone(), self.reach.quotas);
        let (spec, file, toml) = (spec.clone(), file.to_owned(), toml.to_owned());
        self.read(move |seen| change::standing(seen.state, &who, &quotas, (&spec, partitions), &file, &toml)).await
    }

    /// A file that is right, and not too large.
    pub(crate) async fn offline(&self, shown: &str, toml: &str) -> Result<Checked, Failure> {
        match self.reach.quotas.file_refusal(toml) {
            Some(refusal) => Err(refused_here(refusal)),
            None => self.checks.offline(shown, toml).await,
        }
    }

    /// Refuses what would be too much.
    pub(crate) async fn within_quotas(&self, spec: &JobSpec, partitions: usize) -> Result<(), Failure> {
        let (quotas, spec) = (self.reach.quotas, spec.clone());
        let refusal = self.read(move |seen| quotas.refusal(seen.state, &spec, partitions)).await?;
        refusal.map_or(Ok(()), |refusal| Err(refused_here(refusal)))
    }

    pub(crate) fn quotas(&self) -> Quotas {
        self.reach.quotas
    }

    /// Would deploying a file change nothing about a deployed job?
    pub(crate) async fn is_deployed(&self, spec: &JobSpec, toml: &str) -> Result<bool, Failure> {
        let (spec, toml) = (spec.clone(), toml.to_owned());
        self.read(move |seen| millstream_scheduler::change(seen.state, &spec, &toml) == Change::Nothing).await
    }

    /// Why no agent could ever hold a task of this job; none when one could, and when nobody knows.
    pub(crate) async fn lacks_room(&self, spec: &JobSpec) -> Option<String> {
        let settings = self.settings().await.ok()?;
        self.room.lacks(&self.session, spec, &settings).await
    }

    /// What a leader without a master says beside its answers; none as long as it has one.
    async fn without_master(&self) -> Option<String> {
        let vitals = self.leading().await.ok()?.vitals;
        if self.read(|seen| seen.state.is_subscribed()).await.ok()? {
            return None;
        }
        let trouble = Vitals::get(&vitals.trouble).map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        Some(format!("no Mesos master is heard{trouble}: tasks run on, and nothing is placed until one is"))
    }

    /// Looks at the state.
    async fn read<T: Send + 'static>(&self, look: impl FnOnce(&Seen<'_>) -> T + Send + 'static) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Read(Box::new(move |seen| drop(answer.send(look(seen)))));
        self.answered(ask, answered).await
    }

    /// Does something.
    async fn act(&self, input: Input) -> Result<Reply, Failure> {
        self.act_if(None, input).await?.ok_or_else(Failure::stuck)
    }

    /// Does something as long as a condition holds; none when it does not.
    async fn act_if(&self, only_if: Option<Condition>, input: Input) -> Result<Option<Reply>, Failure> {
        let (answer, answered) = oneshot::channel();
        self.answered(Ask::Act { input: Box::new(input), only_if, answer }, answered).await
    }

    async fn answered<T>(&self, ask: Ask, answered: oneshot::Receiver<T>) -> Result<T, Failure> {
        let leading = self.leading().await?;
        let whole = async {
            leading.ask.send(ask).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(ANSWER_WITHIN, whole).await.ok().flatten().ok_or_else(Failure::stuck)
    }
}

/// Who may ask, by which name, and how.
pub(crate) struct Door {
    pub(crate) gate: Gate,
    pub(crate) hosts: Hosts,
    pub(crate) certificate: Option<Certificate>,
}

type Routes = Vec<(&'static str, MethodRouter<Api>)>;

/// What every scheduler answers. What is here and below is also in `openapi`.
fn of_all() -> Routes {
    vec![
        (login::LIVE, get(live)),
        ("/health", get(health)),
        ("/health/ready", get(ready)),
        ("/metrics", get(metrics)),
        (openapi::PATH, get(openapi::openapi)),
        (program::ROUTE, get(executor)),
    ]
}

/// What only a leader answers; a standby sends people to it.
fn of_leader() -> Routes {
    vec![
        (login::PAGE, get(page::page)),
        ("/api/v1/jobs", get(jobs::jobs)),
        ("/api/v1/jobs/{name}", get(jobs::job).put(deploy::put).delete(jobs::delete)),
        ("/api/v1/jobs/{name}/why", get(jobs::why)),
        ("/api/v1/jobs/{name}/lag", get(jobs::lag)),
        ("/api/v1/jobs/{name}/stop", post(jobs::halt)),
        ("/api/v1/plan", post(plan::post)),
        ("/api/v1/sd", get(jobs::targets)),
        (login::STATE, get(state::backup)),
    ]
}

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, api: Api, door: Door, stop: CancellationToken) {
    let router =
        |routes: Routes| routes.into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    let only_leader = middleware::from_fn_with_state(api.clone(), role::only_leader);
    let router = router(of_all())
        .merge(router(of_leader()).route_layer(only_leader))
        .fallback(async || Failure::new(StatusCode::NOT_FOUND, "there is nothing at this path", "see docs/api.md"))
        .layer(DefaultBodyLimit::max(millstream_spec::MAX_FILE_BYTES))
        .layer(middleware::from_fn_with_state(door.gate, login::login))
        .layer(middleware::from_fn_with_state(door.hosts, guard))
        .layer(middleware::from_fn(problem::uniform))
        .with_state(api);
    millstream_http::serve(listener, router, Limits::default(), door.certificate, stop).await;
}

/// Whether it can do its part now: lead, or send to who leads. Unlike [`health`] it says nothing of masters and jobs.
async fn ready(Shared(api): Shared<Api>) -> Answer<Ready> {
    match api.role().await {
        Role::Starting => Err(Failure::stuck()),
        Role::Standby { leader } => api.other(&leader).map(drop).ok_or_else(Failure::no_leader),
        Role::Leading(_) => api.read(|_| ()).await,
    }?;
    Ok(Json(Ready { status: "ready".to_owned() }))
}

/// The process answers. Asks nobody, so that it says nothing of what it waits for.
async fn live() -> Json<Live> {
    Json(Live { status: "live".to_owned() })
}

async fn health(Shared(api): Shared<Api>) -> Response {
    match api.role().await {
        Role::Starting => Failure::stuck().into_response(),
        Role::Standby { leader } => Json(Health::standby(api.other(&leader))).into_response(),
        Role::Leading(leading) => leader_health(&api, &leading.vitals).await,
    }
}

async fn leader_health(api: &Api, vitals: &Vitals) -> Response {
    if vitals.store_fails.load(Ordering::Relaxed) {
        // The driver waits for its store and would not answer.
        let remedy = "see the log for the cause; tasks run on, and nothing is decided until it works";
        return Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the state store fails", remedy).into_response();
    }
    let seen = api.read(|seen| (views::overview(seen.state), views::locality(seen.state))).await;
    let (overview, locality) = match seen {
        Ok(seen) => seen,
        Err(failure) => return failure.into_response(),
    };
    let (status, reason) = match overview.subscribed {
        true => (HealthStatus::Ok, None),
        false => (HealthStatus::Connecting, Vitals::get(&vitals.trouble)),
    };
    let code = if status == HealthStatus::Ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let master = Vitals::get(&vitals.master);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let (overview, locality) = (Some(overview), Some(locality));
    (code, Json(Health { status, reason, version, master, leader: None, overview, locality })).into_response()
}

/// Of a leader with its jobs, of a standby only what the process itself has counted.
async fn metrics(Shared(api): Shared<Api>) -> Result<impl IntoResponse, Failure> {
    let metrics = api.metrics.clone();
    let text = match api.role().await {
        Role::Leading(_) => {
            let observed = api.read(move |seen| {
                metrics.observe(seen.state);
                metrics.encode()
            });
            observed.await?
        }
        Role::Standby { .. } | Role::Starting => {
            metrics.observe_nothing();
            metrics.encode()
        }
    };
    Ok(([(header::CONTENT_TYPE, METRICS_TYPE)], text))
}

/// The executor's program, of every scheduler: agents may still fetch it from one that led before.
async fn executor(Shared(api): Shared<Api>, Path(sha256): Path<String>) -> Result<Response, Failure> {
    let Some(program) = api.program.filter(|program| program.sha256() == sha256) else {
        let remedy =
            "it serves only its own executor, with `[executor] serve = true`; are all schedulers of one version?";
        return Err(Failure::new(StatusCode::NOT_FOUND, "this scheduler does not have that program", remedy));
    };
    if !program.is_unchanged().unwrap_or(false) {
        tracing::error!(sha256, "the executor's file was written over: it is not served any more");
        let remedy = "install a new version beside it and rename it over the old one, then restart the scheduler";
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "that program was written over", remedy));
    }
    // Mesos' fetcher asks for the length first, to make room in its cache.
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, program.size().to_string()),
    ];
    Ok((headers, Body::from_stream(program.bytes())).into_response())
}
