//! What the master is told to offer must never hide an agent that would do. The master is modelled as far as it filters:
//! `offer_constraints_filter.cpp` and `allocatable()` of `hierarchical.cpp` in Mesos 1.11.

use millstream_mesos_types::{
    Attribute, AttributeConstraint, Offer, Predicate, Pseudoattribute, Selector,
    scheduler::{Call, Subscribe},
};
use millstream_placement::plan;
use millstream_spec as spec;
use proptest::prelude::*;
use serde_json::json;

use super::world::*;
use crate::{offers, *};

const ROLE: &str = "stream";

/// The master's allocator, and the session that remembers how to subscribe.
struct Master {
    session: Subscribe,
    suppressed: bool,
}

impl Master {
    fn subscribe(&mut self, world: &mut World) {
        self.suppressed = !self.session.suppressed_roles.is_empty();
        world.subscribe();
        self.hear(world);
    }

    /// Takes in all calls since the last time.
    fn hear(&mut self, world: &mut World) {
        for call in std::mem::take(&mut world.calls) {
            match call {
                Call::Suppress { .. } => self.suppressed = true,
                Call::Revive { .. } => self.suppressed = false,
                Call::UpdateFramework { update_framework } => {
                    let suppressed = !update_framework.suppressed_roles.is_empty();
                    assert!(!suppressed || self.suppressed, "SUPPRESS says so, not UPDATE_FRAMEWORK");
                    self.suppressed = suppressed;
                    valid(&update_framework);
                    self.session = update_framework;
                }
                _ => {}
            }
        }
    }

    fn would_offer(&self, offer: &Offer) -> bool {
        !self.suppressed && self.allocatable(offer) && self.constraints_hold(offer)
    }

    fn allocatable(&self, offer: &Offer) -> bool {
        let filters = self.session.framework_info.offer_filters.get(ROLE);
        let Some(least) = filters.and_then(|filters| filters.min_allocatable_resources.as_ref()) else { return true };
        let has = |name: &str| millstream_mesos_types::scalar_sum(&offer.resources, name);
        least.quantities.is_empty()
            || least.quantities.iter().any(|all| all.quantities.iter().all(|(name, least)| has(name) >= least.value))
    }

    fn constraints_hold(&self, offer: &Offer) -> bool {
        let constraints = self.session.offer_constraints.as_ref();
        let Some(role) = constraints.and_then(|constraints| constraints.role_constraints.get(ROLE)) else {
            return true;
        };
        role.groups.iter().any(|group| group.attribute_constraints.iter().all(|constraint| holds(constraint, offer)))
    }
}

/// What makes the master refuse a call.
fn valid(subscribe: &Subscribe) {
    for filters in subscribe.framework_info.offer_filters.values() {
        let least = filters.min_allocatable_resources.as_ref().expect("always set");
        assert!(least.quantities.iter().all(|quantities| !quantities.quantities.is_empty()));
    }
    for role in subscribe.offer_constraints.iter().flat_map(|constraints| constraints.role_constraints.values()) {
        assert!(!role.groups.is_empty());
        assert!(role.groups.iter().all(|group| !group.attribute_constraints.is_empty()));
    }
}

enum Seen<'a> {
    Nothing,
    Text(&'a str),
    NoText,
}

fn seen_of(attribute: Option<&Attribute>) -> Seen<'_> {
    match attribute {
        None => Seen::Nothing,
        Some(attribute) => attribute.text.as_ref().map_or(Seen::NoText, |text| Seen::Text(&text.value)),
    }
}

fn holds(constraint: &AttributeConstraint, offer: &Offer) -> bool {
    let domain = offer.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
    let seen = match &constraint.selector {
        Selector::PseudoattributeType(Pseudoattribute::Hostname) => Seen::Text(&offer.hostname),
        Selector::PseudoattributeType(Pseudoattribute::Zone) => {
            domain.map_or(Seen::Nothing, |d| Seen::Text(&d.zone.name))
        }
        Selector::PseudoattributeType(Pseudoattribute::Region) => {
            domain.map_or(Seen::Nothing, |d| Seen::Text(&d.region.name))
        }
        Selector::AttributeName(name) => seen_of(offer.attributes.iter().find(|a| a.name == *name)),
    };
    match (&constraint.predicate, seen) {
        (Predicate::Exists {}, seen) => !matches!(seen, Seen::Nothing),
        (Predicate::NotExists {}, seen) => matches!(seen, Seen::Nothing),
        (_, Seen::NoText) => true,
        (Predicate::TextEquals { value }, Seen::Text(text)) => text == value,
        (Predicate::TextNotEquals { value }, Seen::Text(text)) => text != value,
        (Predicate::TextMatches { regex }, Seen::Text(text)) => full_match(regex, text),
        (Predicate::TextNotMatches { regex }, Seen::Text(text)) => !full_match(regex, text),
        (Predicate::TextEquals { .. } | Predicate::TextMatches { .. }, Seen::Nothing) => false,
        (Predicate::TextNotEquals { .. } | Predicate::TextNotMatches { .. }, Seen::Nothing) => true,
    }
}

