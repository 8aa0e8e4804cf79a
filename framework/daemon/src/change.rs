//! What is changed about a deployed job, for people: before it happens and after.

use std::time::Duration;

use millstream_scheduler::{
    Change, Refusal, State, change, refusal, table_shared_with,
    views::{self, RolloutState, RolloutView, counted},
};
use millstream_spec::JobSpec;
use similar::TextDiff;

use crate::{access::Token, api::ChangeView, quota::Quotas};

/// After this time a difference is no longer the smallest one: it is found while the scheduler's loop stands still.
const DIFF_WITHIN: Duration = Duration::from_millis(100);

/// Unchanged lines shown around each change.
const CONTEXT_LINES: usize = 3;

/// What a deploy would meet, seen at one moment.
pub(crate) struct Standing {
    /// None for a job that is not deployed, and when nothing differs.
    pub(crate) change: Option<ChangeView>,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) warnings: Vec<String>,
    /// Jobs of which whoever asks is not told, not even their names.
    pub(crate) hidden: Vec<String>,
}

impl Standing {
    /// The text without the names of jobs that are hidden.
    pub(crate) fn veiled(&self, text: &str) -> String {
        let veil = |text: String, job: &String| text.replace(&format!("job {job} "), "another job ");
        self.hidden.iter().fold(text.to_owned(), veil)
    }
}

/// What deploying a file would meet.
pub(crate) fn standing(
    state: &State,
    who: &Token,
    quotas: &Quotas,
    (spec, partitions): (&JobSpec, usize),
    file_name: &str,
    text: &str,
) -> Standing {
    let change = of(state, spec, file_name, text);
    let names = views::jobs(state).into_iter().map(|job| job.name);
    let hidden = names.filter(|name| !who.may_see(name)).collect();
    let warnings = [shared_table(state, spec), unproven(state, spec, change.as_ref())].into_iter().flatten().collect();
    let refusal = refusal(state, spec).or_else(|| quotas.refusal(state, spec, partitions));
    let mut standing = Standing { change, refusal, warnings, hidden };
    standing.warnings = standing.warnings.iter().map(|text| standing.veiled(text)).collect();
    standing.refusal = standing.refusal.take().map(|it| Refusal { reason: standing.veiled(&it.reason), ..it });
    standing
}

fn shared_table(state: &State, spec: &JobSpec) -> Option<String> {
    let other = table_shared_with(state, spec)?;
    let (keyspace, table) = (&spec.sink.keyspace, &spec.sink.table);
    Some(format!("job {other} writes to {keyspace}.{table} too: of two rows with one key, either may stay"))
}

/// What a failing version goes back to is what ran well before, not the one that was deployed last.
fn unproven(state: &State, spec: &JobSpec, change: Option<&ChangeView>) -> Option<String> {
    let (Change::Roll { .. } | Change::Restart { .. }) = change?.what else { return None };
    let RolloutView { state, from, .. } = views::job(state, &spec.name.0)?.rollout?;
    matches!(state, RolloutState::Rolling | RolloutState::Restarting).then(|| {
        format!("the change under way has not proven itself: if this one fails, the job goes back to generation {from}, before both")
    })
}

fn of(state: &State, spec: &JobSpec, file_name: &str, text: &str) -> Option<ChangeView> {
    let deployed = views::job_toml(state, &spec.name.0)?;
    let diff = diff(&spec.name.0, &deployed, file_name, text)?;
    let what = change(state, spec, text);
    Some(ChangeView { diff, effect: effect(what), what })
}

/// Does it end tasks that run?
pub(crate) fn drains(change: Change) -> bool {
    matches!(change, Change::Roll { tasks, .. } | Change::Restart { tasks, .. } if tasks > 0)
}

/// From the deployed text of a job to that of a file; none when they are the same.
fn diff(job: &str, deployed: &str, file_name: &str, text: &str) -> Option<String> {
    if deployed == text {
        return None;
    }
    let diff = TextDiff::configure().timeout(DIFF_WITHIN).diff_lines(deployed, text);
    let header = (format!("{job} as deployed"), file_name);
    Some(diff.unified_diff().context_radius(CONTEXT_LINES).header(&header.0, header.1).to_string())
}

fn effect(change: Change) -> String {
    match change {
        Change::Start { generation } => format!("it would start (generation {generation})"),
        Change::Nothing => "nothing would change".into(),
        Change::TextOnly => "only the text differs: nothing would restart".into(),
        Change::Roll { generation, tasks } => format!(
            "task by task, {tasks} in all, would drain and start as now written (generation {generation}), and go back if the \
             new version fails"
        ),
        Change::Restart { generation, tasks } => {
            let tasks = counted(tasks, "task");
            format!("{tasks} would drain, then the job starts as now written (generation {generation})")
        }
        Change::TakeBack { generation, tasks } => {
            let tasks = counted(tasks, "task");
            format!("the change under way would be taken back on {tasks} (generation {generation})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_unified_diff_with_the_names_of_both_sides() {
        assert_eq!(diff("flights", "a = 1\n", "jobs/flights.toml", "a = 1\n"), None);
        let found = diff("flights", "a = 1\nb = 2\n", "jobs/flights.toml", "a = 1\nb = 3\n").expect("a change");
        let expected = "\
--- flights as deployed
+++ jobs/flights.toml
@@ -1,2 +1,2 @@
 a = 1
-b = 2
+b = 3
";
        assert_eq!(found, expected);
    }
}
