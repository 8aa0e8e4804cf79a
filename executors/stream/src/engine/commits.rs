//! What is durable, said where it is remembered: in the group's commits, every second, and beside the list of epochs, every
//! half minute. Whatever of it is lost, the other tells where to go on.
//!
//! The group's offset is looked at before it is written: a person's word is obeyed, a commit that another executor has made
//! further on stays, and one that was forgotten or moved back is made again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use millstream_protocol::Partition;
use tokio::time::Instant;

use super::{
    PartitionState, Stage, Stop, Trouble, list,
    looks::Looks,
    partition::Word,
    patience::{SHOWN_AFTER, few_at_once, patiently},
    setup::Ready,
};
use crate::{
    blocks::{Mark, store::CassandraList},
    source::{
        offsets::Commit,
        start::{By, Committed},
    },
};

/// How often offsets are committed. They are a hint where to start; more often would only cost.
pub(super) const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// How often the group's offset of a partition is looked at on which nothing moves.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often a commit is made again on which nothing moves: Kafka forgets it after `offsets.retention.minutes`.
const AGAIN_EVERY: Duration = Duration::from_secs(3_600);

/// How often what is durable is marked beside the list of epochs.
const MARK_EVERY: Duration = Duration::from_secs(30);

/// For marks of partitions that leave: nothing is lost without one.
const MARK_PATIENCE: Duration = Duration::from_secs(2);

/// What to do about the group's offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is ours and says all there is.
    Rest,
    /// Commit what is durable.
    Commit,
    /// It was ours and is not any more: commit what is durable.
    Repair,
    /// A person has moved it there.
    Moved(i64),
    /// An executor that is further on has spoken last.
    Leave,
    /// One that knows a newer epoch has: look whether we must begin anew, and leave it else.
    Newer,
}

/// Pure.
fn judge(seen: Option<Committed>, ours: Option<Word>, durable: Mark) -> Verdict {
    let Some(Committed { offset, by, .. }) = seen else { return Verdict::Commit };
    let Some(By { epoch, .. }) = by else { return Verdict::Moved(offset) };
    match ours {
        Some(word) if word == (Word { offset, epoch }) && durable.offset > offset => Verdict::Commit,
        Some(word) if word == (Word { offset, epoch }) => Verdict::Rest,
        _ if epoch > durable.epoch => Verdict::Newer,
        _ if offset > durable.offset && epoch == durable.epoch => Verdict::Leave,
        _ if ours.is_some() => Verdict::Repair,
        _ => Verdict::Commit,
    }
}

/// When each partition was last looked at, committed and marked.
#[derive(Default)]
struct Times(BTreeMap<Partition, Seen>);

struct Seen {
    looked: Instant,
    committed: Instant,
    marked: Instant,
    mark: Option<Word>,
}

impl Times {
    /// The partitions to look at now: those that moved, and the others by and by.
    fn due<'a>(
        &mut self,
        all: &'a [(Arc<PartitionState>, Mark)],
        now: Instant,
    ) -> Vec<&'a (Arc<PartitionState>, Mark)> {
        let numbers: BTreeSet<Partition> = all.iter().map(|(state, _)| state.partition).collect();
        self.0.retain(|partition, _| numbers.contains(partition));
        all.iter()
            .filter(|(state, durable)| {
                let seen = self.of(state.partition, now);
                let moved = state.word().is_none_or(|word| word.offset != durable.offset);
                moved || now.duration_since(seen.looked) >= LOOK_EVERY
            })
            .collect()
    }

    fn of(&mut self, partition: Partition, now: Instant) -> &mut Seen {
        self.0.entry(partition).or_insert(Seen { looked: now, committed: now, marked: now, mark: None })
    }
}