/// RE2 as far as we use it: alternatives of escaped texts.
fn full_match(regex: &str, text: &str) -> bool {
    let (mut alternatives, mut escaped) = (vec![String::new()], false);
    for sign in regex.chars() {
        match sign {
            '\\' if !escaped => escaped = true,
            '|' if !escaped => alternatives.push(String::new()),
            sign => {
                alternatives.last_mut().expect("never empty").push(sign);
                escaped = false;
            }
        }
    }
    alternatives.iter().any(|alternative| alternative == text)
}

#[derive(Debug, Clone)]
enum Action {
    Deploy(Box<spec::JobSpec>),
    Topology(usize, i32),
    Stop(usize),
    Offers,
    Run,
    Fail,
    Pass(u64),
    Resubscribe,
    Restart,
}

fn any_text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["host-1", "host-2", "127.0.1.1", "r1", "r.1", "r1|r2", "z1"]).prop_map(str::to_owned)
}

fn any_constraint() -> impl Strategy<Value = spec::Constraint> {
    use spec::ConstraintTest::*;
    let texts = || prop::collection::vec(any_text(), 1..4);
    let test = prop_oneof![Just(Exists), Just(NotExists), texts().prop_map(In), texts().prop_map(NotIn)];
    let name = prop::sample::select(vec!["hostname", "rack", "zone", "region", "ssd"]);
    (name, test).prop_map(|(attribute, test)| spec::Constraint { attribute: attribute.into(), test })
}

fn action() -> impl Strategy<Value = Action> {
    let job = (0..3usize, prop::collection::vec(any_constraint(), 0..=2), 1..9u64, 1..9u64);
    let deploy = job.prop_map(|(number, constraints, cpus, mem)| {
        let mut spec = job_named(number);
        (spec.tasks.cpus, spec.tasks.mem_bytes) = (cpus as f64 * 0.25, (mem * 96) << 20);
        spec.placement.constraints = constraints;
        Action::Deploy(Box::new(spec))
    });
    prop_oneof![
        4 => deploy,
        4 => (0..3usize, 1..4i32).prop_map(|(job, partitions)| Action::Topology(job, partitions)),
        1 => (0..3usize).prop_map(Action::Stop),
        3 => Just(Action::Offers),
        2 => Just(Action::Run),
        1 => Just(Action::Fail),
        3 => (1..30u64).prop_map(|ticks| Action::Pass(ticks * TICK_MS)),
        1 => Just(Action::Resubscribe),
        1 => Just(Action::Restart),
    ]
}

fn job_named(number: usize) -> spec::JobSpec {
    let mut spec = job();
    spec.name = spec::JobName(format!("job-{number}"));
    spec.source.group = spec.name.0.clone();
    spec
}

