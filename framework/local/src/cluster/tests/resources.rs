//! Who is offered what is reserved, revocable or limited, and what may be launched on it.

use serde_json::json;

use super::*;

fn cpus(offer: &Offer) -> f64 {
    millstream_mesos_types::scalar_sum(&offer.resources, "cpus")
}

#[test]
fn reserved_resources_go_to_their_role_and_those_below_it() {
    let mut world = World::of(&["cpus(a):2;mem(a):512;cpus(b):1;mem(b):64"]);
    let (below, other) = (world.subscribe(framework("a/x")), world.subscribe(framework("c")));
    let offer = world.offers(&below).remove(0);
    assert_eq!(cpus(&offer), 2.0);
    assert_eq!(offer.allocation_info.as_ref().unwrap().role, "a/x");
    assert!(world.offers(&other).is_empty());
    let b = world.subscribe(framework("b"));
    assert_eq!(cpus(&world.offers(&b)[0]), 1.0, "of the same agent, beside the other offer");
    let view = &world.cluster.slaves_view()["slaves"][0];
    assert_eq!(
        (&view["reserved_resources"]["a"]["cpus"], &view["unreserved_resources"]["cpus"]),
        (&json!(2.0), &json!(0.0))
    );
    // A task uses them as offered.
    let mut task = task(&offer, "t", 1.0);
    let info = json!([{ "type": "STATIC", "role": "a" }]);
    let executor = task.executor.as_mut().unwrap();
    for resource in task.resources.iter_mut().chain(&mut executor.resources) {
        resource.rest.insert("reservations".into(), info.clone());
    }
    world.launch(&below, &offer.id, vec![task]);
    assert_eq!(world.started().len(), 1);
}

#[test]
fn revocable_resources_go_to_those_who_can_bear_it_and_are_taken_back() {
    let mut world = World::of(&["cpus:1;mem:1024;cpus{REV}:3"]);
    let plain = world.subscribe(framework("a"));
    let offer = world.offers(&plain).remove(0);
    assert_eq!(cpus(&offer), 1.0);
    world.call(&plain, decline(&offer, 1e6)).unwrap();
    let me = world.subscribe(capable(framework("b"), "REVOCABLE_RESOURCES"));
    let offer = world.offers(&me).remove(0);
    assert_eq!(cpus(&offer), 4.0);
    assert_eq!(world.cluster.slaves_view()["slaves"][0]["resources"]["cpus_revocable"], 3.0);
    let revocable = |value| marked(Resource::scalar("cpus", value, None), "revocable", json!({}));
    let mut mixed = task(&offer, "mixed", 0.5);
    mixed.resources.push(revocable(0.5));
    let mut together = task(&offer, "together", 0.5);
    together.resources = vec![revocable(0.5)];
    let mut good = task(&offer, "t", 0.5);
    good.resources = vec![revocable(2.0)];
    good.executor.as_mut().unwrap().resources = vec![revocable(0.5), Resource::scalar("mem", 32.0, None)];
    world.launch(&me, &offer.id, vec![mixed, together, good]);
    let errors = world.updates(&me);
    assert_eq!(errors.len(), 2);
    assert!(errors[0].message.as_ref().unwrap().contains("Task mixes revocable"), "{errors:?}");
    assert!(errors[1].message.as_ref().unwrap().contains("Task and its executor mix"), "{errors:?}");

    assert_eq!(world.cluster.revoke(world.now, 0), 1);
    let destroyed = world.destroyed();
    world.cluster.container_ended(world.now, &destroyed[0], Ok(9));
    assert_eq!(states(&world.updates(&me)), [(TaskState::TaskGone, "REASON_CONTAINER_PREEMPTED")]);
    assert_eq!(world.cluster.revoke(world.now, 0), 0);
}

#[test]
fn a_revocation_leaves_those_alone_who_use_none() {
    let mut world = World::of(&["cpus:4;mem:1024;cpus{REV}:3"]);
    let me = world.subscribe(framework("a"));
    world.running(&me);
    assert_eq!(world.cluster.revoke(world.now, 0), 0);
    assert!(world.destroyed().is_empty());
}

#[test]
fn an_executor_takes_ports_of_its_own() {
    let mut world = World::of(&["cpus:4;mem:1024;ports:[1000-1009]"]);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    let port = |begin: u64| {
        let ranges =
            json!({ "name": "ports", "type": "RANGES", "ranges": { "range": [{ "begin": begin, "end": begin }] } });
        serde_json::from_value::<Resource>(ranges).unwrap()
    };
    let with_ports = |id: &str, of_task: u64, of_executor: u64| {
        let mut task = task(&offer, id, 0.5);
        task.resources.push(port(of_task));
        task.executor.as_mut().unwrap().resources.push(port(of_executor));
        task
    };
    let tasks = vec![with_ports("same", 1005, 1005), with_ports("t", 1005, 1006), with_ports("again", 1005, 1006)];
    world.launch(&me, &offer.id, tasks);
    let updates = world.updates(&me);
    let ids: Vec<_> = updates.iter().map(|update| &*update.task_id.value).collect();
    assert_eq!(ids, ["same", "again"]);
    assert!(updates[0].message.as_ref().unwrap().contains("overlapping"), "{updates:?}");
    assert!(updates[1].message.as_ref().unwrap().contains("more than available"), "{updates:?}");
    assert_eq!(world.cluster.slaves_view()["slaves"][0]["used_resources"]["ports"], "[1005-1006]");
}

