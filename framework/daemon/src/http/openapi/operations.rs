//! Every operation of the API.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    access::Role,
    api::{Deployed, Health, JobDetail, Jobs, LagView, Live, PlanView, Ready, SdTarget, Stopped, WhyView},
    http::{METRICS_TYPE, login},
    program,
};

/// One method on one path. What may be sent and what may be answered follows from it.
pub(super) struct Operation {
    /// In lower case, as OpenAPI has it.
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// That the token must have; none when anybody may.
    pub(super) role: Option<Role>,
    pub(super) body: Body,
    /// Names in [`super::PARAMETERS`], besides those in the path.
    pub(super) parameters: &'static [&'static str],
    pub(super) code: u16,
    pub(super) answer: Answer,
    /// Of the answer.
    pub(super) header: Option<&'static str>,
    /// A failure that has the form of a success.
    pub(super) also: Option<u16>,
    /// What can go wrong with it, beyond what can with its kind.
    others: &'static [u16],
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    None,
    /// The text of a job file.
    Job,
    /// A change that says nothing more.
    Empty,
}

/// The form of a success.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    None,
    Json(fn(&mut SchemaGenerator) -> Schema),
    Text(&'static str),
    Bytes,
}

/// What every scheduler answers.
pub(super) fn of_all() -> Vec<Operation> {
    vec![
        get(login::LIVE, "live", "Whether the process answers, whatever else fails").open().json::<Live>(),
        Operation { also: Some(503), ..get("/health", "health", "How the scheduler is").json::<Health>() },
        get("/health/ready", "ready", "Whether it leads, or can send to who does").json::<Ready>().or(&[503]),
        get("/metrics", "metrics", "Metrics of the scheduler; of a leader those of its jobs too")
            .text(METRICS_TYPE)
            .or(&[503]),
        get(super::PATH, "openapi", "This document").json::<serde_json::Map<String, serde_json::Value>>(),
        Operation {
            answer: Answer::Bytes,
            ..get(program::ROUTE, "executor", "The executor's program, when it is served: its own path needs no token")
        }
        .or(&[404, 500]),
    ]
}

/// What only a leader answers.
pub(super) fn of_leader() -> Vec<Operation> {
    const JOB: &str = "/api/v1/jobs/{name}";
    vec![
        get(login::PAGE, "page", "The status page, which asks for a token itself").open().text("text/html"),
        get("/api/v1/jobs", "jobs", "All jobs that the token is good for").json::<Jobs>(),
        get(JOB, "job", "A job with its file").json::<JobDetail>().versioned(),
        change("put", JOB, "deploy", "Deploys a job: a new one starts, one that runs is changed task by task")
            .job(&["file", "force", "If-Match", "If-None-Match"])
            .json::<Deployed>()
            .versioned()
            .or(&[412]),
        Operation {
            role: Some(Role::Admin),
            parameters: &["If-Match", "If-None-Match"],
            code: 204,
            ..change("delete", JOB, "delete", "Forgets a stopped job")
        }
        .or(&[409, 412]),
        change("post", "/api/v1/jobs/{name}/stop", "stop", "Drains a job; answers at once").json::<Stopped>(),
        get("/api/v1/jobs/{name}/why", "why", "Why each task is where it is, or waits").json::<WhyView>(),
        get("/api/v1/jobs/{name}/lag", "lag", "Lag by partition").json::<LagView>(),
        change("post", "/api/v1/plan", "plan", "What would be placed where; changes nothing")
            .job(&["file"])
            .json::<PlanView>()
            .or(&[502]),
        get("/api/v1/sd", "targets", "Executors' metrics, for Prometheus' HTTP service discovery")
            .json::<Vec<SdTarget>>(),
        Operation {
            role: Some(Role::Admin),
            ..get(login::STATE, "backup", "A backup of all that the leader has stored, for `millstream state restore`")
        }
        .text("application/jsonl")
        .or(&[429]),
    ]
}

fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation { role: Some(Role::Read), body: Body::None, ..change("get", path, id, summary) }
}

fn change(method: &'static str, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation {
        method,
        path,
        id,
        summary,
        role: Some(Role::Operate),
        body: Body::Empty,
        parameters: &[],
        code: 200,
        answer: Answer::None,
        header: None,
        also: None,
        others: &[],
    }
}

impl Operation {
    fn open(self) -> Self {
        Operation { role: None, ..self }
    }

    fn json<T: JsonSchema>(self) -> Self {
        Operation { answer: Answer::Json(SchemaGenerator::subschema_for::<T>), ..self }
    }

    fn text(self, kind: &'static str) -> Self {
        Operation { answer: Answer::Text(kind), ..self }
    }

    fn versioned(self) -> Self {
        Operation { header: Some("ETag"), ..self }
    }

    fn job(self, parameters: &'static [&'static str]) -> Self {
        Operation { body: Body::Job, parameters, ..self }
    }

    fn or(self, others: &'static [u16]) -> Self {
        Operation { others, ..self }
    }

    /// Names of what stands in its path.
    pub(super) fn in_path(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// All statuses of what is no success.
    pub(super) fn failures(&self, of_leader: bool) -> BTreeSet<u16> {
        // Requests that name no host, come from another site's page, come too slowly, or are for another host.
        let mut codes = BTreeSet::from([400, 403, 408, 421]);
        codes.extend(self.others);
        codes.extend(self.role.map(|_| 401));
        codes.extend(self.in_path().find(|name| *name == "name").map(|_| 404));
        if of_leader {
            codes.extend([307, 503]);
        }
        if self.body != Body::None {
            codes.extend([415, 500]);
        }
        if self.body == Body::Job {
            codes.extend([413, 422, 429, 504]);
        }
        codes
    }
}
