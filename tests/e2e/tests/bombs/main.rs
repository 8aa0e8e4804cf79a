//! Job files from a stranger against a real scheduler: each is refused or bounded, and the scheduler answers all the while.
//! Neither Kafka nor Cassandra is there: what nothing is wrong with ends at the question whether they are.

mod bomb;
mod constants;
mod others;
mod scheduler;
mod shapes;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::sync::Semaphore;

use bomb::{Bomb, job};
use scheduler::{ANSWER_WITHIN, Answer, Pulse, Scheduler, ask};

/// Fewest bombs.
const BOMBS_MIN: usize = 60;

/// Sent at the same time: more than the scheduler checks at once, fewer than it sends away.
const AT_ONCE: usize = 6;

/// Sent at the same time to be sent away.
const CROWD: usize = 60;

/// Most memory of the scheduler.
const MEMORY_MIB_MAX: usize = 1024;

fn bombs() -> Vec<Bomb> {
    [constants::bombs(), shapes::bombs(), others::bombs()].into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_or_bounded() -> Result<()> {
    let bombs = bombs();
    ensure!(bombs.len() >= BOMBS_MIN, "only {} bombs", bombs.len());
    let mut scheduler = Scheduler::start().await?;
    let pulse = Pulse::of(&scheduler);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let sent: Vec<_> = bombs
        .into_iter()
        .enumerate()
        .map(|(index, bomb)| tokio::spawn(send(scheduler.address.clone(), index, bomb, turns.clone())))
        .collect();
    let mut times = vec![];
    let mut faults = vec![];
    for sent in sent {
        match sent.await? {
            Ok(took) => times.push(took),
            Err(fault) => faults.push(format!("{fault:#}")),
        }
    }
    let (beats, misses) = pulse.counts();
    let memory_mib = scheduler.memory_mib_max()?;
    times.sort();
    println!(
        "{} bombs, slowest {:?}, {memory_mib} MiB, {beats} beats, {misses} missed",
        times.len(),
        times.iter().rev().take(5).collect::<Vec<_>>()
    );
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    ensure!(scheduler.is_alive()?, "the scheduler has ended");
    ensure!(misses == 0 && beats > 0, "/health/live was late {misses} times, in time {beats} times");
    ensure!(memory_mib < MEMORY_MIB_MAX, "the scheduler has taken {memory_mib} MiB");

    crowd(&scheduler).await?;
    let good = job("a = \"int\"", "SELECT a FROM input");
    let good = ask(&scheduler.address, "POST", "/api/v1/plan", good.as_bytes()).await?;
    // Its SQL is right, and only Kafka and Cassandra are not there.
    ensure!(good.status == 422 && good.body.contains("127.0.0.1:1"), "{}: {}", good.status, good.shown());
    ensure!(!good.body.contains("transform.sql"), "{}", good.shown());
    Ok(())
}

/// A bomb on one of the two ways in, again while the scheduler has too much to do.
async fn send(address: String, index: usize, bomb: Bomb, turns: Arc<Semaphore>) -> Result<Duration> {
    let _turn = turns.acquire().await?;
    let (method, path) = [("POST", "/api/v1/plan"), ("PUT", "/api/v1/jobs/bomb")][index % 2];
    let what = format!("bomb {index} ({})", bomb.attacks);
    let answered = async {
        loop {
            let begun = Instant::now();
            let answer = ask(&address, method, path, &bomb.body).await?;
            if answer.status != 429 {
                return anyhow::Ok((answer, begun.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let answered = tokio::time::timeout(ANSWER_WITHIN, answered).await;
    let (answer, took) =
        answered.with_context(|| format!("{what}: no answer within {ANSWER_WITHIN:?}"))?.context(what.clone())?;
    check(&answer).context(what)?;
    Ok(took)
}

fn check(answer: &Answer) -> Result<()> {
    ensure!((400..500).contains(&answer.status), "{}: {}", answer.status, answer.shown());
    let body = answer.json()?;
    ensure!(body["error"].as_str().is_some_and(|error| !error.is_empty()), "no error: {}", answer.shown());
    ensure!(body["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "no remedy: {}", answer.shown());
    for fault in body["diagnostics"].as_array().into_iter().flatten() {
        ensure!(fault["help"].as_str().is_some_and(|help| !help.is_empty()), "no help: {fault}");
    }
    Ok(())
}

/// More than the scheduler checks at once: what is too much is told to come again, and the rest is answered.
async fn crowd(scheduler: &Scheduler) -> Result<()> {
    let columns = bomb::list(1_000, "\n", |i| format!("c{i} = \"int\""));
    let body = Arc::new(job(&columns, "SELECT * FROM input WHERE nothing > 0"));
    let asked: Vec<_> = (0..CROWD)
        .map(|_| {
            let (address, body) = (scheduler.address.clone(), body.clone());
            tokio::spawn(async move { ask(&address, "POST", "/api/v1/plan", body.as_bytes()).await })
        })
        .collect();
    let (mut refused, mut sent_away) = (0, 0);
    for asked in asked {
        let answer = asked.await??;
        check(&answer)?;
        match answer.status {
            429 => sent_away += 1,
            _ => refused += 1,
        }
        ensure!(answer.status != 429 || answer.head.contains("retry-after: 1"), "{}", answer.head);
    }
    println!("{refused} refused, {sent_away} sent away");
    ensure!(refused > 0 && sent_away > 0, "{refused} refused, {sent_away} sent away");
    Ok(())
}
