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
    let consuming: Vec<&String> = running(state).filter(|(_, job)| consumes(job)).map(|(name, _)| name).collect();
    // Two that do so already, from a time when nobody looked: no reason to refuse to mend one.
    let other = consuming.first().filter(|_| !consuming.contains(&&spec.name.0))?;
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
    let mut others = running(state).filter(|(name, _)| **name != spec.name.0);
    others.find(|(_, job)| versions(job).any(|version| same(&version.sink))).map(|(name, _)| name.clone())
}

/// All that a job runs, or may run without another deploy.
fn versions(job: &JobRecord) -> impl Iterator<Item = &JobSpec> {
    let next = job.next.iter().map(|next| &next.spec);
    std::iter::once(&job.spec).chain(next).chain(job.good().map(|good| &good.spec))
}

fn running(state: &State) -> impl Iterator<Item = (&String, &JobRecord)> {
    state.store.jobs().iter().filter(|(_, job)| job.phase != JobPhase::Stopped)
}