/// An agent that may be anything: with texts or numbers as attributes, some twice, with or without a fault domain.
fn any_offer() -> impl Strategy<Value = Offer> {
    let attribute =
        (prop::sample::select(vec!["rack", "zone", "region", "ssd"]), prop::option::weighted(0.8, any_text()));
    let attributes = prop::collection::vec(attribute, 0..5);
    (1..4usize, attributes, prop::option::of(any_text()), 2..20u64, 2..20u64).prop_map(
        |(number, attributes, zone, cpus, mem)| {
            let attributes = attributes.into_iter().map(|(name, text)| match text {
                Some(text) => json!({ "name": name, "type": "TEXT", "text": { "value": text } }),
                None => json!({ "name": name, "type": "SCALAR", "scalar": { "value": 1.0 } }),
            });
            let domain =
                zone.map(|zone| json!({ "fault_domain": { "region": { "name": zone }, "zone": { "name": zone } } }));
            serde_json::from_value(json!({
                "id": { "value": "offer" },
                "framework_id": { "value": FRAMEWORK },
                "agent_id": { "value": format!("agent-{number}") },
                "hostname": format!("host-{number}"),
                "url": { "scheme": "http", "address": { "ip": format!("127.0.1.{number}"), "port": 5051 } },
                "allocation_info": { "role": ROLE },
                "attributes": attributes.collect::<Vec<_>>(),
                "domain": domain,
                "resources": [
                    { "name": "cpus", "type": "SCALAR", "scalar": { "value": cpus as f64 * 0.2 } },
                    { "name": "mem", "type": "SCALAR", "scalar": { "value": mem as f64 * 64.0 } },
                    { "name": "ports", "type": "RANGES", "ranges": { "range": [{ "begin": 1, "end": 9 }] } },
                ],
            }))
            .expect("an offer")
        },
    )
}

fn apply(world: &mut World, master: &mut Master, action: Action) {
    match action {
        Action::Deploy(spec) => drop(world.deploy(*spec)),
        Action::Topology(job, partitions) => {
            let (job, topology) = (format!("job-{job}"), topology(partitions));
            world.input(Input::Topology { job, topology });
        }
        Action::Stop(job) => drop(world.input(Input::Stop { job: format!("job-{job}") })),
        Action::Offers => drop(world.offer_all()),
        Action::Run => world.run_all(),
        Action::Fail => {
            if let Some(task) = world.tasks.keys().next().cloned() {
                world.update(&task, millstream_mesos_types::TaskState::TaskDropped, None);
            }
        }
        Action::Pass(ms) => world.pass(ms),
        Action::Resubscribe => {
            world.input(Input::Disconnected);
            master.hear(world);
            master.subscribe(world);
        }
        Action::Restart => {
            world.restart();
            master.session = world.state.subscribe();
            valid(&master.session);
            master.subscribe(world);
        }
    }
    master.hear(world);
}

/// Whether placement would use the offer for anything that waits, had it waited long enough.
fn is_wanted(state: &State, offer: &Offer) -> bool {
    let view = agent_offer(ROLE, std::slice::from_ref(offer), vec![], |_| None).expect("an offer");
    let mut problem = offers::problem(state, vec![view]);
    for request in &mut problem.requests {
        (request.deadline_ms, request.not_before_ms) = (request.wait_from_ms, 0);
        request.avoid_agents.clear();
    }
    !plan(&problem).launches.is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn an_agent_that_placement_would_take_is_never_hidden_for_long(
        actions in prop::collection::vec(action(), 1..16),
        agents in prop::collection::vec(any_offer(), 40..60),
    ) {
        let mut world = World::new();
        let mut master = Master { session: world.state.subscribe(), suppressed: false };
        master.subscribe(&mut world);
        for action in actions {
            apply(&mut world, &mut master, action);
        }
        // The rhythm of REVIVE and UPDATE_FRAMEWORK.
        apply(&mut world, &mut master, Action::Pass(5_000));
        for offer in &agents {
            prop_assert!(!is_wanted(&world.state, offer) || master.would_offer(offer), "hidden: {:?}", offer);
        }
    }
}

fn updates(world: &mut World) -> Vec<Subscribe> {
    let calls = std::mem::take(&mut world.calls).into_iter();
    let updates = calls.filter_map(|call| match call {
        Call::UpdateFramework { update_framework } => Some(update_framework),
        _ => None,
    });
    updates.collect()
}

#[test]
fn the_master_learns_what_is_enough_before_it_is_asked_for_offers() {
    let mut world = World::new();
    world.subscribe();
    world.calls.clear();
    let mut spec = job();
    let racks = spec::ConstraintTest::In(vec!["r1".into(), "r2".into()]);
    spec.placement.constraints = vec![spec::Constraint { attribute: "rack".into(), test: racks }];
    world.deploy(spec);
    world.topology(2);
    assert!(matches!(world.calls[..], [Call::UpdateFramework { .. }, Call::Revive { .. }]), "{:?}", world.calls);
    let update = serde_json::to_value(&updates(&mut world)[0]).expect("json");
    assert_eq!(
        update["framework_info"]["offer_filters"],
        json!({ "stream": { "min_allocatable_resources": { "quantities": [
            { "quantities": { "cpus": { "value": 0.5 }, "mem": { "value": 256.0 } } },
        ] } } })
    );
    assert_eq!(
        update["offer_constraints"]["role_constraints"]["stream"]["groups"],
        json!([{ "attribute_constraints": [
            { "selector": { "attribute_name": "rack" }, "predicate": { "text_matches": { "regex": "r1|r2" } } },
        ] }])
    );
    assert_eq!(update["suppressed_roles"], json!(["stream"]), "until the REVIVE behind it");
}