/// Commits and marks, until the engine is gone.
pub(super) async fn run(mut looks: Looks) {
    let mut times = Times::default();
    while let Some((engine, ready)) = looks.next().await {
        let begin = Instant::now();
        let all: Vec<(Arc<PartitionState>, Mark)> = engine.with_tasks(|tasks| {
            let states = tasks.values().flat_map(|task| &task.partitions);
            states.filter_map(|state| Some((state.clone(), state.to_commit()?))).collect()
        });
        let round = async {
            let due: Vec<_> = times.due(&all, begin).into_iter().map(|(state, durable)| (&**state, *durable)).collect();
            round(&ready, &due, &mut times, begin).await;
            marks(&ready, &all, &mut times, begin).await;
        };
        patiently(round, || {
            let waits = format!("Kafka or Cassandra has not answered a commit for {} s", SHOWN_AFTER.as_secs());
            engine.shared.health.commits.set(Trouble::stalled(waits));
        })
        .await;
        engine.shared.health.commits.clear();
        let time = begin.elapsed();
        engine.shared.metrics.busy(Stage::Commit, time);
        engine.with_tasks(|tasks| {
            let share = time / tasks.len().max(1) as u32;
            tasks.values().for_each(|task| task.counters.busy(Stage::Commit, share));
        });
    }
}

/// Looks at the group's offsets and commits what is to be committed. Failures are tried again the next time.
async fn round(ready: &Ready, due: &[(&PartitionState, Mark)], times: &mut Times, now: Instant) {
    if due.is_empty() {
        return;
    }
    let Some(seen) = look(ready, due).await else { return };
    let mut commits = vec![];
    for (state, durable) in due {
        let verdict = judge(seen.get(&state.partition).copied(), state.word(), *durable);
        let time = times.of(state.partition, now);
        time.looked = now;
        let is_old = now.duration_since(time.committed) >= AGAIN_EVERY;
        match verdict {
            Verdict::Rest if !is_old => continue,
            Verdict::Leave => continue,
            Verdict::Newer => {
                newer(ready, state).await;
                continue;
            }
            Verdict::Moved(offset) => {
                moved(ready, state, offset);
                continue;
            }
            Verdict::Repair => {
                tracing::warn!(
                    partition = state.partition,
                    offset = durable.offset,
                    "another executor has moved the group's offset; it is committed again"
                );
                ready.metrics.commit_repaired();
            }
            Verdict::Commit | Verdict::Rest => {}
        }
        commits.push((*state, *durable));
    }
    if commit(ready, &commits).await {
        for (state, _) in &commits {
            times.of(state.partition, now).committed = now;
        }
    }
}

/// A person has moved the group's offset while the partition was read: it begins anew there.
fn moved(ready: &Ready, state: &PartitionState, offset: i64) {
    tracing::warn!(
        partition = state.partition,
        offset,
        "the group's offset was moved by a person or another tool; beginning there"
    );
    ready.metrics.commit_moved();
    state.request_stop(Stop::anew(format!("the group's offset was moved to {offset} by a person; beginning there")));
}

/// A zombie may have begun younger timestamps below what we have read, and be gone.
async fn newer(ready: &Ready, state: &PartitionState) {
    if let Err(error) = list::look(ready, state).await {
        tracing::warn!(partition = state.partition, %error, "the list of timestamp blocks could not be looked at");
    }
}

async fn look(ready: &Ready, due: &[(&PartitionState, Mark)]) -> Option<BTreeMap<i32, Committed>> {
    match ready.committed(due.iter().map(|(state, _)| state.partition).collect()).await {
        Ok(seen) => Some(seen),
        Err(error) => {
            tracing::warn!(%error, "the group's offsets could not be read");
            ready.metrics.committed(false);
            None
        }
    }
}

async fn commit(ready: &Ready, commits: &[(&PartitionState, Mark)]) -> bool {
    if commits.is_empty() {
        return true;
    }
    let generation = ready.life.generation;
    let list: Vec<Commit> = commits
        .iter()
        .map(|(state, Mark { offset, epoch, leader })| {
            let has_left = state.has_left_at(*offset);
            let by = By { generation, epoch: *epoch, has_left };
            Commit { partition: state.partition, offset: *offset, leader: *leader, by }
        })
        .collect();
    let result = ready.commit(list).await;
    ready.metrics.committed(result.is_ok());
    match result {
        Ok(()) => {
            commits.iter().for_each(|(state, durable)| state.set_word(Some(word(*durable))));
            true
        }
        Err(error) => {
            tracing::warn!(%error, "commit failed");
            false
        }
    }
}

