use std::{
    collections::BTreeMap,
    sync::{Mutex, atomic::AtomicI64, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::{
    keeper::{Clocks, KeeperError, List, Wanted, append, extend},
    window::{Need, Window},
    *,
};

const NOW_US: i64 = 1_700_000_000_000_000;

/// A list in memory. Every n-th append happens but is answered with an error, as a timed-out LWT may.
struct Fake {
    epochs: Mutex<Vec<Epoch>>,
    now_us: AtomicI64,
    coordinator_us: Option<i64>,
    fail_every: u64,
    /// What fails has not happened.
    refuses: bool,
    appends: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
#[error("timed out")]
struct Timeout;

impl Fake {
    fn new() -> Self {
        Fake {
            epochs: Mutex::default(),
            now_us: AtomicI64::new(NOW_US),
            coordinator_us: None,
            fail_every: u64::MAX,
            refuses: false,
            appends: AtomicU64::new(0),
        }
    }

    fn all(&self) -> Vec<Epoch> {
        self.epochs.lock().unwrap().clone()
    }

    fn passes(&self, time: Duration) {
        self.now_us.fetch_add(time.as_micros() as i64, Relaxed);
    }
}

impl List for Fake {
    type Error = Timeout;

    async fn newest(&self, before: Option<u64>) -> Result<Vec<Epoch>, Timeout> {
        let all = self.epochs.lock().unwrap();
        Ok(all
            .iter()
            .rev()
            .filter(|epoch| before.is_none_or(|before| epoch.number < before))
            .take(3)
            .cloned()
            .collect())
    }

    async fn mark(&self) -> Result<Option<Mark>, Timeout> {
        Ok(None)
    }

    async fn append(&self, last: Option<&Epoch>, epoch: &Epoch) -> Result<bool, Timeout> {
        let mut all = self.epochs.lock().unwrap();
        let happens = all.last() == last && !self.refuses;
        if happens {
            all.push(epoch.clone());
        }
        match (self.appends.fetch_add(1, Relaxed) + 1) % self.fail_every {
            0 => Err(Timeout),
            _ => Ok(happens),
        }
    }

    async fn clocks_us(&self) -> Result<Clocks, Timeout> {
        let here_us = self.now_us.load(Relaxed);
        Ok(Clocks { here_us, coordinator_us: self.coordinator_us.unwrap_or(here_us) })
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the fake never waits")
}

fn life(generation: u64) -> Arc<Life> {
    Arc::new(Life { generation, meaning: format!("m{generation}"), topic_id: "t".into(), group: "g".into() })
}

fn wanted(why: Why, from: i64, ahead: i64) -> Wanted {
    Wanted { why, from, ahead, floor_us: i64::MIN }
}

fn begin(fake: &Fake, generation: u64, from: i64, ahead: i64) -> Epoch {
    let last = fake.all().pop();
    let why = if last.is_some() { Why::Generation } else { Why::Start };
    now(append(fake, &life(generation), last.as_ref(), wanted(why, from, ahead))).unwrap().0
}

#[test]
fn the_start_has_the_wall_clock() {
    let fake = Fake::new();
    let first = begin(&fake, 1, 5_000, 100);
    assert_eq!((first.number, first.block), (1, Block { from: 5_000, len: 100, anchor_us: NOW_US }));
}

#[test]
fn who_comes_second_takes_what_is_there() {
    let fake = Fake::new();
    let first = begin(&fake, 1, 0, 10);
    let a = now(extend(&fake, &life(1), first.clone(), 10, 20, false)).unwrap().0;
    let b = now(extend(&fake, &life(1), first, 12, 700, false)).unwrap().0;
    assert_eq!(a, b);
    assert_eq!(fake.all().len(), 2);
}

#[test]
fn an_append_without_an_answer_is_looked_up() {
    let mut fake = Fake::new();
    fake.fail_every = 1;
    let first = begin(&fake, 1, 0, 10);
    let next = now(extend(&fake, &life(1), first, 10, 20, false)).unwrap().0;
    assert_eq!(fake.all()[1..], next);
}

/// A gap of any size costs no timestamps, and is over at once.
#[test]
fn gaps_of_every_size_are_one_block_away() {
    for gap in [0, 1, 5, 9, 100, 1 << 20, 1_000_000_000, 1 << 60] {
        let fake = Fake::new();
        let first = begin(&fake, 1, 0, 10);
        let (next, young_for) = now(extend(&fake, &life(1), first, 10 + gap, 10, false)).unwrap();
        assert_eq!(next[0].block.from, 10 + gap);
        assert!(next[0].block.anchor_us - NOW_US <= 10 && !young_for.is_zero());
    }
}

#[test]
fn an_old_block_is_cut_at_the_position() {
    let fake = Fake::new();
    let first = begin(&fake, 1, 0, 1_000);
    fake.passes(Duration::from_secs(3_600));
    let (next, young_for) = now(extend(&fake, &life(1), first.clone(), 7, 16, true)).unwrap();
    assert_eq!((next[0].why, next[0].block.from), (Why::Cut, 7));
    assert_eq!(next[0].block.anchor_us, fake.now_us.load(Relaxed));
    assert_eq!(young_for, Duration::from_micros(YOUNG_US as u64));
    let mut window = Window::new([first], Instant::now(), 0);
    window.extend(next, Instant::now());
    assert_eq!(window.timestamp_us(6), Some(NOW_US + 6));
    assert_eq!(window.timestamp_us(7), Some(fake.now_us.load(Relaxed)));
    assert_eq!(window.timestamp_us(999), Some(fake.now_us.load(Relaxed) + 992), "up to the end of the old block");
    assert_eq!(window.timestamp_us(1_000), None);
}

/// Two that cut at once: the second finds the first's, and goes on by the old block up to there.
#[test]
fn of_two_cuts_one_counts() {
    let fake = Fake::new();
    let first = begin(&fake, 1, 0, 1_000);
    fake.passes(Duration::from_secs(60));
    let a = now(extend(&fake, &life(1), first.clone(), 20, 16, true)).unwrap().0;
    let b = now(extend(&fake, &life(1), first, 7, 16, true)).unwrap().0;
    assert_eq!(a, b);
}

#[test]
fn a_newer_generation_ends_the_older_one_and_lies_above_it() {
    let fake = Fake::new();
    let old = begin(&fake, 1, 0, 1_000);
    let new = begin(&fake, 4, 3, 10);
    assert!(new.block.timestamp_us(3) >= old.block.end_us());
    let stopped = now(extend(&fake, &life(1), old, 1_000, 10, false)).unwrap_err();
    assert!(matches!(stopped, KeeperError::Sealed { generation: 1, by: 4 }), "{stopped}");
    assert!(stopped.to_string().contains("deploy the job again"), "{stopped}");
}

#[test]
fn a_list_that_was_emptied_is_not_gone_on_with() {
    let fake = Fake::new();
    let first = begin(&fake, 1, 0, 10);
    fake.epochs.lock().unwrap().clear();
    let error = now(extend(&fake, &life(1), first.clone(), 10, 10, false)).unwrap_err();
    assert!(matches!(error, KeeperError::Anew { .. }), "{error}");
    begin(&fake, 1, 5, 10);
    let error = now(extend(&fake, &life(1), first, 10, 10, false)).unwrap_err();
    assert!(matches!(error, KeeperError::Anew { .. }), "{error}");
}

#[test]
fn a_clock_ahead_is_refused_and_one_behind_is_not_believed() {
    let mut fake = Fake::new();
    fake.coordinator_us = Some(NOW_US - AHEAD_MAX_US - 1);
    let refused = now(append(&fake, &life(1), None, wanted(Why::Start, 0, 1))).unwrap_err();
    assert!(matches!(refused, KeeperError::Clock { .. }) && fake.all().is_empty());
    fake.coordinator_us = Some(NOW_US + 3_600_000_000);
    assert_eq!(begin(&fake, 1, 0, 1).block.anchor_us, NOW_US + 3_600_000_000);
}

/// Sparse offsets use up a second of timestamps with every block: the clock is waited for, and nobody is blamed.
#[test]
fn sparse_offsets_wait_for_the_clock() {
    let fake = Fake::new();
    let mut last = begin(&fake, 1, 0, LEN_MAX);
    let mut waits = 0;
    for block in 1..20 {
        let position = block * 10_000_000;
        loop {
            match now(extend(&fake, &life(1), last.clone(), position, LEN_MAX, false)) {
                Ok((mut epochs, _)) => break last = epochs.pop().unwrap(),
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    waits += 1;
                    fake.passes(Duration::from_millis(500));
                }
            }
        }
    }
    assert!((10..=60).contains(&waits), "{waits}");
}

/// Else the next one, which begins beyond a gap, could lie below what a process still writes by the long one.
#[test]
fn a_short_block_inside_a_long_one_reaches_to_its_end() {
    let long = epoch(1, 0, 100, NOW_US);
    let short = propose(Some(&long), Why::Cut, 10, 16, NOW_US, i64::MIN);
    assert_eq!(short, Block { from: 10, len: 90, anchor_us: NOW_US + 10 });
    let beyond = propose(Some(&epoch(2, 10, 90, NOW_US + 10)), Why::Next, 1_000, 16, NOW_US, i64::MIN);
    assert_eq!(beyond, Block { from: 1_000, len: 16, anchor_us: NOW_US + 100 });
}

/// A right that is missing, a guardrail: not a clock that is waited for.
#[test]
fn an_append_that_is_refused_says_why() {
    let mut fake = Fake::new();
    let first = begin(&fake, 1, 0, 10);
    (fake.refuses, fake.fail_every) = (true, 1);
    let error = now(extend(&fake, &life(1), first, 10, 10, false)).unwrap_err();
    assert!(matches!(error, KeeperError::Store(Timeout)) && error.is_transient(), "{error}");
}

#[test]
fn blocks_last_about_eight_seconds() {
    let block = |len| Some(Block { from: 0, len, anchor_us: 0 });
    let speed = |consumed_per_sec, backlog, appended_per_sec| Speed { consumed_per_sec, backlog, appended_per_sec };
    assert_eq!(ahead(speed(0.0, None, 0.0), None), LEN_MIN);
    assert_eq!(ahead(speed(0.0, Some(500_000), 0.0), None), 500_000);
    assert_eq!(ahead(speed(0.0, Some(500_000), 0.0), block(20)), 320);
    assert_eq!(ahead(speed(5_000.0, Some(1 << 40), 100.0), block(40_000)), 40_000);
    assert_eq!(ahead(speed(1e9, Some(1 << 40), 100.0), block(40_000)), 640_000);
    assert_eq!(ahead(speed(1e9, None, 0.0), block(LEN_MAX)), LEN_MAX);
    assert_eq!(ahead(speed(0.2, Some(0), 0.2), block(LEN_MAX)), LEN_MIN);
}

fn epoch(number: u64, from: i64, len: i64, anchor_us: i64) -> Epoch {
    Epoch { number, life: life(1), why: Why::Next, block: Block { from, len, anchor_us } }
}

#[test]
fn the_newest_epoch_that_reaches_down_to_an_offset_counts() {
    let at = Instant::now();
    // 2 begins inside 1; 4 was begun below 3, which says nothing any more.
    let list = [epoch(4, 30, 10, 400), epoch(3, 50, 10, 300), epoch(2, 20, 20, 200), epoch(1, 0, 40, 100)];
    let window = Window::new(list, at, 0);
    let of = |offset| window.timestamp_us(offset);
    assert_eq!((of(19), of(20), of(29), of(30), of(39)), (Some(119), Some(200), Some(209), Some(400), Some(409)));
    assert_eq!((of(40), of(55), of(-1)), (None, None, None));
}

#[test]
fn only_what_may_have_been_read_before_keeps_an_old_block() {
    let at = Instant::now();
    let window = Window::new([epoch(2, 8, 10, 100), epoch(1, 0, 10, 0)], at, 13);
    assert_eq!(window.need(7, None, at), Need::Nothing, "another process has gone on from there");
    assert_eq!((window.need(12, None, at), window.need(13, None, at)), (Need::Nothing, Need::Younger));
    let before = at - Duration::from_secs(1);
    assert_eq!((window.need(13, None, before), window.need(18, None, before)), (Need::Nothing, Need::Block));
}

/// A record that came late, with an old time, is no record that was read before.
#[test]
fn what_is_late_is_not_taken_for_a_replay() {
    let at = Instant::now();
    let anchor_us = NOW_US;
    let window = Window::new([epoch(1, 0, 10, anchor_us)], at, 5);
    let need = |secs: i64| window.need(3, Some(anchor_us / 1_000 - secs * 1_000), at);
    assert_eq!(
        (need(0), need(59), need(61), need(3_600)),
        (Need::Nothing, Need::Nothing, Need::Younger, Need::Younger)
    );
    assert_eq!(window.need(3, None, at), Need::Nothing);
}

/// The block that was fetched ahead says nothing of what is left of the one before.
#[test]
fn what_is_left_of_a_block_grows_old_with_it() {
    let at = Instant::now();
    let fetched_ahead = epoch(2, 10, 10, 2_000_000);
    let window = Window::new([fetched_ahead, epoch(1, 0, 10, 0)], at, 5);
    assert_eq!((window.need(9, None, at), window.need(10, None, at)), (Need::Younger, Need::Younger));
    let second = |secs: u64| at - Duration::from_secs(secs);
    assert_eq!((window.need(9, None, second(1)), window.need(10, None, second(1))), (Need::Younger, Need::Nothing));
    assert_eq!((window.need(9, None, second(3)), window.need(4, None, at)), (Need::Nothing, Need::Nothing));
}

#[test]
fn the_oldest_timestamp_from_an_offset_on_passes_gaps() {
    let window = Window::new([epoch(2, 20, 10, 100), epoch(1, 0, 10, 0)], Instant::now(), 0);
    assert_eq!((window.oldest_us(4), window.oldest_us(10), window.oldest_us(25)), (Some(4), Some(100), Some(105)));
    assert_eq!(window.oldest_us(30), None);
}

#[test]
fn pruning_keeps_what_the_position_needs() {
    let mut window = Window::new([epoch(2, 10, 10, 100), epoch(1, 0, 10, 0)], Instant::now(), 0);
    window.prune(9);
    assert_eq!(window.timestamp_us(9), Some(9));
    window.prune(10);
    assert_eq!((window.timestamp_us(9), window.timestamp_us(10)), (None, Some(100)));
    window.prune(1_000);
    assert_eq!(window.end(), 20);
}

/// What a worker does next in the property below.
#[derive(Debug, Clone)]
struct Move {
    worker: usize,
    advance: i64,
    ahead: i64,
    clock_us: i64,
    cut: bool,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (0usize..3, 0i64..400, 1i64..100, -2_000_000i64..20_000_000, any::<bool>())
        .prop_map(|(worker, advance, ahead, clock_us, cut)| Move { worker, advance, ahead, clock_us, cut });
    prop::collection::vec(one, 1..60)
}

proptest! {
    /// Workers with their own positions, lost answers and clocks that jump: a newer epoch gives an offset a timestamp that
    /// is not below that of any older one, and what older epochs gave below its begin lies below all it gives.
    #[test]
    fn newer_epochs_lie_above_older_ones(moves in moves(), fail_every in 2u64..8) {
        let mut fake = Fake::new();
        fake.fail_every = fail_every;
        let first = begin(&fake, 1, 0, 50);
        let mut workers = vec![(0i64, first); 3];
        for step in moves {
            fake.now_us.fetch_add(step.clock_us, Relaxed);
            let (position, last) = &mut workers[step.worker];
            *position += step.advance;
            let cut = step.cut && last.block.holds(*position);
            if last.block.holds(*position) && !cut {
                continue;
            }
            match now(extend(&fake, &life(1), last.clone(), *position, step.ahead, cut)) {
                Ok((mut epochs, _)) => *last = epochs.pop().unwrap(),
                Err(error) => prop_assert!(error.is_transient(), "{}", error),
            }
        }
        let all = fake.all();
        let numbers: Vec<u64> = all.iter().map(|epoch| epoch.number).collect();
        prop_assert_eq!(&numbers, &(1..=all.len() as u64).collect::<Vec<_>>());
        for (at, newer) in all.iter().enumerate() {
            for older in &all[..at] {
                let (newer, older) = (newer.block, older.block);
                let shared = newer.from.max(older.from);
                prop_assert!(newer.timestamp_us(shared) >= older.timestamp_us(shared) || !older.holds(shared));
                if older.from < newer.from {
                    prop_assert!(older.timestamp_us(newer.from - 1) < newer.anchor_us || !older.holds(newer.from - 1));
                }
            }
        }
    }

    /// However records and gaps follow one another, each record is one block away at most, and gets a growing timestamp.
    #[test]
    fn gaps_at_every_place_are_passed(gaps in prop::collection::vec(prop_oneof![Just(1i64), 2i64..200, 1i64..1_000_000_000], 1..40)) {
        let fake = Fake::new();
        let first = begin(&fake, 1, 0, 16);
        let (at, never_old) = (Instant::now(), Instant::now() + Duration::from_secs(3_600));
        let mut window = Window::new([first], never_old, 0);
        let (mut offset, mut before) = (0, i64::MIN);
        for gap in gaps {
            fake.passes(Duration::from_millis(200));
            if window.need(offset, None, at) == Need::Block {
                let last = window.last().cloned().unwrap();
                let (epochs, _) = now(extend(&fake, &life(1), last, offset, 16, false)).unwrap();
                prop_assert_eq!(epochs.len(), 1);
                window.extend(epochs, never_old);
            }
            let timestamp = window.timestamp_us(offset).unwrap();
            prop_assert!(timestamp > before);
            before = timestamp;
            offset += gap;
        }
    }
}

#[test]
fn words_of_epochs_are_read_back() {
    let all: BTreeMap<&str, Why> = Why::ALL.iter().map(|(why, word)| (*word, *why)).collect();
    assert_eq!(all.len(), Why::ALL.len());
    for (why, word) in Why::ALL {
        assert_eq!((why.word(), Why::from_word(word)), (word, Some(why)));
    }
    assert_eq!(Why::from_word("later"), None);
}
