use crate::{arguments, world::World};

fn words(line: &str) -> impl Iterator<Item = String> + '_ {
    line.split_whitespace().map(str::to_owned)
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    let hashes: Vec<u64> = (1..=6).chain(1..=6).map(|seed| World::new(seed, false).run().hash).collect();
    assert_eq!(hashes[..6], hashes[6..]);
    assert_ne!(hashes[0], hashes[1], "another seed is another run");
}

#[test]
fn a_few_seeds_hold_every_invariant() {
    for seed in 100..125 {
        let outcome = World::new(seed, false).run();
        assert_eq!(outcome.violation, None, "millstream-sim --seed {seed} --trace");
    }
}

#[test]
fn a_command_line_says_what_it_does_not_understand() {
    assert_eq!(arguments::read(words("--seed 7 --trace")).map(|a| (a.from, a.seeds, a.trace)), Ok((7, 1, true)));
    assert!(arguments::read(words("--seeds many")).is_err_and(|error| error.contains("many")));
    assert!(arguments::read(words("--seeds 5 --trace")).is_err());
    assert!(arguments::read(words("--sed 5")).is_err());
}
