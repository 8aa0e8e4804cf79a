use std::{
    collections::BTreeMap,
    sync::{Mutex, atomic::AtomicI64, atomic::Ordering::Relaxed},
};

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::{
    keeper::{Clocks, KeeperError, List, extend, load},
    *,
};

/// Lists in memory. Every n-th insert happens but is answered with an error, as a timed-out LWT may.
struct Fake {
    blocks: Mutex<BTreeMap<(u64, i64), Block>>,
    now_us: AtomicI64,
    coordinator_us: Option<i64>,
    fail_every: i64,
    inserts: AtomicI64,
}

#[derive(Debug, thiserror::Error)]
#[error("timed out")]
struct Timeout;

impl Fake {
    fn new() -> Self {
        Fake {
            blocks: Mutex::default(),
            now_us: AtomicI64::new(1_700_000_000_000_000),
            coordinator_us: None,
            fail_every: i64::MAX,
            inserts: AtomicI64::new(0),
        }
    }

    fn all(&self, generation: u64) -> Vec<Block> {
        self.blocks.lock().unwrap().iter().filter(|(key, _)| key.0 == generation).map(|(_, block)| *block).collect()
    }
}

impl List for Fake {
    type Error = Timeout;

    async fn newest_from(&self, generation: u64, offset: i64) -> Result<Option<Block>, Timeout> {
        let blocks = self.blocks.lock().unwrap();
        Ok(blocks.range((generation, i64::MIN)..=(generation, offset)).next_back().map(|(_, block)| *block))
    }

    async fn following(&self, generation: u64, offset: i64) -> Result<Vec<Block>, Timeout> {
        let blocks = self.blocks.lock().unwrap();
        Ok(blocks.range((generation, offset)..=(generation, i64::MAX)).take(3).map(|(_, block)| *block).collect())
    }

