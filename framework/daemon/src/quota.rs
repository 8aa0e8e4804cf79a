//! How much of jobs and tasks there may be (`[jobs.quotas]`). Quotas bound what comes: what is deployed already runs on, and may be
//! changed as long as it takes no more than it has.

use millstream_scheduler::{Refusal, State, records::JobPhase, views};
use millstream_spec::{JobSpec, TaskCount};
use serde::Deserialize;

use crate::config::read::size;

/// `[jobs.quotas]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Jobs, stopped ones too.
    pub jobs: usize,
    /// Size of one job file, in bytes.
    #[serde(rename = "file", deserialize_with = "size")]
    pub file_bytes: u64,
    /// Tasks of one job.
    pub tasks_of_job: usize,
    /// Tasks of all jobs.
    pub tasks: usize,
}

impl Quotas {
    /// Why a job file is too large; none when it is not.
    pub(crate) fn file_refusal(&self, text: &str) -> Option<Refusal> {
        let (bytes, most) = (text.len() as u64, self.file_bytes);
        (bytes > most).then(|| Refusal {
            reason: format!("the job file has {bytes} bytes, and this scheduler takes {most}"),
            remedy: "make it smaller, or ask whoever runs the scheduler: `file` in [jobs.quotas] of its settings",
        })
    }

    /// Why this version of a job would be too much, with a topic of so many partitions; none when it is not.
    pub(crate) fn refusal(&self, state: &State, spec: &JobSpec, partitions: usize) -> Option<Refusal> {
        let jobs = views::jobs(state);
        let is_new = jobs.iter().all(|job| job.name != spec.name.0);
        if is_new && jobs.len() >= self.jobs {
            return Some(Refusal {
                reason: format!(
                    "there are {} already, and this scheduler takes {}",
                    views::counted(jobs.len(), "job"),
                    self.jobs
                ),
                remedy: "delete one that is not needed, or ask whoever runs the scheduler: `jobs` in [jobs.quotas] of its settings",
            });
        }
        let (own, others): (Vec<_>, Vec<_>) = jobs
            .iter()
            .filter(|job| job.phase != JobPhase::Stopped)
            // A job whose partitions are not known yet has no slots.
            .map(|job| (job.name == spec.name.0, job.slots.max(1)))
            .partition(|(is_own, _)| *is_own);
        let sum = |jobs: Vec<(bool, usize)>| jobs.iter().map(|(_, tasks)| tasks).sum::<usize>();
        let (has, others, wants) = (sum(own), sum(others), tasks(spec, partitions));
        if wants <= has {
            return None;
        }
        let wanted = views::counted(wants, "task");
        if wants > self.tasks_of_job {
            return Some(Refusal {
                reason: format!(
                    "the job would have {wanted}, and this scheduler takes {} of one job",
                    self.tasks_of_job
                ),
                remedy: "say a smaller `count` in [tasks], or ask whoever runs the scheduler: `tasks_of_job` in [jobs.quotas] of its settings",
            });
        }
        (others + wants > self.tasks).then(|| Refusal {
            reason: format!("the job would have {wanted} beside {others} of others, and this scheduler takes {} in all", self.tasks),
            remedy: "say a smaller `count` in [tasks], stop a job that is not needed, or ask whoever runs the scheduler: `tasks` in [jobs.quotas] of its settings",
        })
    }
}

/// Tasks of a job of this topic.
fn tasks(spec: &JobSpec, partitions: usize) -> usize {
    match spec.tasks.count {
        TaskCount::PerPartition => partitions,
        TaskCount::Fixed(count) => partitions.min(count as usize),
    }
}

#[cfg(test)]
mod tests {
    use millstream_placement::{JobTopology, Replicas};
    use millstream_scheduler::{Input, Now, step};
    use serde_json::json;

    use super::*;

    fn spec(name: &str, count: serde_json::Value) -> JobSpec {
        let spec = json!({
            "name": name,
            "source": { "bootstrap": ["127.0.0.1:1"], "topic": name, "group": name },
            "columns": [{ "name": "id", "type": "int", "path": ["id"] }],
            "transform": { "sql": "SELECT id FROM input" },
            "sink": { "contact_points": ["127.0.0.1:1"], "keyspace": "demo", "table": "t" },
            "tasks": { "count": count, "cpus": 0.5, "mem_bytes": 256 << 20 },
            "placement": { "goal": "any" },
        });
        serde_json::from_value(spec).expect("a job")
    }

    fn fixed(name: &str, count: u32) -> JobSpec {
        spec(name, serde_json::to_value(TaskCount::Fixed(count)).expect("JSON"))
    }

    /// Two jobs of 4 tasks each.
    fn state() -> State {
        let mut state = State::new(Default::default());
        let now = Now { mono_ms: 0, wall_ms: 1 };
        for name in ["a", "b"] {
            let partitions = (0..8).map(|partition| (partition, Replicas::default())).collect();
            let topology = JobTopology { partitions, ..JobTopology::default() };
            let spec = Box::new(fixed(name, 4));
            step(&mut state, Input::Deploy { spec, toml: name.into(), begun: None }, now);
            step(&mut state, Input::Topology { job: name.into(), topology }, now);
        }
        assert!(views::jobs(&state).iter().all(|job| job.slots == 4));
        state
    }

    #[test]
    fn what_comes_is_bounded_and_what_is_there_may_stay_as_large_as_it_is() {
        let state = state();
        let said = |quotas: Quotas, spec: &JobSpec, partitions| {
            let refusal = quotas.refusal(&state, spec, partitions);
            refusal.map(|Refusal { reason, remedy }| format!("{reason}; {remedy}")).unwrap_or_default()
        };
        let wide = Quotas { jobs: 3, file_bytes: 1, tasks_of_job: 8, tasks: 16 };
        let per_partition = spec("c", serde_json::to_value(TaskCount::PerPartition).expect("JSON"));
        assert_eq!(said(wide, &per_partition, 8), "");
        assert_eq!(said(wide, &fixed("c", 10_000), 8), "", "no more tasks than partitions");

        let text = said(Quotas { jobs: 2, ..wide }, &per_partition, 1);
        assert!(
            text.starts_with("there are 2 jobs already, and this scheduler takes 2; ")
                && text.contains("`jobs` in [jobs.quotas]"),
            "{text}"
        );
        let text = said(wide, &per_partition, 9);
        assert!(text.starts_with("the job would have 9 tasks, and this scheduler takes 8 of one job; "), "{text}");
        let text = said(Quotas { tasks: 15, ..wide }, &per_partition, 8);
        assert!(
            text.starts_with("the job would have 8 tasks beside 8 of others, and this scheduler takes 15 in all; "),
            "{text}"
        );

        // Quotas that came later than the jobs.
        let narrow = Quotas { jobs: 1, file_bytes: 1, tasks_of_job: 1, tasks: 1 };
        for (count, may) in [(3, true), (4, true), (5, false)] {
            assert_eq!(said(narrow, &fixed("a", count), 8).is_empty(), may, "{count}");
        }
        assert!(narrow.file_refusal("x").is_none() && narrow.file_refusal("xx").is_some());
    }
}
