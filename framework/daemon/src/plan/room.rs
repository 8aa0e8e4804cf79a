//! Whether any agent could hold a task of a job if nothing else ran there. Offers do not tell: what is too small for what
//! waits, the master leaves out.

use std::{sync::Arc, time::Duration};

use millstream_mesos::scheduler::Config as SessionConfig;
use millstream_placement::{AgentOffer, JobTopology, Reason, Resources, plan};
use millstream_scheduler::Settings;
use millstream_spec::JobSpec;
use tokio::{sync::Mutex, time::Instant};

use super::{agents::Agents, problem};
use crate::chain;

/// The agents are asked for on the way to another answer, which is not to wait long for them.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// A deployment may wait longer, for it drains tasks on the strength of the answer.
const ASK_FOR_DEPLOYMENT_WITHIN: Duration = Duration::from_secs(10);

/// The status page asks every 2 s, and the list of a big cluster is 100 MiB.
const KNOWN_FOR: Duration = Duration::from_secs(10);

/// The agents as the master told them last, with nothing on them.
#[derive(Clone, Default)]
pub(crate) struct Room {
    agents: Arc<Mutex<Option<Told>>>,
}

/// When, and what; none when it did not.
type Told = (Instant, Option<Vec<AgentOffer>>);

impl Room {
    /// Why no agent could ever hold a task of the job, for people; none when one could, and when it is not known.
    pub(crate) async fn lacks(&self, session: &SessionConfig, spec: &JobSpec, settings: &Settings) -> Option<String> {
        // Somebody else is asking already: this answer does not wait for theirs.
        let mut known = self.agents.try_lock().ok()?;
        if known.as_ref().is_none_or(|(at, _)| at.elapsed() > KNOWN_FOR) {
            let asked = tokio::time::timeout(ASK_WITHIN, Agents::ask(session, &settings.framework.role)).await;
            // Remembered also when there was no answer: a master that is slow is not to be asked at once again.
            *known = Some((Instant::now(), asked.ok().and_then(Result::ok).map(|agents| agents.whole())));
        }
        lacks(spec, settings, known.as_ref()?.1.clone()?)
    }
}

/// The same, asked for now; an error, for people, when the master does not tell its agents.
pub(crate) async fn lacks_now(
    session: &SessionConfig,
    spec: &JobSpec,
    settings: &Settings,
) -> Result<Option<String>, String> {
    let asked = tokio::time::timeout(ASK_FOR_DEPLOYMENT_WITHIN, Agents::ask(session, &settings.framework.role)).await;
    let agents = asked.map_err(|_| "the master does not answer in time".to_owned())?.map_err(|error| chain(&error))?;
    Ok(lacks(spec, settings, agents.whole()))
}

/// The same for these agents.
pub(super) fn lacks(spec: &JobSpec, settings: &Settings, agents: Vec<AgentOffer>) -> Option<String> {
    // What is lent comes and goes, and stands in no list. No agent: a master that has just begun to lead.
    if spec.tasks.revocable || agents.is_empty() {
        return None;
    }
    let problem = problem(spec, &[vec![0]], JobTopology::default(), agents, settings);
    let reason = plan(&problem).waits.into_iter().next()?.reason;
    let of = |need: Resources, have: Resources| {
        let largest = match have == Resources::default() {
            true => "no agent has any for us".into(),
            false => format!("the nearest to it of the agents it may use has {have}"),
        };
        format!("a task with its executor needs {need}, and {largest}")
    };
    let none = Resources::default();
    Some(match reason {
        Reason::Cpus { need_milli, have_milli } => {
            of(Resources { cpus_milli: need_milli, ..none }, Resources { cpus_milli: have_milli, ..none })
        }
        Reason::Mem { need_bytes, have_bytes } => {
            of(Resources { mem_bytes: need_bytes, ..none }, Resources { mem_bytes: have_bytes, ..none })
        }
        Reason::Disk { need_bytes, have_bytes } => {
            of(Resources { disk_bytes: need_bytes, ..none }, Resources { disk_bytes: have_bytes, ..none })
        }
        Reason::Constraint { constraint } => format!("no agent fulfils all its constraints, `{constraint}` among them"),
        Reason::Ports => reason.to_string(),
        // It would do at another time.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use millstream_placement::Place;

    use super::*;

    fn agent(cpus_milli: u64, mem_bytes: u64) -> AgentOffer {
        let place = Place { hosts: vec!["h".into()], ..Place::default() };
        let resources = Resources { cpus_milli, mem_bytes, ports: 10, ..Resources::default() };
        AgentOffer {
            agent: format!("a{cpus_milli}"),
            role: "r".into(),
            offer_ids: vec![],
            place,
            attributes: Default::default(),
            numbers: Default::default(),
            attributes_without_text: Default::default(),
            resources,
            reserved: Resources::default(),
            revocable: Resources::default(),
            volumes: Default::default(),
            executors_of: vec![],
            unavailable_from_ms: None,
        }
    }

    fn said(change: &str, agents: Vec<AgentOffer>) -> Option<String> {
        let job = include_str!("../../../../jobs/flights.toml").replace("cpus = 0.5", change);
        let spec = millstream_spec::parse("flights.toml", &job).expect("a job").spec;
        let mut settings = Settings { executor_cpus_milli: 100, executor_port: true, ..Settings::default() };
        settings.framework.role = "r".into();
        lacks(&spec, &settings, agents)
    }

    #[test]
    fn what_no_agent_could_ever_hold_is_said_with_the_largest_one() {
        let agents = || vec![agent(4_000, 16 << 30), agent(8_000, 16 << 30)];
        assert_eq!(said("cpus = 0.5", agents()), None);
        assert_eq!(said("cpus = 7.9", agents()), None);
        let text = said("cpus = 64", agents()).expect("too large");
        assert_eq!(
            text,
            "a task with its executor needs 64.1 cpus, and the nearest to it of the agents it may use has 8 cpus"
        );
        let text = said("cpus = 1", vec![agent(0, 16 << 30)]).expect("nothing for us");
        assert_eq!(text, "a task with its executor needs 1.1 cpus, and no agent has any for us");
        assert_eq!(said("cpus = 64\nrevocable = true", agents()), None);
        assert_eq!(said("cpus = 1", vec![]), None);
    }
}
