//! `POST /api/v1/plan`: what would be placed where if all that is free now were offered. Nothing is changed.

mod agents;
mod room;

pub(crate) use room::{Room, lacks_now};

use std::{collections::BTreeMap, fmt::Write as _};

use axum::{
    Extension, Json,
    extract::{Query, State as Shared},
    http::StatusCode,
};
use millstream_placement::{AgentOffer, JobTopology, Plan, Problem, Reason, Request, Tier, Topology, group_partitions};
use millstream_scheduler::{
    Change, Settings, guessed_bytes_per_sec, job_wishes, task_resources,
    views::{counted, plural},
};
use millstream_spec::{JobSpec, TaskCount};

use self::agents::Agents;
use crate::{
    api::{PlanView, PlannedTask, RefusedAgent},
    chain,
    change::{self, Standing},
    http::{Api, Failure, JobText, Named, Who, refused_here},
};

pub(crate) async fn post(
    Shared(api): Shared<Api>,
    Query(named): Query<Named>,
    Extension(who): Extension<Who>,
    JobText(toml): JobText,
) -> Result<Json<PlanView>, Failure> {
    let shown = named.or("job.toml");
    let checked = api.offline(&shown, &toml).await?;
    who.check(&checked.file.spec.name.0)?;
    api.within_reach(&checked).await?;
    let partitions = api.checks().live(&checked).await?.partitions;
    let unreadable = |error: &dyn std::error::Error| {
        Failure::new(StatusCode::BAD_GATEWAY, chain(error), "try again when it answers")
    };
    let topology = millstream_topology::snapshot(&checked.file.spec).await.map_err(|error| unreadable(&error))?;
    let settings = api.settings().await?;
    let standing = api.standing(&who, (&checked.file.spec, partitions), &shown, &toml).await?;
    let Standing { change, refusal, warnings, .. } = standing;
    if let Some(refusal) = refusal {
        return Err(refused_here(refusal));
    }
    let agents = Agents::ask(api.session(), &settings.framework.role).await.map_err(|error| unreadable(&error))?;
    let unchanged = change.is_none() && api.is_deployed(&checked.file.spec, &toml).await?;
    let lacks = room::lacks(&checked.file.spec, &settings, agents.whole());
    let mut view =
        PlanView { change, unchanged, warnings, ..view(&checked.file.spec, topology, agents.free(), &settings) };
    if let Some(lacks) = lacks {
        let refused = view.change.as_ref().is_some_and(|change| change::drains(change.what));
        let refused = if refused { "; `deploy` refuses the change without --force" } else { "" };
        view.warnings.push(never_placed(&lacks) + refused);
    }
    view.text = match view.change.as_ref().map(|change| change.what) {
        _ if unchanged => format!("{0}: no change, it is deployed as written; see `millstream why {0}`\n", view.job),
        Some(Change::TextOnly) => format!("{0}: its tasks stay where they are; see `millstream why {0}`\n", view.job),
        _ => text(&view),
    };
    for warning in &view.warnings {
        let _ = writeln!(view.text, "warning: {warning}");
    }
    Ok(Json(view))
}

/// Said at a deploy, and before it.
pub(crate) fn never_placed(lacks: &str) -> String {
    format!("as the cluster is, no task of it will ever be placed: {lacks}")
}

fn view(spec: &JobSpec, topology: JobTopology, agents: Vec<AgentOffer>, settings: &Settings) -> PlanView {
    let job = spec.name.0.clone();
    let count = match spec.tasks.count {
        TaskCount::PerPartition => None,
        TaskCount::Fixed(count) => Some(count as usize),
    };
    let groups = group_partitions(&topology, count);
    let partitions = topology.partitions.len();
    let problem = problem(spec, &groups, topology, agents, settings);
    let plan = millstream_placement::plan(&problem);
    let hosts: BTreeMap<&str, String> = problem.offers.iter().map(|o| (o.agent.as_str(), host(o))).collect();
    let tasks: Vec<PlannedTask> =
        groups.iter().enumerate().map(|(i, partitions)| task(&plan, &hosts, &i.to_string(), partitions)).collect();
    let agents_refused = plan.declines.iter().map(|d| RefusedAgent {
        agent: d.agent.clone(),
        host: hosts.get(d.agent.as_str()).cloned().unwrap_or_default(),
        reason: d.reason.to_string(),
    });
    let agents_refused = agents_refused.collect::<Vec<_>>();
    let mut bytes_by_tier = BTreeMap::new();
    for (tier, bytes) in plan.launches.iter().flat_map(|l| &l.bytes_by_tier) {
        *bytes_by_tier.entry(*tier).or_insert(0.0) += bytes;
    }
    let cost = plan.launches.iter().map(|l| l.cost).sum();
    PlanView {
        job,
        change: None,
        unchanged: false,
        warnings: vec![],
        partitions,
        tasks,
        agents_refused,
        bytes_by_tier,
        cost,
        plan,
        text: String::new(),
    }
}