#[test]
fn wishes_are_told_once_and_again_when_they_change_at_the_rhythm_of_revive() {
    let mut world = World::with_job(1);
    world.calls.clear();
    world.pass_silently(20_000);
    assert_eq!(updates(&mut world).len(), 0, "nothing has changed");
    let mut other = job_named(1);
    other.tasks.cpus = 0.25;
    world.deploy(other);
    world.input(Input::Topology { job: "job-1".into(), topology: topology(1) });
    let first = updates(&mut world);
    assert_eq!(first.len(), 1);
    let mut third = job_named(2);
    third.tasks.mem_bytes = 64 << 20;
    world.deploy(third);
    world.input(Input::Topology { job: "job-2".into(), topology: topology(1) });
    world.pass_silently(4_750);
    assert_eq!(updates(&mut world).len(), 0);
    world.pass_silently(250);
    let second = updates(&mut world);
    let quantities = |update: &Subscribe| {
        let filters = update.framework_info.offer_filters[ROLE].min_allocatable_resources.clone();
        filters.expect("set").quantities.len()
    };
    assert_eq!((second.len(), quantities(&first[0]), quantities(&second[0])), (1, 1, 2));
}

#[test]
fn when_nothing_waits_the_last_wishes_stay() {
    let mut world = World::with_job(1);
    world.calls.clear();
    world.offer_all();
    world.pass_silently(20_000);
    assert_eq!(updates(&mut world), vec![]);
    assert!(world.state.subscribe().framework_info.offer_filters.contains_key(ROLE));
    assert_eq!(world.state.subscribe().suppressed_roles, [ROLE]);
}

#[test]
fn a_refused_update_is_not_the_end_of_it() {
    let mut world = World::with_job(1);
    world.calls.clear();
    world.pass_silently(60_000);
    assert_eq!(updates(&mut world).len(), 1, "the master may have been busy the first time");
}

#[test]
fn a_job_no_agent_is_offered_to_says_what_it_wants() {
    let mut world = World::new();
    world.subscribe();
    let mut spec = job();
    let nowhere = spec::ConstraintTest::In(vec!["r9".into()]);
    spec.placement.constraints = vec![spec::Constraint { attribute: "rack".into(), test: nowhere }];
    world.deploy(spec);
    world.topology(1);
    world.pass(2_500);
    let summary = views::job(&world.state, JOB).expect("the job").summary;
    let wanted = "no agent offers anything that is wanted: 0.5 cpus, 256 MiB of memory, `rack = r9`";
    assert_eq!(summary, format!("1 of 1 task waits: {wanted}"));
}

fn groups(world: &World) -> usize {
    crate::wishes::Wishes::now(&world.state, &Default::default()).groups.len()
}

#[test]
fn each_waiting_job_is_an_alternative_until_one_would_take_any_agent() {
    let mut world = World::new();
    world.subscribe();
    let mut deploy = |number: usize, rack: Option<String>| {
        let mut spec = job_named(number);
        let constraint =
            |rack| spec::Constraint { attribute: "rack".into(), test: spec::ConstraintTest::In(vec![rack]) };
        spec.placement.constraints = rack.map(constraint).into_iter().collect();
        world.deploy(spec);
        world.input(Input::Topology { job: format!("job-{number}"), topology: topology(2) });
        groups(&world)
    };
    assert_eq!(deploy(0, Some("r1".into())), 1);
    assert_eq!(deploy(1, Some("r2".into())), 2);
    assert_eq!(deploy(2, Some("r1".into())), 2, "the same again");
    assert_eq!(deploy(3, None), 0);
    deploy(3, Some("r3".into()));
    let many: Vec<_> = (4..40).map(|number| deploy(number, Some(format!("r{number}")))).collect();
    assert_eq!((many.iter().max(), many.last()), (Some(&32), Some(&0)), "too many are none");
}
