//! What a framework says it wants to be offered.

use millstream_mesos_types::{
    AttributeConstraint, ConstraintGroup, MinAllocatableResources, OfferConstraints, OfferFilters, Predicate,
    Pseudoattribute, ResourceQuantities, RoleConstraints, Scalar, Selector,
};

use super::*;

fn attribute(name: &str) -> Selector {
    Selector::AttributeName(name.into())
}

fn groups(groups: Vec<Vec<(Selector, Predicate)>>) -> Option<OfferConstraints> {
    let constraint = |(selector, predicate)| AttributeConstraint { selector, predicate };
    let group = |all: Vec<_>| ConstraintGroup { attribute_constraints: all.into_iter().map(constraint).collect() };
    let constraints = RoleConstraints { groups: groups.into_iter().map(group).collect() };
    Some(OfferConstraints { role_constraints: [("a".to_owned(), constraints)].into() })
}

fn subscribing(offer_constraints: Option<OfferConstraints>) -> scheduler::Subscribe {
    scheduler::Subscribe { framework_info: framework("a"), offer_constraints, ..Default::default() }
}

/// Who is told what on a subscription with these constraints: agents offered, or the error.
fn offered(world: &mut World, constraints: Option<OfferConstraints>) -> Result<Vec<String>, String> {
    let stream = world.stream();
    world.cluster.subscribe(world.now, stream, None, subscribing(constraints)).unwrap();
    world.pass(TICK);
    let mut hosts = vec![];
    for event in world.told(stream) {
        match event {
            Event::Error { error } => return Err(error.message),
            Event::Offers { offers } => hosts.extend(offers.offers.into_iter().map(|offer| offer.hostname)),
            _ => {}
        }
    }
    Ok(hosts)
}

#[test]
fn every_predicate_holds_as_in_mesos() {
    use Predicate::*;
    let domain = |agent| Some(crate::options::parse_domain("eu/z%r", agent).unwrap());
    let (host, region, zone) = (Pseudoattribute::Hostname, Pseudoattribute::Region, Pseudoattribute::Zone);
    let (host, region, zone) = (
        Selector::PseudoattributeType(host),
        Selector::PseudoattributeType(region),
        Selector::PseudoattributeType(zone),
    );
    let value = |value: &str| value.to_owned();
    let cases = [
        (attribute("rack"), Exists {}, true),
        (attribute("rack"), NotExists {}, false),
        (attribute("none"), Exists {}, false),
        (attribute("none"), NotExists {}, true),
        (attribute("rack"), TextEquals { value: value("r1") }, true),
        (attribute("rack"), TextEquals { value: value("r2") }, false),
        (attribute("rack"), TextNotEquals { value: value("r1") }, false),
        (attribute("none"), TextEquals { value: value("r1") }, false),
        (attribute("none"), TextNotEquals { value: value("r1") }, true),
        (attribute("rack"), TextMatches { regex: value("r[0-9]") }, true),
        (attribute("rack"), TextMatches { regex: value("r") }, false), // all of it must match
        (attribute("rack"), TextMatches { regex: value("x|r1|y") }, true),
        (attribute("rack"), TextNotMatches { regex: value("r.") }, false),
        (attribute("none"), TextMatches { regex: value(".*") }, false),
        (attribute("none"), TextNotMatches { regex: value(".*") }, true),
        // A SCALAR satisfies all that is asked of its text.
        (attribute("broker"), TextEquals { value: value("9") }, true),
        (attribute("broker"), TextNotEquals { value: value("1") }, true),
        (attribute("broker"), TextMatches { regex: value("x") }, true),
        (attribute("broker"), TextNotMatches { regex: value(".*") }, true),
        (attribute("broker"), NotExists {}, false),
        (host.clone(), TextEquals { value: value("127.0.1.1") }, true),
        (host, TextNotMatches { regex: value(r"127\.0\..*") }, false),
        (region, TextEquals { value: value("eu") }, true),
        (zone.clone(), TextMatches { regex: value("z[23]") }, false),
        (zone, Exists {}, true),
    ];
    for (selector, predicate, expected) in cases {
        let mut world = World::new(1);
        world.cluster.agents[0].domain = domain(1);
        let shown = format!("{selector:?} {predicate:?}");
        let hosts = offered(&mut world, groups(vec![vec![(selector, predicate)]])).unwrap();
        assert_eq!(hosts.len(), usize::from(expected), "{shown}");
    }
}

#[test]
fn one_group_must_hold_and_in_it_everything() {
    let rack = |value: &str| (attribute("rack"), Predicate::TextEquals { value: value.into() });
    let host = |value: &str| {
        let selector = Selector::PseudoattributeType(Pseudoattribute::Hostname);
        (selector, Predicate::TextEquals { value: value.into() })
    };
    let mut world = World::new(3);
    let both = vec![vec![rack("r1"), host("127.0.1.2")], vec![rack("r3"), host("127.0.1.3")]];
    assert_eq!(offered(&mut world, groups(both)).unwrap(), ["127.0.1.3"]);
    let mut world = World::new(1);
    let zone = Selector::PseudoattributeType(Pseudoattribute::Zone);
    assert!(offered(&mut world, groups(vec![vec![(zone, Predicate::Exists {})]])).unwrap().is_empty(), "no domain");
}

