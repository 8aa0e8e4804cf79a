//! Where a partition begins (docs/delivery.md, "Where a partition begins"). Pure.
//!
//! Three things remember how far the table is: the group's commit, the mark beside the list of epochs, and the newest
//! epoch at which an owner began to read. Each tells the epoch it was made under, and counts only up to where the next
//! epoch begins: from there on offsets have younger timestamps, and must be written again. The furthest of them is right,
//! since each is right by itself; any of them may be lost. What a person says comes first.

use std::sync::Arc;

use millstream_spec::Start;

use crate::blocks::{Epoch, Life, Mark, Why};

/// What the group has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Where to begin.
    pub offset: i64,
    /// Leader epoch of the log there; negative while unknown.
    pub leader: i32,
    /// Who says so; none when a person or another tool did.
    pub by: Option<By>,
}

/// An executor of this job's name, by what it says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Its generation.
    pub generation: u64,
    /// The newest epoch it knew; 0 for one of an earlier release.
    pub epoch: u64,
    /// It left, and had read nothing beyond the offset.
    pub has_left: bool,
}

/// What Kafka says about a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What the group has committed.
    pub committed: Option<Committed>,
    /// Oldest offset in the log.
    pub log_start: i64,
    /// Offset after the last committed record in the log.
    pub log_end: i64,
    /// Offset of the first record at or after the job's start time, when the job has one; none when there is no such
    /// record yet.
    pub at_start_time: Option<i64>,
    /// The partition came after the job began: all its records are new.
    pub is_later: bool,
}

/// What the partition's list says.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Newest first, as far back as it matters: to the epochs that commit, mark and the last begin speak of.
    pub epochs: &'a [Epoch],
    /// All below is in the table.
    pub mark: Option<Mark>,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// First offset to be consumed.
    pub offset: i64,
    /// Leader epoch of the log there; negative while unknown.
    pub leader: i32,
    /// An epoch begins there; none to go on by the list as it is.
    pub begins: Option<Why>,
}

/// Why a partition must not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Retention has passed what was written.
    #[error(
        "offset out of range: all before {at} is in the table, and the log starts at {log_start}; {} records in [{at}, {log_start}) are gone; to go on without them, set the group's offset to {log_start}",
        log_start - at
    )]
    Gap {
        /// Lowest offset that is not written.
        at: i64,
        /// Oldest offset in the log.
        log_start: i64,
    },
    /// A person has set an offset that retention has passed.
    #[error(
        "the group's offset was set to {at}, and the log starts at {log_start}: set it to where it shall go on, at least {log_start}; rows are then written again from there"
    )]
    BelowStart {
        /// Where to begin.
        at: i64,
        /// Oldest offset in the log.
        log_start: i64,
    },
    /// The log is shorter than what was consumed of it, or than what a person has set.
    #[error(
        "offset {at} is beyond the log end {log_end}: set the group's offset to where it shall go on, at most {log_end}; rows are then written again from there"
    )]
    BeyondEnd {
        /// Where to begin.
        at: i64,
        /// Offset after the last record.
        log_end: i64,
    },
    /// A newer version of the job, with another meaning, has the list.
    #[error(
        "generation {generation} was taken over by generation {by} with another meaning; if no newer version of the job runs, the scheduler's state is older than the table: deploy the job again, which takes the next generation"
    )]
    Sealed {
        /// Ours.
        generation: u64,
        /// The one that has it.
        by: u64,
    },
}

/// Decides where to begin, and in which life. `me` is what the scheduler says; the list may know better.
pub fn decide(me: &Life, facts: Facts, known: Known<'_>, start: Start) -> Result<(Position, Arc<Life>), StartError> {
    let Some(newest) = known.epochs.first() else {
        let position = match facts.committed {
            Some(committed) => {
                Position { offset: committed.offset, leader: committed.leader, begins: Some(Why::Start) }
            }
            None => by_policy(facts, start, Why::Start),
        };
        return in_log(position, facts).map(|position| (position, Arc::new(me.clone())));
    };
    let life = life(me, &newest.life)?;
    let position = if newest.life.group != me.group {
        match facts.committed {
            Some(committed) => {
                Position { offset: committed.offset, leader: committed.leader, begins: Some(Why::Group) }
            }
            None => by_policy(facts, start, Why::Group),
        }
    } else if let Some(by_person) = facts.committed.filter(|committed| committed.by.is_none()) {
        Position { offset: by_person.offset, leader: -1, begins: Some(Why::Moved) }
    } else if me.is_another_log(&newest.life) {
        Position { offset: facts.log_start, leader: -1, begins: Some(Why::Topic) }
    } else {
        let (offset, leader) = furthest(facts.committed, known);
        let begins = (life.generation > newest.life.generation).then_some(Why::Generation);
        Position { offset, leader, begins }
    };
    let position = in_log(position, facts).map_err(|error| match error {
        StartError::Gap { at, log_start } if position.begins == Some(Why::Moved) => {
            StartError::BelowStart { at, log_start }
        }
        error => error,
    });
    position.map(|position| (position, Arc::new(life)))
}

