use super::world::{JOB, World, job as job_spec};
use crate::{views::*, *};

#[test]
fn a_running_job_shows_where_it_is_and_how_far() {
    let world = World::running(3);
    let job = job(&world.state, JOB).expect("the job");
    assert_eq!((job.slots, job.running, job.launching, job.waiting), (3, 3, 0, 0));
    assert_eq!((job.lag_records, job.lag_ms, job.rows), (Some(15), Some(40), 21));
    assert_eq!(job.summary, "running");
    let lag = lag(&world.state, JOB).expect("the job");
    assert_eq!((lag.total_records, lag.max_ms, lag.unknown), (15, 40, 0));
    let locality = locality(&world.state);
    assert_eq!(locality.tasks_by_source_tier[&millstream_placement::Tier::Host], 3);
    assert_eq!(locality.bytes_in_by_tier[&millstream_placement::Tier::Host], 3_000);
    assert_eq!(scrape_targets(&world.state).len(), 3);
    assert_eq!(overview(&world.state).tasks["running"], 3);
}

#[test]
fn an_unknown_lag_is_never_a_made_up_zero() {
    let mut world = World::with_job(2);
    world.offer_all();
    let lag = lag(&world.state, JOB).expect("the job");
    assert_eq!((lag.unknown, lag.partitions[0].records), (2, None));
    assert_eq!(job(&world.state, JOB).expect("the job").lag_records, None);
}

#[test]
fn why_names_the_wait_in_words_and_times_of_the_wall() {
    let mut world = World::with_job(1);
    let offer = world.offer("agent-2");
    world.input(Input::Offers(vec![offer]));
    let why = why(&world.state, JOB).expect("the job");
    let SlotState::Waiting { reason, text, deadline_in_ms, .. } = &why.slots[0].state else { panic!("{why:?}") };
    assert!(text.starts_with("waits for a place nearer to the data"), "{text}");
    assert_eq!(*deadline_in_ms, 5_000);
    let millstream_placement::Reason::Locality { until_ms } = reason else { panic!("{reason:?}") };
    assert!((world.now.wall_ms..=world.now.wall_ms + 5_000).contains(until_ms));
    let text = serde_json::to_string(&why).expect("json");
    assert_eq!(serde_json::from_str::<WhyView>(&text).expect("both ways"), why);
}

#[test]
fn a_job_without_topology_says_so() {
    let mut world = World::new();
    world.subscribe();
    world.deploy(job_spec());
    assert_eq!(job(&world.state, JOB).expect("the job").summary, "waits for its topic's metadata");
    assert!(why(&world.state, JOB).expect("the job").note.is_some());
}

#[test]
fn the_framework_info_keeps_tasks_over_a_long_weekend() {
    let info = framework_info(&FrameworkSettings {
        name: "millstream".into(),
        user: "root".into(),
        role: "stream".into(),
        principal: None,
        hostname: None,
        webui_url: None,
        failover_timeout_secs: 0.0,
    });
    assert_eq!((info.failover_timeout, info.checkpoint), (604_800.0, true));
    let kinds: Vec<_> = info.capabilities.iter().map(|capability| capability.kind.as_str()).collect();
    assert!(kinds.contains(&"MULTI_ROLE") && kinds.contains(&"PARTITION_AWARE") && !kinds.contains(&"GPU_RESOURCES"));
}
