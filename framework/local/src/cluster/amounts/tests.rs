use proptest::prelude::*;

use super::*;

fn amounts(cpus: u64, ports: &[(u64, u64)]) -> Amounts {
    let mut sum = Amounts::default();
    sum.add(&Amounts(BTreeMap::from([(Kind::plain("cpus"), Amount::Thousandths(cpus))])));
    for range in ports {
        sum.add(&Amounts(BTreeMap::from([(Kind::plain("ports"), Amount::Ranges(vec![*range]))])));
    }
    sum
}

proptest! {
    #[test]
    fn what_is_taken_out_and_put_back_changes_nothing(
        cpus in 0u64..10_000, taken_cpus in 0u64..10_000,
        all in prop::collection::vec((0u64..50, 0u64..5), 0..6),
        taken in prop::collection::vec((0u64..50, 0u64..5), 0..6),
    ) {
        let ranges = |list: &[(u64, u64)]| list.iter().map(|&(begin, len)| (begin, begin + len)).collect::<Vec<_>>();
        let whole = amounts(cpus, &ranges(&all));
        let part = amounts(taken_cpus, &ranges(&taken));
        let mut left = whole.clone();
        left.subtract(&part);
        prop_assert!(whole.contains(&left));
        if whole.contains(&part) {
            prop_assert_eq!(left.is_empty(), whole == part);
            left.add(&part);
            prop_assert_eq!(left, whole);
        }
    }
}

#[test]
fn resources_go_there_and_back() {
    let whole = amounts(1_500, &[(31_000, 31_099)]);
    let resources = whole.to_resources("r");
    assert_eq!(resources[0].allocation_info.as_ref().unwrap().role, "r");
    assert_eq!(Amounts::of(&resources).unwrap(), whole);
    assert_eq!(whole.to_json()["ports"], "[31000-31099]");
    assert_eq!(whole.to_json()["cpus"], 1.5);
}

#[test]
fn what_has_no_amount_is_refused() {
    let bad = |value| Amounts::of(&[Resource::scalar("cpus", value, None)]);
    assert!(bad(-1.0).is_err() && bad(f64::NAN).is_err() && bad(f64::INFINITY).is_err());
    let mut shared = Resource::scalar("disk", 1.0, None);
    shared.rest.insert("shared".into(), serde_json::json!({}));
    assert_eq!(Amounts::of(&[shared]), Err(AmountError::Kind("disk".into())));
}

#[test]
fn reserved_revocable_and_persistent_ones_are_counted_apart() {
    let marked = |name, value, key: &str, mark| {
        let mut resource = Resource::scalar(name, value, None);
        resource.rest.insert(key.into(), mark);
        resource
    };
    let reserved = marked("cpus", 2.0, "reservations", serde_json::json!([{ "type": "STATIC", "role": "a" }]));
    let older = marked("cpus", 1.0, "role", serde_json::json!("a"));
    let revocable = marked("cpus", 4.0, "revocable", serde_json::json!({}));
    let whole = Amounts::of(&[reserved.clone(), older, revocable, Resource::scalar("cpus", 8.0, None)]).unwrap();
    assert_eq!(whole.kinds().count(), 3, "both formats of a reservation are one");
    assert_eq!(whole.thousandths("cpus"), 15_000);
    assert_eq!(Amounts::of(&whole.to_resources("a/b")).unwrap(), whole);
    assert!(!whole.contains(&Amounts::of(&[Resource::scalar("cpus", 8.5, None)]).unwrap()));
    assert_eq!(whole.to_json()["cpus_revocable"], 4.0);
    let of = Kind::of(&reserved).unwrap();
    let fit = ["a", "a/b", "ab", "b", "*"].map(|role| of.is_allocatable_to(role));
    assert_eq!(fit, [true, true, false, false, false]);
}

#[test]
fn a_volume_is_there_whole_or_not_at_all() {
    let volume = |mib| {
        let mut resource = Resource::scalar("disk", mib, None);
        resource.rest.insert("disk".into(), serde_json::json!({ "persistence": { "id": "v" } }));
        Amounts::of(&[resource]).unwrap()
    };
    assert!(volume(64.0).contains(&volume(64.0)));
    assert!(!volume(64.0).contains(&volume(32.0)));
}
