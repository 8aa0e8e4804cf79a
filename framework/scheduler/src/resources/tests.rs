use proptest::prelude::*;
use serde_json::json;

use super::*;

fn scalar(name: &str, milli: u64, rest: Value) -> Resource {
    let mut value = json!({ "name": name, "type": "SCALAR", "scalar": { "value": milli as f64 / 1_000.0 } });
    value.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    serde_json::from_value(value).expect("a resource")
}

fn ports(ranges: &[(u64, u64)], rest: Value) -> Resource {
    let range: Vec<_> = ranges.iter().map(|(begin, end)| json!({ "begin": begin, "end": end })).collect();
    let mut value = json!({ "name": "ports", "type": "RANGES", "ranges": { "range": range } });
    value.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    serde_json::from_value(value).expect("a resource")
}

fn reserved(roles: &[&str]) -> Value {
    let stack: Vec<_> = roles.iter().map(|role| json!({ "type": "DYNAMIC", "role": role })).collect();
    json!({ "reservations": stack })
}

fn cpus(milli: u64) -> Resources {
    Resources { cpus_milli: milli, ..Resources::default() }
}

#[test]
fn the_innermost_reservation_counts_and_an_ancestors_is_ours_too() {
    let all = [
        scalar("cpus", 1, json!({})),
        scalar("cpus", 20, reserved(&["a"])),
        scalar("cpus", 300, reserved(&["a", "a/b"])),
        scalar("cpus", 4_000, reserved(&["a", "a/b", "a/b/c"])),
        scalar("cpus", 50_000, reserved(&["ab"])),
    ];
    let of = |role: &str| {
        let usable = usable(&all, role);
        (usable.firm.cpus_milli, usable.reserved.cpus_milli)
    };
    assert_eq!(of("a/b"), (321, 320));
    assert_eq!(of("a"), (21, 20), "what is reserved below is not ours");
    assert_eq!(of("a/b/c"), (4_321, 4_320));
    assert_eq!(of("x"), (1, 0));
}

#[test]
fn memory_is_rounded_once() {
    let thirds = [scalar("mem", 333, json!({})), scalar("mem", 333, reserved(&["a"])), scalar("mem", 334, json!({}))];
    assert_eq!(usable(&thirds, "a").firm.mem_bytes, MIB);
    let wanted = Resources { mem_bytes: MIB, ..Resources::default() };
    assert_eq!(Pool::new(&thirds, "a").take(&wanted, Revocable::default()).expect("all of it").len(), 3);
}

#[test]
fn ports_are_cut_exactly_and_reserved_ones_go_first() {
    let all = [ports(&[(31_005, 31_006), (31_000, 31_000)], json!({})), ports(&[(32_000, 32_000)], reserved(&["a"]))];
    assert_eq!(usable(&all, "a").firm.ports, 4);
    assert_eq!(usable(&all, "a").reserved.ports, 1);
    let mut pool = Pool::new(&all, "a");
    let mut next = || {
        let taken = pool.take(&Resources { ports: 1, ..Resources::default() }, Revocable::default())?;
        first_port(&taken)
    };
    assert_eq!([next(), next(), next(), next()], [Some(32_000), Some(31_000), Some(31_005), Some(31_006)]);
    assert_eq!(next(), None);
    let two = Pool::new(&all[..1], "a").take(&Resources { ports: 2, ..Resources::default() }, Revocable::default());
    let range = two.expect("three are there")[0].ranges.clone().expect("ranges").range;
    assert_eq!(range, [Range { begin: 31_000, end: 31_000 }, Range { begin: 31_005, end: 31_005 }]);
}

#[test]
fn what_is_no_port_is_left_out() {
    let odd = ports(&[(0, 5), (9, 8), (65_535, 70_000), (65_535, 65_535)], json!({}));
    assert_eq!(usable([&odd], "a").firm.ports, 1);
    assert_eq!(
        first_port(
            &Pool::new([&odd], "a")
                .take(&Resources { ports: 1, ..Resources::default() }, Revocable::default())
                .expect("one")
        ),
        Some(65_535)
    );
}

#[test]
fn volumes_are_made_of_plain_unreserved_disk_of_all_offers_of_an_agent() {
    let special = json!({ "source": { "type": "MOUNT", "mount": { "root": "/mnt" } } });
    let all = [
        scalar("disk", 600_000, json!({})),
        scalar("disk", 500_000, json!({})),
        scalar("disk", 4_000_000, json!({ "disk": special })),
        scalar("disk", 4_000_000, reserved(&["a"])),
    ];
    assert_eq!(usable(&all, "a").firm.disk_bytes, 1_100 * MIB);
    assert_eq!(usable(&all, "*").firm.disk_bytes, 0, "nothing can be reserved for it");
    let mut pool = Pool::new(&all, "a");
    assert!(pool.take_disk(1_101 * MIB).is_none());
    let taken = pool.take_disk(1_000 * MIB - 1).expect("there is more");
    assert_eq!((thousandths(&taken), taken.is_reserved()), (1_000_000, false));
    assert!(pool.take_disk(101 * MIB).is_none());
    assert!(pool.take_disk(100 * MIB).is_some());
}

#[test]
fn revocable_and_firm_resources_never_mix() {
    let all = [scalar("cpus", 400, json!({ "revocable": {} })), scalar("cpus", 700, json!({}))];
    let lent = Revocable { cpus: true, mem: false };
    assert_eq!((usable(&all, "a").firm, usable(&all, "a").revocable), (cpus(700), cpus(400)));
    let mut pool = Pool::new(&all, "a");
    assert_eq!(pool.take(&cpus(500), lent), None);
    let taken = pool.take(&cpus(300), lent).expect("400 are there");
    assert!(taken.iter().all(Resource::is_revocable) && revocable_of(&taken) == lent);
    assert!(!pool.take(&cpus(700), Revocable::default()).expect("untouched")[0].is_revocable());
}

proptest! {
    /// However it is cut, what is taken adds up to what was asked for, and never to more than there was.
    #[test]
    fn sums_are_exact_in_thousandths(
        offered in prop::collection::vec((0..3_000u64, any::<bool>()), 1..6),
        wanted in prop::collection::vec(1..2_000u64, 1..8),
    ) {
        let rest = |mine| if mine { reserved(&["a"]) } else { json!({}) };
        let all: Vec<_> = offered.iter().map(|(milli, mine)| scalar("cpus", *milli, rest(*mine))).collect();
        let mut left = usable(&all, "a").firm.cpus_milli;
        prop_assert_eq!(left, offered.iter().map(|(milli, _)| milli).sum::<u64>());
        let mut pool = Pool::new(&all, "a");
        for milli in wanted {
            let taken = pool.take(&cpus(milli), Revocable::default());
            prop_assert_eq!(taken.is_some(), milli <= left);
            if let Some(taken) = taken {
                prop_assert_eq!(taken.iter().map(thousandths).sum::<u64>(), milli);
                left -= milli;
            }
        }
    }
}
