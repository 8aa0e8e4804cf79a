//! What a job is refused for, or warned of, though its file is right: it is about what else there is.

use millstream_spec::{CassandraSink, JobSpec, KafkaSource};
use serde::Serialize;

use crate::{
    State,
    records::{JobPhase, JobRecord},
};

/// Why a job cannot be deployed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// For people, one line.
    pub reason: String,
    /// What they can do about it.
    pub remedy: &'static str,
}

/// Why this version of a job cannot be deployed here; none when it can.
pub fn refusal(state: &State, spec: &JobSpec) -> Option<Refusal> {
    if spec.tasks.volume_bytes.is_some() && state.settings.framework.role == "*" {
        return Some(Refusal {
            reason: "a persistent volume needs disk reserved for a role, and nothing can be reserved for role *".into(),
            remedy: "leave out `tasks.volume`, or give the scheduler a role of its own",
        });
    }
    let alike = |source: &KafkaSource| source.group == spec.source.group && source.topic == spec.source.topic;
    let consumes = |job: &JobRecord| versions(job).any(|version| alike(&version.source));
    // Two that do so already, from a time when nobody looked: no reason to refuse to mend one.
    if running(state, &spec.name.0).any(consumes) {
        return None;
    }
    let (other, _) = others(state, &spec.name.0).find(|(_, job)| consumes(job))?;
    let KafkaSource { topic, group, .. } = &spec.source;
    Some(Refusal {
        reason: format!(
            "job {other} consumes topic {topic} in group {group}: each would pass over what the other has read"
        ),
        remedy: "give it a `group` of its own in [source.kafka], or stop the other job first",
    })
}

/// Another job that writes to the same table; none when there is none. Two may, as long as their keys differ.
pub fn table_shared_with(state: &State, spec: &JobSpec) -> Option<String> {
    let same = |sink: &CassandraSink| sink.keyspace == spec.sink.keyspace && sink.table == spec.sink.table;
    let mut others = others(state, &spec.name.0);
    others.find(|(_, job)| versions(job).any(|version| same(&version.sink))).map(|(name, _)| name.clone())
}

/// All that a job runs, or may run without another deploy.
fn versions(job: &JobRecord) -> impl Iterator<Item = &JobSpec> {
    let next = job.next.iter().map(|next| &next.spec);
    std::iter::once(&job.spec).chain(next).chain(job.good().map(|good| &good.spec))
}

fn running<'a>(state: &'a State, name: &'a String) -> impl Iterator<Item = &'a JobRecord> {
    state.store.job(name).into_iter().filter(|job| job.phase != JobPhase::Stopped)
}

fn others<'a>(state: &'a State, name: &'a str) -> impl Iterator<Item = (&'a String, &'a JobRecord)> {
    state.store.jobs().iter().filter(move |(other, job)| *other != name && job.phase != JobPhase::Stopped)
}