/// These groups of the job's partitions are to be placed on these agents.
fn problem(
    spec: &JobSpec,
    groups: &[Vec<i32>],
    topology: JobTopology,
    agents: Vec<AgentOffer>,
    settings: &Settings,
) -> Problem {
    let job = spec.name.0.clone();
    let request = |(i, partitions): (usize, &Vec<i32>)| Request {
        id: i.to_string(),
        job: job.clone(),
        partitions: partitions.clone(),
        resources: task_resources(spec),
        bytes_in_per_sec: guessed_bytes_per_sec(partitions.len()),
        // All that is free is on the table: there is nothing to wait for.
        wait_from_ms: 0,
        deadline_ms: 0,
        not_before_ms: 0,
        avoid_agents: vec![],
        revocable: spec.tasks.revocable,
        volume: None,
    };
    Problem {
        now_ms: 0,
        jobs: BTreeMap::from([(job.clone(), job_wishes(spec, settings))]),
        requests: groups.iter().enumerate().map(request).collect(),
        offers: agents,
        placed: vec![],
        topology: Topology { jobs: BTreeMap::from([(job.clone(), topology)]) },
        distances: settings.distances,
        launches_max: usize::MAX,
    }
}

fn host(offer: &AgentOffer) -> String {
    offer.place.hosts.first().cloned().unwrap_or_else(|| offer.agent.clone())
}

fn task(plan: &Plan, hosts: &BTreeMap<&str, String>, id: &str, partitions: &[i32]) -> PlannedTask {
    let partitions = partitions.to_vec();
    if let Some(launch) = plan.launches.iter().find(|l| l.request == id) {
        return PlannedTask {
            partitions,
            host: hosts.get(launch.agent.as_str()).cloned(),
            agent: Some(launch.agent.clone()),
            source_tier: Some(launch.source_tier),
            sink_tier: Some(launch.sink_tier),
            cost: Some(launch.cost),
            reason: format!("records from {}, rows to {}", place(launch.source_tier), place(launch.sink_tier)),
        };
    }
    let reason = plan.waits.iter().find(|w| w.request == id).map_or(Reason::NoOffers, |w| w.reason.clone());
    PlannedTask {
        partitions,
        host: None,
        agent: None,
        source_tier: None,
        sink_tier: None,
        cost: None,
        reason: reason.to_string(),
    }
}

fn place(tier: Tier) -> String {
    if tier == Tier::Any { "elsewhere".to_owned() } else { format!("the {tier}") }
}

fn text(view: &PlanView) -> String {
    let PlanView { job, partitions, tasks, agents_refused, .. } = view;
    let placed = tasks.iter().filter(|t| t.host.is_some()).count();
    let (partitions, count) = (counted(*partitions, "partition"), counted(tasks.len(), "task"));
    let mut text = format!("{job}: {partitions} in {count}, {placed} would be placed\n");
    for task in tasks {
        let host = task.host.as_deref().unwrap_or("waits");
        let partitions: Vec<String> = task.partitions.iter().map(ToString::to_string).collect();
        let noun = plural(partitions.len(), "partition");
        let _ = writeln!(text, "  {host:<16} {} ({noun} {})", task.reason, partitions.join(" "));
    }
    for agent in agents_refused {
        let _ = writeln!(text, "  {:<16} gets nothing: {}", agent.host, agent.reason);
    }
    text
}