#[test]
fn what_was_not_offered_is_an_error_of_the_task() {
    let mut world = World::of(&["cpus:2;mem:1024;cpus(b):2"]);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    let with = |id: &str, resource: Resource| {
        let mut task = task(&offer, id, 0.1);
        task.resources.push(resource);
        task
    };
    let one = |name: &str| Resource::scalar(name, 1.0, None);
    let of_b = json!([{ "type": "STATIC", "role": "b" }]);
    let of_a = json!([{ "type": "DYNAMIC", "role": "a" }]);
    let disk = json!({ "persistence": { "id": "v" }, "volume": { "container_path": "v", "mode": "RW" } });
    let unknown_volume = marked(marked(one("disk"), "reservations", of_a), "disk", disk.clone());
    let mut foreign = one("mem");
    foreign.allocation_info = Some(millstream_mesos_types::AllocationInfo { role: "b".into() });
    let tasks = vec![
        with("of-b", marked(one("cpus"), "reservations", of_b)),
        with("volume", unknown_volume),
        with("unreserved", marked(one("disk"), "disk", disk)),
        with("shared", marked(one("disk"), "shared", json!({}))),
        with("role", foreign),
        with("revocable", marked(one("disk"), "revocable", json!({}))),
    ];
    world.launch(&me, &offer.id, tasks);
    let updates = world.updates(&me);
    let expected = [
        "more than available",
        "more than available",
        "created from unreserved",
        "shared",
        "multiple allocation roles",
        "more than available",
    ];
    assert_eq!(updates.len(), expected.len());
    for (update, expected) in updates.iter().zip(expected) {
        assert_eq!((update.state, update.reason.as_deref()), (TaskState::TaskError, Some("REASON_TASK_INVALID")));
        assert!(update.message.as_ref().unwrap().contains(expected), "{update:?}");
    }
}

#[test]
fn an_executor_is_the_same_however_its_resources_are_split() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let offer = world.offers(&me).remove(0);
    let mut split = task(&offer, "t2", 0.5);
    let mem = || Resource::scalar("mem", 16.0, None);
    split.executor.as_mut().unwrap().resources = vec![mem(), Resource::scalar("cpus", 0.5, None), mem()];
    let mut more = task(&offer, "t3", 0.5);
    more.executor.as_mut().unwrap().resources.push(mem());
    world.launch(&me, &offer.id, vec![task(&offer, "t1", 0.5), split, more]);
    let updates = world.updates(&me);
    assert_eq!(updates.len(), 1);
    assert!(updates[0].task_id.value == "t3" && updates[0].message.as_ref().unwrap().contains("not compatible"));
}

#[test]
fn a_role_over_its_limit_gets_no_more() {
    let mut world = World::of(&["cpus:4;mem:4096", "cpus:4;mem:4096", "cpus:4;mem:4096"]);
    let quota = json!({ "type": "UPDATE_QUOTA", "update_quota": { "quota_configs": [
        { "role": "a", "limits": { "cpus": { "value": 6 }, "mem": { "value": 6000 } } },
    ] } });
    world.cluster.operate(world.now, serde_json::from_value(quota).unwrap()).unwrap();
    let me = world.subscribe(framework("a/x"));
    let offers = world.offers(&me);
    let mut amounts: Vec<_> = offers.iter().map(cpus).collect();
    amounts.sort_by(f64::total_cmp);
    assert_eq!(amounts, [2.0, 4.0]);
    let other = world.subscribe(framework("b"));
    assert_eq!(world.offers(&other).iter().map(cpus).sum::<f64>(), 6.0, "the rest is for the others");
    let none = json!({ "type": "UPDATE_QUOTA", "update_quota": { "quota_configs": [{ "role": "a" }] } });
    world.cluster.operate(world.now, serde_json::from_value(none).unwrap()).unwrap();
    for role in ["a/b", "*"] {
        let bad = json!({ "type": "UPDATE_QUOTA", "update_quota": { "quota_configs": [{ "role": role }] } });
        assert_eq!(world.cluster.operate(world.now, serde_json::from_value(bad).unwrap()).unwrap_err().status, 400);
    }
}
