use millstream_mesos_types::{FrameworkId, scheduler::Call};

use super::world::*;
use crate::{records::JobPhase, *};

fn phase(world: &World) -> JobPhase {
    world.state.store.job(&JOB.to_owned()).expect("the job").phase
}

fn generation(world: &World) -> u64 {
    world.state.store.job(&JOB.to_owned()).expect("the job").generation
}

#[test]
fn the_same_text_changes_nothing() {
    let mut world = World::running(3);
    let effects = world.deploy(job());
    assert_eq!((effects.reply, effects.records.len(), effects.calls.len()), (Some(Reply::Unchanged), 0, 0));
}

#[test]
fn a_topic_in_one_group_is_consumed_by_one_job_at_a_time() {
    let mut world = World::running(3);
    let mut other = job();
    other.name = millstream_spec::JobName("other".into());
    other.sink.table = "other".into();
    let refused = world.deploy(other.clone());
    assert!(refused.records.is_empty());
    let Some(Reply::Refused(Refusal { reason, .. })) = refused.reply else { panic!("{:?}", refused.reply) };
    assert_eq!(
        reason,
        "job flights consumes topic flights in group flights: each would pass over what the other has read"
    );
    assert_eq!(world.deploy(job()).reply, Some(Reply::Unchanged), "its own group is no hindrance");

    let mut elsewhere = other.clone();
    elsewhere.source.group = "other".into();
    assert_eq!((refusal(&world.state, &elsewhere), table_shared_with(&world.state, &elsewhere)), (None, None));
    elsewhere.sink.table = job().sink.table;
    assert_eq!(table_shared_with(&world.state, &elsewhere).as_deref(), Some(JOB));

    world.input(Input::Stop { job: JOB.into() });
    assert!(matches!(world.deploy(other.clone()).reply, Some(Reply::Refused(_))), "what drains still commits");
    world.live(60);
    assert_eq!(world.deploy(other).reply, Some(Reply::Started { generation: 1 }));
    assert!(matches!(world.deploy(job()).reply, Some(Reply::Refused(_))), "now it is the other's");
}

#[test]
fn other_comments_restart_nothing() {
    let mut world = World::running(3);
    let effects = world.input(Input::Deploy { spec: Box::new(job()), toml: "# new".into(), begun: None });
    assert_eq!((effects.reply, effects.calls.len()), (Some(Reply::TextOnly), 0));
    assert_eq!(views::job_toml(&world.state, JOB).as_deref(), Some("# new"));
}

#[test]
fn more_memory_keeps_the_generation_and_another_meaning_does_not() {
    for (change, next, rolling) in [
        ((|spec| spec.tasks.mem_bytes *= 2) as fn(&mut millstream_spec::JobSpec), 1, true),
        (|spec| spec.placement.max_wait_ms = 0, 1, true),
        (|spec| spec.errors.bad_record = millstream_spec::BadRecord::Skip, 1, true),
        (|spec| spec.transform.sql = "SELECT 1 AS id FROM input".into(), 2, true),
        (|spec| spec.columns[0].required = true, 2, true),
        (|spec| spec.sink.table = "other".into(), 2, true),
        (|spec| spec.source.topic = "other".into(), 2, false),
        (|spec| spec.tasks.count = millstream_spec::TaskCount::Fixed(3), 1, false),
    ] {
        let mut world = World::running(3);
        let mut spec = job();
        change(&mut spec);
        let effects = world.deploy(spec);
        assert_eq!(effects.reply, Some(Reply::Updating { generation: next, rolling, tasks: 3 }));
        assert_eq!(World::kills(&effects).len(), if rolling { 1 } else { 3 }, "drained with grace");
        assert_eq!(phase(&world), if rolling { JobPhase::Running } else { JobPhase::Draining });
        world.deliver();
        world.topology(3);
        world.live(60);
        assert_eq!((phase(&world), generation(&world)), (JobPhase::Running, next));
        let view = views::job(&world.state, JOB).expect("the job");
        assert_eq!((view.running, view.rollout), (3, None));
        assert_eq!(world.failures(), 0);
    }
}

#[test]
fn stop_drains_and_a_deploy_starts_again() {
    let mut world = World::running(3);
    assert_eq!(world.input(Input::Stop { job: JOB.into() }).reply, Some(Reply::Stopping));
    assert_eq!(world.input(Input::Delete { job: JOB.into() }).reply, Some(Reply::NotStopped));
    world.deliver();
    assert_eq!(phase(&world), JobPhase::Stopped);
    assert_eq!(world.state.store.slots().len(), 0);
    assert_eq!(World::launches(&world.offer_all()).len(), 0);
    assert_eq!(world.input(Input::Stop { job: JOB.into() }).reply, Some(Reply::Unchanged));
    assert_eq!(world.deploy(job()).reply, Some(Reply::Started { generation: 1 }));
    assert_eq!(World::launches(&world.offer_all()).len(), 3);
}

#[test]
fn the_last_word_counts_while_a_job_drains() {
    let mut world = World::running(3);
    let mut spec = job();
    spec.tasks.count = millstream_spec::TaskCount::Fixed(1);
    world.deploy(spec);
    let reply = Reply::Updating { generation: 1, rolling: false, tasks: 3 };
    assert_eq!(world.deploy(job()).reply, Some(reply));
    assert_eq!(world.input(Input::Stop { job: JOB.into() }).reply, Some(Reply::Stopping));
    world.deliver();
    assert_eq!((phase(&world), generation(&world)), (JobPhase::Stopped, 1));
}

