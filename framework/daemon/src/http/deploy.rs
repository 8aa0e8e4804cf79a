//! `PUT /api/v1/jobs/{name}`: checks a job alone and live, and only then hands it to the scheduler.

use axum::{
    Json,
    extract::{Path, State as Shared},
    http::StatusCode,
};
use millstream_scheduler::{Input, Reply, views};
use millstream_spec::{CassandraSink, Diagnostics, Severity};
use millstream_topology::{
    CassandraError, blocks,
    cassandra::{Near, connect},
};

use super::{Answer, Api, Failure};
use crate::{
    api::{DeployOutcome, Deployed, DiagnosticView, ErrorBody},
    chain, check,
};

pub(super) async fn put(Shared(api): Shared<Api>, Path(name): Path<String>, toml: String) -> Answer<Deployed> {
    let shown = format!("{name}.toml");
    let checked = check::offline(&shown, &toml).map_err(|found| refused(&found))?;
    let spec = checked.file.spec.clone();
    if spec.name.0 != name {
        let error = format!("the file describes the job {}, not {name}", spec.name);
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error, "deploy it under its own name"));
    }
    check::live(&checked).await.map_err(|found| refused(&found))?;
    ensure_blocks_table(&spec.sink).await.map_err(|error| {
        let remedy = format!("{}; or create the table yourself (docs/operating.md)", error.remedy());
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, chain(&error), remedy)
    })?;
    let reply = api.act(Input::Deploy { spec: Box::new(spec), toml }).await?;
    let asked = name.clone();
    let now = api.read(move |seen| views::job(seen.state, &asked)).await?;
    let current = now.map_or(0, |job| job.next_generation.unwrap_or(job.generation));
    let (outcome, generation) = match reply {
        Reply::Started { generation } => (DeployOutcome::Started, generation),
        Reply::Updating { generation, rolling: true, .. } => (DeployOutcome::Rolling, generation),
        Reply::Updating { generation, .. } => (DeployOutcome::Updating, generation),
        Reply::TextOnly => (DeployOutcome::TextOnly, current),
        _ => (DeployOutcome::Unchanged, current),
    };
    let warnings = checked.file.warnings.items().iter().map(|warning| warning.message.clone()).collect();
    Ok(Json(Deployed { job: name, outcome, generation, warnings }))
}

/// Only the scheduler makes the table: Cassandra does not bear two processes that change the schema at once.
async fn ensure_blocks_table(sink: &CassandraSink) -> Result<(), CassandraError> {
    let session = connect(sink, &Near::default()).await?;
    blocks::ensure_table(&session, &sink.keyspace).await
}

/// A refused job file, each fault as `millstream validate` prints it.
pub(crate) fn refused(found: &Diagnostics) -> Failure {
    let errors = found.locate().into_iter().filter(|located| located.severity == Severity::Error);
    let diagnostics: Vec<DiagnosticView> = errors
        .map(|located| DiagnosticView {
            message: located.message,
            help: located.help.into_iter().next(),
            line: Some(located.start.line),
            rendered: located.rendered,
        })
        .collect();
    let error = match diagnostics.as_slice() {
        [one] => one.message.clone(),
        more => format!("{} faults in the job file", more.len()),
    };
    let remedy = Some("nothing was changed; mend the file and deploy it again".to_owned());
    Failure { status: StatusCode::UNPROCESSABLE_ENTITY, body: ErrorBody { error, remedy, diagnostics } }
}
