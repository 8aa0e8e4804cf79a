//! `PUT /api/v1/jobs/{name}`: checks a job alone and live, and only then hands it to the scheduler.

use std::sync::{Arc, OnceLock};

use axum::{
    Extension, Json,
    extract::{Path, Query, State as Shared},
    http::{HeaderMap, StatusCode, header},
};
use millstream_scheduler::{Begun, Input, Refusal, Reply, views};
use millstream_spec::{Diagnostics, JobSpec, Severity};
use millstream_topology::{CassandraError, blocks};

use serde::Deserialize;

use super::{Api, Failure, JobText, Who, precondition};
use crate::{
    api::{DeployOutcome, Deployed, DiagnosticView, ErrorBody},
    chain,
    change::{self, Standing},
    driver::{Condition, Seen},
    plan,
    quota::Quotas,
};

/// Longest name of a file in a message; only its end is shown of a longer one.
const FILE_NAME_CHARS_MAX: usize = 256;

/// What the person calls the job file.
#[derive(Deserialize)]
pub(crate) struct Named {
    file: Option<String>,
}

impl Named {
    /// The file's name in messages, one line of printable characters; `otherwise` when it is not said.
    pub(crate) fn or(self, otherwise: &str) -> String {
        let name = self.file.unwrap_or_default();
        let printable: Vec<char> = name.chars().filter(|c| !c.is_control()).collect();
        match printable.len() {
            0 => otherwise.to_owned(),
            len => printable[len.saturating_sub(FILE_NAME_CHARS_MAX)..].iter().collect(),
        }
    }
}

/// Whether a change is made that cannot be placed.
#[derive(Deserialize)]
pub(super) struct Force {
    #[serde(default)]
    force: bool,
}

pub(super) async fn put(
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
    Query(named): Query<Named>,
    Query(Force { force }): Query<Force>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    JobText(toml): JobText,
) -> Result<(HeaderMap, Json<Deployed>), Failure> {
    let only_if = precondition::of(&headers, &name)?;
    let shown = named.or(&format!("{name}.toml"));
    let checked = api.offline(&shown, &toml).await?;
    let spec = checked.file.spec.clone();
    if spec.name.0 != name {
        let error = format!("the file describes the job {}, not {name}", spec.name);
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error, "deploy it under its own name"));
    }
    api.within_reach(&checked).await?;
    let partitions = api.checks().live(&checked).await?.partitions;
    api.within_quotas(&spec, partitions).await?;
    let lacks = plan::lacks_now(api.session(), &spec, &api.settings().await?).await;
    let begun = begun(&spec).await.map_err(|error| {
        let remedy = format!("{}; or create the table yourself (docs/operating.md)", error.remedy());
        Failure::new(StatusCode::UNPROCESSABLE_ENTITY, chain(&error), remedy)
    })?;
    let standing = api.standing(&who, (&spec, partitions), &shown, &toml).await?;
    let drains = standing.change.as_ref().is_some_and(|change| change::drains(change.what));
    // A new job may wait for agents to come; one that runs is not drained for what can only be taken back.
    if let (Ok(Some(lacks)), true, false) = (&lacks, drains, force) {
        return Err(no_room(lacks));
    }
    let (only_if, over) = within(api.quotas(), &spec, partitions, only_if);
    let reply = api.act_if(Some(only_if), Input::Deploy { spec: Box::new(spec), toml, begun }).await?;
    let reply = reply.ok_or_else(|| match over.get() {
        Some(refusal) => refused_here(refusal.clone()),
        None => precondition::failed(&name),
    })?;
    let asked = name.clone();
    let now = api.read(move |seen| (views::job(seen.state, &asked), views::job_version(seen.state, &asked)));
    let (now, version) = now.await?;
    let current = now.map_or(0, |job| job.next_generation.unwrap_or(job.generation));
    let (outcome, generation) = match reply {
        Reply::Started { generation } => (DeployOutcome::Started, generation),
        Reply::Updating { generation, rolling: true, .. } => (DeployOutcome::Rolling, generation),
        Reply::Updating { generation, .. } => (DeployOutcome::Updating, generation),
        Reply::TextOnly => (DeployOutcome::TextOnly, current),
        Reply::Refused(it) => return Err(refused_here(Refusal { reason: standing.veiled(&it.reason), ..it })),
        _ => (DeployOutcome::Unchanged, current),
    };
    let Standing { change, mut warnings, .. } = standing;
    warnings.splice(0..0, checked.file.warnings.items().iter().map(|warning| warning.message.clone()));
    if !matches!(outcome, DeployOutcome::Unchanged | DeployOutcome::TextOnly) {
        warnings.extend(match lacks {
            Ok(lacks) => lacks.map(|lacks| plan::never_placed(&lacks)),
            Err(why) => drains.then(|| format!("whether any agent could hold it as now written is not known: {why}")),
        });
    }
    warnings.extend(api.without_master().await);
    let mut headers = HeaderMap::new();
    headers.extend(version.map(|version| (header::ETAG, precondition::tag(&version))));
    Ok((headers, Json(Deployed { job: name, outcome, generation, change, warnings })))
}

/// The same condition and the quotas, which others may have filled meanwhile; and where it is said when one does not hold.
fn within(
    quotas: Quotas,
    spec: &JobSpec,
    partitions: usize,
    only_if: Option<Condition>,
) -> (Condition, Arc<OnceLock<Refusal>>) {
    let (spec, over) = (spec.clone(), Arc::new(OnceLock::new()));
    let said = over.clone();
    let holds = move |seen: &Seen<'_>| match quotas.refusal(seen.state, &spec, partitions) {
        Some(refusal) => said.set(refusal).is_err(),
        None => only_if.is_none_or(|only_if| only_if(seen)),
    };
    (Box::new(holds), over)
}

fn no_room(lacks: &str) -> Failure {
    let remedy = "nothing was changed; let its tasks ask for less, or for other agents; `deploy --force` changes it all the same (agents that can hold it may come)";
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, plan::never_placed(lacks), remedy)
}

/// Makes the table of timestamp blocks, and asks it what it knows of the job. Only the scheduler makes it: Cassandra does not
/// bear two processes that change the schema at once.
async fn begun(spec: &JobSpec) -> Result<Option<Begun>, CassandraError> {
    let session = blocks::connect_with_table(&spec.sink).await?;
    let begun = blocks::begun(&session, spec).await?;
    Ok(begun.map(|begun| Begun { generation: begun.generation, is_same: begun.meaning == spec.meaning() }))
}

/// A job that is right, but not here.
pub(crate) fn refused_here(Refusal { reason, remedy }: Refusal) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, reason, format!("nothing was changed; {remedy}"))
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
        more => format!("{} faults in {}", more.len(), found.file()),
    };
    let remedy = Some("nothing was changed; mend the file and deploy it again".to_owned());
    Failure { status: StatusCode::UNPROCESSABLE_ENTITY, body: ErrorBody { error, remedy, diagnostics } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_what_the_person_calls_it_in_one_line() {
        let shown = |file: Option<&str>| Named { file: file.map(str::to_owned) }.or("flights.toml");
        assert_eq!(shown(Some("jobs/my flights.toml")), "jobs/my flights.toml");
        assert_eq!(shown(Some("a\u{1b}[2J\nb")), "a[2Jb");
        assert_eq!((shown(None), shown(Some("\n"))), ("flights.toml".into(), "flights.toml".into()));
        assert_eq!(shown(Some(&"x".repeat(1_000))).len(), FILE_NAME_CHARS_MAX);
    }
}
