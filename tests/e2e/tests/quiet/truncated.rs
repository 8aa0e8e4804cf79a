//! A log that loses its end: a broker that was not in sync becomes the leader.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use millstream_testbed::{Kafka, KafkaOptions, eventually, produce::produce};

use crate::stage::{Job, numbered, on_stage, record};

/// Brokers that come and go on a busy machine.
const ELECTED: Duration = Duration::from_secs(120);

/// Ten records are read; the log is cut to five and grows to thirteen, beyond the commit, before an executor starts again:
/// the records five to nine are others now, and are read.
#[test]
fn what_took_the_place_of_a_lost_end_is_read() -> Result<()> {
    on_stage(async |stage| {
        let name = "truncated";
        stage.prepare_table(name).await?;
        let properties = [("broker.session.timeout.ms".to_owned(), "6000".to_owned())].into();
        let mut kafka = Kafka::start(KafkaOptions { brokers: 3, properties, ..Default::default() }).await?;
        let unclean = [("min.insync.replicas", "1"), ("unclean.leader.election.enable", "true")];
        kafka.create_topic_on(&[2, 3], name, 1, &unclean).await?;
        let client = kafka.client();
        let put = |rows: BTreeMap<String, i64>| produce(&client, name, rows.into_iter().map(|row| record(0, row)));
        let in_sync = async |kafka: &Kafka, count| Ok((kafka.in_sync(name)?.len() == count).then_some(()));

        put(numbered("a", 5, |i| i))?;
        eventually("both replicas in sync", ELECTED, async || in_sync(&kafka, 2).await).await?;
        kafka.kill(3);
        eventually("one replica in sync", ELECTED, async || in_sync(&kafka, 1).await).await?;
        put(numbered("lost", 5, |i| i))?;
        let executor = stage.executor_on(&kafka, name, Job::default(), "0")?;
        executor.durable(0, 10).await?;
        executor.leave()?;

        kafka.kill(2);
        kafka.broker(3).start()?;
        let cut = async || Ok((kafka.end_offsets(name)? == [5]).then_some(()));
        eventually("the log cut to five", ELECTED, cut).await?;
        let (next, more) = (numbered("b", 5, |i| i), numbered("c", 3, |i| i));
        put(next.clone())?;
        put(more.clone())?;
        let executor = stage.executor_on(&kafka, name, Job::default(), "0")?;
        let mut wanted = numbered("a", 5, |i| i);
        // What was lost was read while it was there.
        wanted.extend(numbered("lost", 5, |i| i));
        wanted.extend(next.into_iter().chain(more));
        stage.becomes(name, &wanted).await?;
        executor.leave()
    })
}
