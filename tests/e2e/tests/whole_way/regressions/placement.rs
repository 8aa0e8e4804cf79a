//! Waits that never end.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millstream_e2e::{Accounts, Shape, beside, figure};
use millstream_testbed::{MesosOptions, eventually};

use crate::run::slots;

/// Its reservations keep Millstream out of an agent.
const OTHER: &str = "other";
const SOON: Duration = Duration::from_secs(20);

/// marathon#4281, Singularity#2056: a rack is full, or was never seen, and the spread rule holds up what would fit elsewhere.
#[test]
fn spread_rule_stalls_marathon_4281() -> Result<()> {
    beside(MesosOptions::default(), async |servers| {
        // All of rack r3 belongs to somebody else: no offer ever shows that it is there.
        servers.mesos()?.reserve(3, OTHER, &[("cpus", 4.0), ("mem", 4096.0)]).await?;
        let accounts = Accounts::prepare(servers, "marathon-4281", 10).await?;
        let job = accounts.name.as_str();
        // One task of three in each rack.
        let placement = "max_share_per_rack = 0.34\nmax_wait = \"1s\"".to_owned();
        let file = accounts.shaped_job_file(servers, &Shape { placement, ..Shape::default() });
        let begun = Instant::now();
        servers.millstream.deploy(job, &file).await?;
        let two = eventually("two tasks run and the third says why it waits", SOON, async || {
            let slots = slots(servers, job).await?;
            let waiting = slots.iter().filter(|slot| slot["reason"].to_string().contains("spread_cap")).count();
            let placed = slots.iter().filter(|slot| slot["state"] == "placed").count();
            Ok((placed == 2 && waiting == 1).then_some(begun.elapsed()))
        });
        let two = two.await?;
        servers.millstream.api().wait_running(job, SOON * 2).await?;
        figure(format!(
            "two tasks were placed after {:.1} s, the third over the cap after {:.1} s",
            two.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        ));
        servers.stop(job).await
    })
}

/// SPARK-18886: the wait for a near place begins anew with each task that finds one, and the last waits for ever.
#[test]
fn locality_timer_restarts_spark_18886() -> Result<()> {
    const TASKS: usize = 16;
    const CPUS: f64 = 0.3;
    const STEPS: usize = 12;
    /// A place near the data becomes free this often; a timer that restarts would wait for twelve of them.
    const STEP: Duration = Duration::from_millis(1_500);
    /// `max_wait` of 5 s, some time for what its end sets off, but less than the steps take.
    const DONE_WITHIN: Duration = Duration::from_secs(13);
    beside(MesosOptions::default(), async |servers| {
        let job = "spark-18886";
        // All the data is on host 1, which has room for one task.
        servers.mesos()?.reserve(1, OTHER, &[("cpus", STEPS as f64 * CPUS)]).await?;
        servers.kafka.create_topic_on(&[1], job, TASKS as i32, &[]).await?;
        let accounts = Accounts::prepare_table(servers, job, 10).await?;
        let placement = "goal = \"host\"\nmax_wait = \"5s\"".to_owned();
        let shape = Shape { tasks: TASKS, cpus: CPUS, mem_mib: 64, placement, ..Shape::default() };
        servers.millstream.deploy(job, &accounts.shaped_job_file(servers, &shape)).await?;
        let begun = Instant::now();
        let trickle = async {
            for _ in 0..STEPS {
                tokio::time::sleep(STEP).await;
                servers.mesos()?.unreserve(1, OTHER, &[("cpus", CPUS)]).await?;
            }
            std::future::pending::<Result<()>>().await
        };
        tokio::select! {
            running = servers.millstream.api().wait_running(job, DONE_WITHIN) => running?,
            failed = trickle => failed?,
        }
        let took = begun.elapsed();
        let slots = slots(servers, job).await?;
        let near = slots.iter().filter(|slot| slot["source_tier"] == "host").count();
        figure(format!("{TASKS} tasks ran after {:.1} s, {near} of them near their data", took.as_secs_f64()));
        ensure!(near > 1 && near < TASKS, "{near} are near: nothing was shown");
        servers.stop(job).await
    })
}