/// The life to serve: the list's own where the meaning is the same, ours where it is a newer one.
fn life(me: &Life, newest: &Life) -> Result<Life, StartError> {
    let known = |id: &str| if id.is_empty() { newest.topic_id.clone() } else { id.to_owned() };
    let (topic_id, group) = (known(&me.topic_id), me.group.clone());
    if me.generation > newest.generation {
        return Ok(Life { topic_id, ..me.clone() });
    }
    if me.generation < newest.generation && me.meaning != newest.meaning {
        return Err(StartError::Sealed { generation: me.generation, by: newest.generation });
    }
    Ok(Life { generation: newest.generation, meaning: newest.meaning.clone(), topic_id, group })
}

fn by_policy(facts: Facts, start: Start, why: Why) -> Position {
    let Facts { log_start, log_end, at_start_time, is_later, .. } = facts;
    let offset = match start {
        _ if is_later => log_start,
        Start::Earliest => log_start,
        Start::Latest => log_end,
        Start::TimestampMs(_) => at_start_time.unwrap_or(log_end).max(log_start),
    };
    Position { offset, leader: -1, begins: Some(why) }
}

/// The furthest offset below which all is in the table, with its leader epoch.
fn furthest(committed: Option<Committed>, known: Known<'_>) -> (i64, i32) {
    let commit = committed.and_then(|c| Some(Mark { offset: c.offset, epoch: c.by?.epoch, leader: c.leader }));
    let begun = known.epochs.iter().find(|epoch| epoch.why.is_start());
    let begun = begun.map(|epoch| Mark { offset: epoch.block.from, epoch: epoch.number, leader: -1 });
    let counts = [commit, known.mark, begun].into_iter().flatten().filter_map(|word| counts(word, known.epochs));
    counts.max_by_key(|(offset, _)| *offset).unwrap_or((0, -1))
}

/// What such a word says of the list as it is now: nothing beyond where a newer epoch begins. None when those epochs
/// are not at hand.
fn counts(word: Mark, epochs: &[Epoch]) -> Option<(i64, i32)> {
    let oldest = epochs.last()?.number;
    if word.epoch + 1 < oldest {
        return None;
    }
    let newer = epochs.iter().take_while(|epoch| epoch.number > word.epoch).map(|epoch| epoch.block.from).min();
    match newer.filter(|from| *from < word.offset) {
        Some(from) => Some((from, -1)),
        None => Some((word.offset, word.leader)),
    }
}