#[test]
fn what_mesos_would_refuse_is_refused_whole() {
    let matching = |regex: &str| {
        let good = vec![(attribute("rack"), Predicate::Exists {})];
        groups(vec![good, vec![(attribute("rack"), Predicate::TextMatches { regex: regex.into() })]])
    };
    let other_role = OfferConstraints { role_constraints: [("b".to_owned(), RoleConstraints::default())].into() };
    let cases = [
        (groups(vec![]), "empty 'RoleConstraints::groups'"),
        (groups(vec![vec![]]), "empty RoleConstraints::Group"),
        (Some(other_role), "not contained in the set of roles"),
        (matching("("), "Failed to construct regex"),
        (matching("a)(b"), "Failed to construct regex"),
        (matching(&"a".repeat(4097)), "pattern too large"),
        (matching(&"a".repeat(101)), "too complex"),
        (matching("(abc){50}"), "too complex"),
    ];
    for (constraints, expected) in cases {
        let mut world = World::new(1);
        let error = offered(&mut world, constraints.clone()).unwrap_err();
        assert!(error.contains(expected), "{error}");
        let me = world.subscribe(framework("a"));
        let mut update_framework = subscribing(constraints);
        update_framework.framework_info.id = Some(me.id.clone());
        let refusal = world.call(&me, Call::UpdateFramework { update_framework }).unwrap_err();
        assert!(refusal.status == 400 && refusal.message.contains(expected), "{refusal:?}");
        assert_eq!(world.offers(&me).len(), 1, "nothing has changed");
    }
}

#[test]
fn an_update_replaces_constraints_suppression_and_roles() {
    let mut world = World::new(3);
    let me = world.subscribe(framework("a"));
    let offers = world.offers(&me);
    assert_eq!(offers.len(), 3);
    let only = groups(vec![vec![(attribute("rack"), Predicate::TextEquals { value: "r2".into() })]]);
    let mut update = subscribing(only);
    update.framework_info.id = Some(me.id.clone());
    world.call(&me, Call::UpdateFramework { update_framework: update.clone() }).unwrap();
    assert!(world.told(me.stream).is_empty(), "offers that are out stay");
    for offer in &offers {
        world.call(&me, decline(offer, 0.0)).unwrap();
    }
    let now = world.offers(&me);
    assert!(matches!(&now[..], [second] if second.hostname == "127.0.1.2"), "{now:?}");
    world.call(&me, decline(&now[0], 1e6)).unwrap();
    world.call(&me, Call::UpdateFramework { update_framework: update.clone() }).unwrap();
    assert!(world.offers(&me).is_empty(), "a filter outlives an update");

    update.offer_constraints = None;
    update.suppressed_roles = vec!["a".into()];
    world.call(&me, Call::UpdateFramework { update_framework: update.clone() }).unwrap();
    assert!(world.offers(&me).is_empty());
    update.suppressed_roles.clear();
    world.call(&me, Call::UpdateFramework { update_framework: update.clone() }).unwrap();
    assert_eq!(world.offers(&me).len(), 3, "but not the end of a suppression");
    update.framework_info.roles = vec!["b".into()];
    world.call(&me, Call::UpdateFramework { update_framework: update.clone() }).unwrap();
    let told = world.told(me.stream);
    assert_eq!(told.len(), 3, "of a role that was left");
    assert!(told.iter().all(|event| matches!(event, Event::Rescind { .. })), "{told:?}");
    let roles: Vec<_> = world.offers(&me).into_iter().map(|offer| offer.allocation_info.unwrap().role).collect();
    assert_eq!(roles, ["b", "b", "b"]);
}

#[test]
fn an_update_changes_neither_user_nor_principal_nor_checkpoint_nor_id() {
    let mut world = World::new(1);
    let me = world.subscribe(framework("a"));
    let changes: [fn(&mut FrameworkInfo); 5] = [
        |info| info.user = "root".into(),
        |info| info.principal = Some("p".into()),
        |info| info.checkpoint = true,
        |info| info.id = Some(FrameworkId::new("other")),
        |info| info.roles = vec!["a//b".into()],
    ];
    for change in changes {
        let mut update_framework = subscribing(None);
        update_framework.framework_info.id = Some(me.id.clone());
        change(&mut update_framework.framework_info);
        assert_eq!(world.call(&me, Call::UpdateFramework { update_framework }).unwrap_err().status, 400);
    }
}

#[test]
fn too_little_is_not_offered() {
    let minimum = |cpus: &[f64]| {
        let one =
            |value: &f64| ResourceQuantities { quantities: [("cpus".to_owned(), Scalar { value: *value })].into() };
        let quantities = cpus.iter().map(one).collect();
        OfferFilters { min_allocatable_resources: Some(MinAllocatableResources { quantities }) }
    };
    for (cpus, offers) in [(&[4.5][..], 0), (&[4.5, 3.0], 1), (&[], 2)] {
        let mut world = World::of(&["cpus:4;mem:4096", "cpus:0.001"]);
        let info = FrameworkInfo { offer_filters: [("a".to_owned(), minimum(cpus))].into(), ..framework("a") };
        let me = world.subscribe(info);
        assert_eq!(world.offers(&me).len(), offers, "{cpus:?}");
    }
    let mut world = World::new(1);
    let none = MinAllocatableResources { quantities: vec![ResourceQuantities::default()] };
    let filters = OfferFilters { min_allocatable_resources: Some(none) };
    let info = FrameworkInfo { offer_filters: [("a".to_owned(), filters)].into(), ..framework("a") };
    let stream = world.stream();
    let subscribe = scheduler::Subscribe { framework_info: info, ..Default::default() };
    world.cluster.subscribe(world.now, stream, None, subscribe).unwrap();
    assert!(matches!(&world.told(stream)[..], [Event::Error { .. }]));
}