    async fn insert(&self, generation: u64, block: Block) -> Result<Block, Timeout> {
        let there = *self.blocks.lock().unwrap().entry((generation, block.from)).or_insert(block);
        match (self.inserts.fetch_add(1, Relaxed) + 1) % self.fail_every {
            0 => Err(Timeout),
            _ => Ok(there),
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

fn timestamp(blocks: &[Block], offset: i64) -> Option<i64> {
    Window::new(blocks.to_vec()).timestamp_us(offset)
}

#[test]
fn the_first_block_is_keyed_0_and_gives_the_start_the_wall_clock() {
    let fake = Fake::new();
    let blocks = now(load(&fake, 1, 5_000, 100)).unwrap();
    assert_eq!(blocks, [Block { from: 0, len: 5_100, anchor_us: 1_700_000_000_000_000 - 5_000 }]);
    assert_eq!(timestamp(&blocks, 5_000), Some(1_700_000_000_000_000));
}

#[test]
fn what_exists_wins() {
    let fake = Fake::new();
    let first = now(load(&fake, 1, 0, 10)).unwrap();
    fake.now_us.fetch_add(1_000_000, Relaxed);
    assert_eq!(now(load(&fake, 1, 3, 999)).unwrap(), first);
    let a = now(extend(&fake, 1, Some(first[0]), None, 10, 20)).unwrap();
    let b = now(extend(&fake, 1, Some(first[0]), None, 12, 700)).unwrap();
    assert_eq!(a, b);
}

#[test]
fn a_long_gap_lies_in_the_past() {
    let fake = Fake::new();
    let first = now(load(&fake, 1, 0, 10)).unwrap();
    fake.now_us.fetch_add(3_600_000_000, Relaxed);
    let next = now(load(&fake, 1, 1_000_000_000, 10)).unwrap();
    assert_eq!(next[0].from, first[0].end());
    assert_eq!(timestamp(&next, 1_000_000_000), Some(fake.now_us.load(Relaxed)));
}

#[test]
fn a_new_generation_seals_the_old_one_and_lies_above_it() {
    let fake = Fake::new();
    let old = now(load(&fake, 1, 0, 1_000)).unwrap();
    let new = now(load(&fake, 4, 0, 10)).unwrap();
    assert!(timestamp(&new, 0).unwrap() > timestamp(&old, 999).unwrap());
    let stopped = now(extend(&fake, 1, Some(old[0]), None, 1_000, 10)).unwrap_err();
    assert!(matches!(stopped, KeeperError::Sealed { generation: 1, at: 1_000 }));
    assert!(matches!(now(load(&fake, 1, 2_000, 10)), Err(KeeperError::Sealed { .. })));
    // What it holds already it may still write.
    assert_eq!(now(load(&fake, 1, 999, 10)).unwrap(), old);
}

#[test]
fn a_clock_far_ahead_is_refused() {
    let mut fake = Fake::new();
    fake.coordinator_us = Some(fake.now_us.load(Relaxed) - AHEAD_MAX_US - 1);
    assert!(matches!(now(load(&fake, 1, 0, 1)), Err(KeeperError::Clock { .. })));
    assert!(fake.all(1).is_empty());
}

#[test]
fn blocks_last_about_ten_seconds() {
    let block = |len| Some(Block { from: 0, len, anchor_us: 0 });
    let speed = |consumed_per_sec, backlog, appended_per_sec| Speed { consumed_per_sec, backlog, appended_per_sec };
    assert_eq!(ahead(speed(0.0, None, 0.0), None), LEN_FIRST);
    assert_eq!(ahead(speed(0.0, Some(500_000), 0.0), None), 500_000);
    assert_eq!(ahead(speed(5_000.0, Some(1 << 40), 100.0), block(40_000)), 50_000);
    assert_eq!(ahead(speed(1e9, Some(1 << 40), 100.0), block(40_000)), 640_000);
    assert_eq!(ahead(speed(1e9, None, 0.0), block(LEN_MAX)), LEN_MAX);
    // Almost caught up: only what is left and what is appended.
    assert_eq!(ahead(speed(50_000.0, Some(300), 100.0), block(LEN_MAX)), 1_300);
    assert_eq!(ahead(speed(50_000.0, Some(0), 0.0), block(LEN_MAX)), LEN_FIRST);
}

#[test]
fn a_window_gives_no_timestamp_outside_itself() {
    let mut window =
        Window::new(vec![Block { from: 0, len: 10, anchor_us: 100 }, Block { from: 10, len: 10, anchor_us: 200 }]);
    assert_eq!(window.timestamp_us(9), Some(109));
    assert_eq!(window.timestamp_us(10), Some(200));
    assert_eq!(window.timestamp_us(20), None);
    assert!(!window.wants_more(14) && window.wants_more(15));
    window.prune(12);
    assert_eq!((window.timestamp_us(9), window.timestamp_us(12)), (None, Some(202)));
    window.prune(50);
    assert_eq!(window.end(), 20);
}

/// What a worker does next in the property below.
#[derive(Debug, Clone)]
struct Move {
    worker: usize,
    advance: i64,
    ahead: i64,
    clock_us: i64,
    crash: bool,
    new_generation: bool,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = (
        0usize..3,
        0i64..400,
        1i64..100,
        -2_000_000i64..2_000_000,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(worker, advance, ahead, clock_us, crash, new_generation)| Move {
            worker,
            advance,
            ahead,
            clock_us,
            crash,
            new_generation,
        });
    prop::collection::vec(one, 1..60)
}

proptest! {
    /// Three workers with their own positions, lost answers, crashes, clocks that jump, and generations: whoever asks
    /// for an offset gets the same timestamp, growing with the offset, and newer generations lie above older ones.
    #[test]
    fn every_process_gives_an_offset_the_same_growing_timestamp(moves in moves(), fail_every in 2i64..8) {
        let mut fake = Fake::new();
        fake.fail_every = fail_every;
        fake.coordinator_us = Some(i64::MAX / 2);
        let mut workers = vec![(1u64, 0i64, None::<Vec<Block>>); 3];
        let mut seen: BTreeMap<(u64, i64), i64> = BTreeMap::new();
        let mut newest = 1;
        for step in moves {
            fake.now_us.fetch_add(step.clock_us, Relaxed);
            let (generation, position, window) = &mut workers[step.worker];
            if step.new_generation {
                newest += 1;
                (*generation, *window) = (newest, None);
            }
            if step.crash {
                // Starts again below: a stale commit only causes replay.
                (*position, *window) = ((*position - 150).max(0), None);
            }
            *position += step.advance;
            let loaded = match window.as_ref().and_then(|blocks| blocks.last().copied()) {
                Some(last) if last.end() > *position => continue,
                Some(last) => now(extend(&fake, *generation, Some(last), None, *position, step.ahead)),
                None => now(load(&fake, *generation, *position, step.ahead)),
            };
            match loaded {
                Ok(blocks) => {
                    for offset in [*position, blocks.last().unwrap().end() - 1] {
                        let ts = timestamp(&blocks, offset).unwrap();
                        prop_assert_eq!(*seen.entry((*generation, offset)).or_insert(ts), ts);
                    }
                    *window = Some(blocks);
                }
                Err(KeeperError::Store(_)) => {}
                Err(KeeperError::Sealed { .. }) => prop_assert!(*generation < newest),
                Err(KeeperError::Clock { .. }) => prop_assert!(false, "no clock is far ahead here"),
            }
        }
        for generation in 1..=newest {
            let blocks = fake.all(generation);
            prop_assert!(blocks.windows(2).all(|w| w[0].end() == w[1].from && w[0].end_us() <= w[1].anchor_us));
            prop_assert!(blocks.iter().rev().skip(1).all(|block| !block.is_seal()));
        }
        let by_offset: Vec<_> = seen.iter().collect();
        prop_assert!(by_offset.windows(2).all(|w| w[0].0.0 != w[1].0.0 || w[0].1 < w[1].1));
        for ((generation, offset), ts) in &seen {
            for older in 1..*generation {
                if let Some(older_ts) = seen.get(&(older, *offset)) {
                    prop_assert!(ts > older_ts, "generation {} at {}: {} is not above {}", generation, offset, ts, older_ts);
                }
            }
        }
    }
}

#[test]
fn the_first_block_tells_where_its_generation_began() {
    for (position, ahead) in [(0, 1), (5, 64), (3_000_000, 64), (3_000_000, LEN_MAX)] {
        let first = propose(None, None, position, ahead, 0);
        let began = first.began_from();
        assert!(began <= position && position - began <= LEN_MAX, "{position}: {began}");
    }
}