/// Whether the log holds it.
fn in_log(position: Position, facts: Facts) -> Result<Position, StartError> {
    let (at, Facts { log_start, log_end, .. }) = (position.offset, facts);
    if at < log_start {
        return Err(StartError::Gap { at, log_start });
    }
    if at > log_end {
        return Err(StartError::BeyondEnd { at, log_end });
    }
    Ok(position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::Block;

    const FACTS: Facts =
        Facts { committed: None, log_start: 10, log_end: 200, at_start_time: Some(15), is_later: false };

    fn me(generation: u64) -> Life {
        Life { generation, meaning: format!("m{generation}"), topic_id: "t".into(), group: "g".into() }
    }

    fn epoch(number: u64, life: Life, why: Why, from: i64) -> Epoch {
        Epoch { number, life: Arc::new(life), why, block: Block { from, len: 10, anchor_us: 0 } }
    }

    fn by(offset: i64, epoch: u64) -> Facts {
        let by = Some(By { generation: 1, epoch, has_left: false });
        Facts { committed: Some(Committed { offset, leader: 4, by }), ..FACTS }
    }

    fn by_person(offset: i64) -> Facts {
        Facts { committed: Some(Committed { offset, leader: -1, by: None }), ..FACTS }
    }

    /// Newest first: began at 20, went on at 100, cut at 120.
    fn list() -> Vec<Epoch> {
        vec![epoch(3, me(1), Why::Cut, 120), epoch(2, me(1), Why::Next, 100), epoch(1, me(1), Why::Start, 20)]
    }

    fn at(facts: Facts, epochs: &[Epoch], mark: Option<(i64, u64)>) -> Result<(i64, Option<Why>), StartError> {
        at_of(&me(1), facts, epochs, mark)
    }

    fn at_of(
        me: &Life,
        facts: Facts,
        epochs: &[Epoch],
        mark: Option<(i64, u64)>,
    ) -> Result<(i64, Option<Why>), StartError> {
        let mark = mark.map(|(offset, epoch)| Mark { offset, epoch, leader: 5 });
        decide(me, facts, Known { epochs, mark }, Start::Latest).map(|(position, _)| (position.offset, position.begins))
    }

    #[test]
    fn a_list_that_has_not_begun_begins_where_the_group_or_the_job_says() {
        let begun =
            |facts: Facts, start| decide(&me(1), facts, Known { epochs: &[], mark: None }, start).unwrap().0.offset;
        assert_eq!(begun(by(50, 0), Start::Latest), 50);
        assert_eq!(begun(by_person(50), Start::Latest), 50);
        assert_eq!((begun(FACTS, Start::Earliest), begun(FACTS, Start::Latest)), (10, 200));
        assert_eq!(begun(FACTS, Start::TimestampMs(1)), 15);
        assert_eq!(begun(Facts { at_start_time: None, ..FACTS }, Start::TimestampMs(1)), 200);
        let later = Facts { is_later: true, ..FACTS };
        assert_eq!(begun(later, Start::Latest), 10, "a partition that came later is read from its beginning");
    }

    #[test]
    fn the_furthest_word_counts_and_any_may_be_lost() {
        assert_eq!(at(by(130, 3), &list(), Some((125, 3))), Ok((130, None)));
        assert_eq!(at(by(110, 2), &list(), Some((125, 3))), Ok((125, None)), "moved back by a zombie");
        assert_eq!(at(FACTS, &list(), Some((125, 3))), Ok((125, None)), "forgotten by Kafka");
        assert_eq!(at(by(130, 3), &list(), None), Ok((130, None)), "no mark yet");
        assert_eq!(at(FACTS, &list(), None), Ok((20, None)), "only where it began; never where `start` says");
    }

    #[test]
    fn a_word_counts_up_to_where_the_next_epoch_begins() {
        assert_eq!(at(by(140, 2), &list(), None), Ok((120, None)));
        assert_eq!(at(by(140, 1), &list(), None), Ok((100, None)));
        assert_eq!(at(by(140, 0), &list(), None), Ok((20, None)), "of an earlier release");
        assert_eq!(at(FACTS, &list(), Some((140, 1))), Ok((100, None)));
        // Epochs that are not at hand are not guessed.
        assert_eq!(at(by(140, 0), &list()[..2], Some((110, 2))), Ok((110, None)));
    }

    #[test]
    fn a_person_is_obeyed() {
        for offset in [15, 130, 200] {
            assert_eq!(at(by_person(offset), &list(), Some((125, 3))), Ok((offset, Some(Why::Moved))));
        }
        assert_eq!(at(by_person(5), &list(), None), Err(StartError::BelowStart { at: 5, log_start: 10 }));
        assert!(matches!(at(by_person(201), &list(), None), Err(StartError::BeyondEnd { at: 201, .. })));
    }

    #[test]
    fn another_log_or_group_or_meaning_is_another_life() {
        let remade = Life { topic_id: "other".into(), ..me(1) };
        assert_eq!(at_of(&remade, by(130, 3), &list(), Some((125, 3))), Ok((10, Some(Why::Topic))));
        let unknown = Life { topic_id: String::new(), ..me(1) };
        assert_eq!(at_of(&unknown, by(130, 3), &list(), None), Ok((130, None)), "an unknown id says nothing");
        let other_group = Life { group: "other".into(), ..me(1) };
        assert_eq!(at_of(&other_group, FACTS, &list(), Some((125, 3))), Ok((200, Some(Why::Group))));
        assert_eq!(at_of(&me(2), by(130, 3), &list(), None), Ok((130, Some(Why::Generation))));
    }

    #[test]
    fn a_scheduler_without_memory_goes_on_or_is_refused() {
        let mut list = list();
        list.insert(0, epoch(4, Life { generation: 7, ..me(1) }, Why::Generation, 150));
        assert_eq!(at(by(160, 4), &list, None), Ok((160, None)), "the same meaning");
        list[0].life = Arc::new(me(7));
        let refused = at(by(160, 4), &list, None).unwrap_err();
        assert_eq!(refused, StartError::Sealed { generation: 1, by: 7 });
    }

    #[test]
    fn losses_are_judged_by_what_was_written() {
        let shorter = Facts { log_start: 150, ..by(110, 2) };
        let gap = at(shorter, &list(), Some((125, 3))).unwrap_err();
        assert_eq!(gap, StartError::Gap { at: 125, log_start: 150 });
        assert!(gap.to_string().contains("25 records in [125, 150) are gone"), "{gap}");
        let none = Facts { log_start: 120, ..by(110, 2) };
        assert_eq!(at(none, &list(), Some((125, 3))), Ok((125, None)), "a commit moved back is no loss");
    }
}