#[test]
fn a_stop_keeps_the_topology_that_nobody_tells_again() {
    let mut world = World::running(3);
    let mut larger = job();
    larger.tasks.mem_bytes *= 2;
    world.deploy(larger);
    world.deploy(job());
    // The same topic is watched before and after, and its watch has said all it has to say.
    world.input(Input::Stop { job: JOB.into() });
    world.deploy(job());
    world.deliver();
    assert_eq!(phase(&world), JobPhase::Running);
    assert_eq!(World::launches(&world.offer_all()).len(), 3);
}

#[test]
fn a_deleted_jobs_name_never_gets_its_generations_again() {
    let mut world = World::running(1);
    world.input(Input::Stop { job: JOB.into() });
    world.deliver();
    assert_eq!(world.input(Input::Delete { job: JOB.into() }).reply, Some(Reply::Deleted));
    assert_eq!(world.input(Input::Delete { job: JOB.into() }).reply, Some(Reply::NoSuchJob));
    world.restart();
    assert_eq!(world.deploy(job()).reply, Some(Reply::Started { generation: 2 }));
}

/// A drain that no KILL reaches, while the executor goes on reporting, for so long.
fn wedged_drain(secs: u64, breaks_every_secs: Option<u64>) -> World {
    let mut world = World::running(1);
    let executor = world.tasks[&world.task_of(0).expect("a task")].executor.clone();
    world.input_dying_before_calls(Input::Stop { job: JOB.into() });
    let report = millstream_protocol::Report { version: 1, sequence: 0, metrics_url: String::new(), tasks: vec![] };
    let data = serde_json::to_vec(&report).expect("a report");
    for second in 1..=secs {
        if breaks_every_secs.is_some_and(|every| second % every == 0) {
            world.input(Input::Disconnected);
            world.input_dying_before_calls(Input::Subscribed { framework_id: FrameworkId::new(FRAMEWORK) });
        }
        let (agent_id, executor_id) = ("agent-1".into(), executor.clone());
        world.input(Input::Message { agent_id, executor_id, data: data.clone() });
        for _ in 0..4 {
            world.now.mono_ms += 250;
            world.input_dying_before_calls(Input::Tick);
        }
    }
    world
}

fn timed_out(world: &World) -> bool {
    world.audit.iter().any(|audit| matches!(audit, Audit::TaskEnded { cause: EndCause::DrainTimeout, .. }))
}

#[test]
fn a_drain_that_does_not_end_is_given_up() {
    let mut world = wedged_drain(30, None);
    assert!(timed_out(&world) && phase(&world) == JobPhase::Stopped);
    assert!(world.count(|call| matches!(call, Call::Kill { .. })) >= 5, "killed again and again");
}

#[test]
fn a_connection_that_breaks_again_and_again_keeps_no_drain_alive() {
    let world = wedged_drain(30, Some(5));
    assert!(timed_out(&world) && phase(&world) == JobPhase::Stopped);
}

#[test]
fn a_drain_that_began_without_a_subscription_has_all_its_time_after_the_next_one() {
    let mut world = World::running(1);
    world.input(Input::Disconnected);
    world.input(Input::Stop { job: JOB.into() });
    world.pass(60_000);
    world.calls.clear();
    world.subscribe();
    world.pass(1_000);
    assert_eq!(world.count(|call| matches!(call, Call::Kill { .. })), 1);
    world.deliver();
    assert!(!timed_out(&world) && phase(&world) == JobPhase::Stopped);
}

#[test]
fn another_topic_is_not_cut_by_the_old_topics_partitions() {
    let mut world = World::running(6);
    let mut spec = job();
    spec.source.topic = "small".into();
    world.deploy(spec);
    world.deliver();
    assert_eq!(world.state.store.slots().len(), 0, "its partitions are not known yet");
    world.topology(2);
    assert_eq!(world.state.store.slots().len(), 2);
}

/// A scheduler whose state was lost learns from the table which generations have written.
#[test]
fn generations_go_on_from_the_table() {
    let deployed = |generation, is_same| {
        let mut world = World::new();
        let begun = Some(crate::Begun { generation, is_same });
        let effects = world.input(Input::Deploy { spec: Box::new(job()), toml: "# new".into(), begun });
        effects.reply
    };
    assert_eq!(deployed(7, false), Some(Reply::Started { generation: 8 }));
    assert_eq!(deployed(7, true), Some(Reply::Started { generation: 7 }));
}

/// The remedy of a sealed generation: the same text deployed again takes the next one.
#[test]
fn deploying_again_ends_a_sealed_generation() {
    let mut world = World::new();
    world.input(Input::Deploy { spec: Box::new(job()), toml: "# new".into(), begun: None });
    let begun = Some(crate::Begun { generation: 7, is_same: false });
    let again = world.input(Input::Deploy { spec: Box::new(job()), toml: "# new".into(), begun }).reply;
    assert!(matches!(again, Some(Reply::Updating { generation: 8, .. })), "{again:?}");
    let begun = Some(crate::Begun { generation: 7, is_same: true });
    let mut world = World::new();
    world.input(Input::Deploy { spec: Box::new(job()), toml: "# new".into(), begun: None });
    let same = world.input(Input::Deploy { spec: Box::new(job()), toml: "# new".into(), begun }).reply;
    assert_eq!(same, Some(Reply::Unchanged), "the executor goes on in the table's own generation");
}