async fn marks(ready: &Ready, all: &[(Arc<PartitionState>, Mark)], times: &mut Times, now: Instant) {
    let due: Vec<_> = all
        .iter()
        .filter(|(state, durable)| {
            let time = times.of(state.partition, now);
            time.mark != Some(word(*durable)) && now.duration_since(time.marked) >= MARK_EVERY
        })
        .collect();
    let marks =
        due.into_iter().map(async |(state, durable)| (state.partition, *durable, mark(ready, state, *durable).await));
    for (partition, durable, _) in few_at_once(marks).await.into_iter().filter(|(.., is_marked)| *is_marked) {
        let time = times.of(partition, now);
        (time.marked, time.mark) = (now, Some(word(durable)));
    }
}

fn word(Mark { offset, epoch, .. }: Mark) -> Word {
    Word { offset, epoch }
}

/// Writes the mark. One that is lost is written again by and by.
async fn mark(ready: &Ready, state: &PartitionState, durable: Mark) -> bool {
    let Some(timestamp_us) = state.mark_us(durable.offset) else { return false };
    let list = CassandraList::new(ready.blocks.clone(), state.partition);
    match list.put_mark(durable, timestamp_us).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(partition = state.partition, %error, "mark of what is durable could not be written");
            false
        }
    }
}

/// Says of partitions that leave or have stopped, once, what is durable, and that nothing beyond was read. Whether all of it
/// is committed.
pub(super) async fn settle(ready: &Ready, leaving: &[(&PartitionState, Mark)]) -> bool {
    let committed = settle_commits(ready, leaving).await;
    let marks = leaving.iter().map(|(state, durable)| mark(ready, state, *durable));
    let _ = tokio::time::timeout(MARK_PATIENCE, few_at_once(marks)).await;
    committed
}

async fn settle_commits(ready: &Ready, leaving: &[(&PartitionState, Mark)]) -> bool {
    let Some(seen) = look(ready, leaving).await else { return false };
    let commits: Vec<_> = leaving
        .iter()
        .filter(|(state, durable)| match judge(seen.get(&state.partition).copied(), state.word(), *durable) {
            Verdict::Commit | Verdict::Repair => true,
            Verdict::Rest => state.has_left_at(durable.offset),
            Verdict::Moved(_) | Verdict::Leave | Verdict::Newer => false,
        })
        .copied()
        .collect();
    commit(ready, &commits).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURABLE: Mark = Mark { offset: 10, epoch: 3, leader: -1 };

    fn seen(offset: i64, epoch: u64) -> Option<Committed> {
        Some(Committed { offset, leader: -1, by: Some(By { generation: 1, epoch, has_left: false }) })
    }

    fn ours(offset: i64, epoch: u64) -> Option<Word> {
        Some(Word { offset, epoch })
    }

    #[test]
    fn what_is_ours_is_moved_on_and_else_left() {
        assert_eq!(judge(seen(7, 3), ours(7, 3), DURABLE), Verdict::Commit);
        assert_eq!(judge(seen(10, 3), ours(10, 3), DURABLE), Verdict::Rest);
    }

    #[test]
    fn what_kafka_forgot_or_a_zombie_moved_back_is_said_again() {
        assert_eq!(judge(None, ours(10, 3), DURABLE), Verdict::Commit);
        assert_eq!(judge(seen(4, 2), ours(10, 3), DURABLE), Verdict::Repair);
        assert_eq!(judge(seen(4, 0), ours(10, 3), DURABLE), Verdict::Repair, "of an earlier release");
        assert_eq!(judge(seen(90, 2), ours(10, 3), DURABLE), Verdict::Repair, "under an older epoch that counts less");
    }

    #[test]
    fn who_is_further_on_is_left_alone() {
        assert_eq!(judge(seen(12, 3), ours(10, 3), DURABLE), Verdict::Leave);
        assert_eq!(judge(seen(4, 4), ours(10, 3), DURABLE), Verdict::Newer);
    }

    #[test]
    fn a_persons_word_is_no_executors() {
        let by_person = Some(Committed { offset: 10, leader: -1, by: None });
        assert_eq!(judge(by_person, ours(10, 3), DURABLE), Verdict::Moved(10));
    }
}
