//! The testbed's promises, on the real servers.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use millstream_testbed::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, Mesos, MesosOptions, ZooKeeper,
    consume::read_topic,
    eventually, http, leftovers,
    oracle::{Change, Expected},
    produce::{Message, produce},
    start_both, table,
};
use nix::sys::signal::Signal;
use tokio::sync::Semaphore;

/// Starts of servers want both cores: two tests at once, whatever the harness was told.
static TURNS: Semaphore = Semaphore::const_new(2);

#[tokio::test(flavor = "multi_thread")]
async fn kafka_keeps_its_records_over_a_kill_and_its_tools_work() -> Result<()> {
    let _turn = TURNS.acquire().await?;
    let mut kafka = Kafka::start(KafkaOptions { brokers: 3, ..Default::default() }).await?;
    kafka.create_topic("t", 3, 3).await?;
    let messages = (0..1_000).map(|i| Message::new(format!("k{i}"), format!("v{i}"))).collect::<Vec<_>>();
    let (client, produced) = (kafka.client(), messages.clone());
    let places = tokio::task::spawn_blocking(move || produce(&client, "t", produced)).await??;
    kafka.kill(1);
    kafka.restart(1).await?;
    let client = kafka.client();
    let read = tokio::task::spawn_blocking(move || read_topic(&client, "t")).await??;
    ensure!(read.len() == messages.len());
    for record in read {
        let index = places.iter().position(|place| *place == record.position).expect("the place of a record");
        ensure!(record.value == messages[index].value && record.key == messages[index].key);
    }
    ensure!(kafka.end_offsets("t")?.iter().sum::<i64>() == 1_000);
    let topics = kafka.tool("org.apache.kafka.tools.TopicCommand", &["--describe", "--topic", "t"]).await?;
    ensure!(topics.contains("PartitionCount: 3\tReplicationFactor: 3"), "{topics}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_whole_and_nothing_is_left_running() -> Result<()> {
    let _turn = TURNS.acquire().await?;
    let (kafka, cassandra) = start_both(KafkaOptions::default(), CassandraOptions::nodes(1)).await?;
    cassandra.create_keyspace("ks").await?;
    let cql = "CREATE TABLE ks.t (\"Part\" int, b text, m map<text, int>, at timestamp, PRIMARY KEY ((\"Part\", b)))";
    cassandra.execute(cql).await?;
    let session = cassandra.session().await?;
    let insert = "INSERT INTO ks.t (\"Part\", b, m, at) VALUES (?, ?, {'x': 1}, 1000)";
    let insert = session.prepare(insert).await?;
    let mut expected = Expected::new(&["Part", "b", "m", "at"], 2);
    for i in 0..3_000 {
        session.execute_unpaged(&insert, (i, "b")).await?;
        let row = serde_json::json!({ "Part": i, "b": "b", "m": [["x", 1]], "at": "1970-01-01T00:00:01Z" });
        expected.apply(Change::Upsert(row.as_object().expect("an object").clone()));
    }
    let differences = expected.compare(&table::read(&session, "ks", "t").await?);
    ensure!(differences.total() == 0 && differences.rows == 3_000, "{differences}");
    let mut servers = (kafka, cassandra);
    let pids = [servers.0.broker(1).pid(), servers.1.node(1).pid()];
    drop(servers);
    let left = leftovers()?;
    ensure!(!left.iter().any(|(pid, _)| pids.contains(&Some(*pid))), "{left:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn cassandra_survives_the_death_of_one_node_of_three() -> Result<()> {
    let _turn = TURNS.acquire().await?;
    let mut cassandra = Cassandra::start(CassandraOptions::nodes(3)).await?;
    cassandra.create_keyspace("ks").await?;
    cassandra.execute("CREATE TABLE ks.t (k int PRIMARY KEY)").await?;
    cassandra.kill(2);
    let session = cassandra.session().await?;
    for i in 0..100 {
        session.query_unpaged("INSERT INTO ks.t (k) VALUES (?)", (i,)).await?;
    }
    ensure!(table::read(&session, "ks", "t").await?.rows.len() == 100);
    cassandra.restart(2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mesos_notices_a_dead_agent_within_seconds_and_takes_it_back() -> Result<()> {
    let _turn = TURNS.acquire().await?;
    let mut mesos = Mesos::start(MesosOptions::default()).await?;
    let state = http::get(&format!("http://{}/state", mesos.master())).await?;
    let racks: Vec<&str> = (1..=3)
        .filter_map(|i| {
            let slaves = state["slaves"].as_array()?;
            let slave = slaves.iter().find(|slave| slave["hostname"] == millstream_testbed::hosts::host(i))?;
            slave["attributes"]["rack"].as_str()
        })
        .collect();
    ensure!(racks == ["r1", "r2", "r3"], "{racks:?}");
    mesos.kill_agent(2, Signal::SIGKILL)?;
    mesos.wait_for_agents(2).await?;
    mesos.restart_agent(2).await?;
    mesos.wait_for_agents(3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_and_zookeeper_nodes_elect_new_leaders_and_agents_follow() -> Result<()> {
    let _turn = TURNS.acquire().await?;
    let mut zookeeper = ZooKeeper::start(3).await?;
    let options = MesosOptions { masters: 3, zookeeper: Some(zookeeper.url("/mesos")), ..Default::default() };
    let mesos = Mesos::start(options).await?;
    let old = mesos.wait_for_leader().await?;
    mesos.master_process(old).await.kill();
    let new = mesos.wait_for_leader().await?;
    ensure!(new != old);
    mesos.wait_for_agents(3).await?;
    mesos.start_master(old).await?;

    let old = zookeeper.wait_for_leader().await?;
    zookeeper.kill(old);
    ensure!(zookeeper.wait_for_leader().await? != old);
    zookeeper.restart(old).await?;
    mesos.wait_for_leader().await?;
    mesos.wait_for_agents(3).await?;

    // Without a majority of ZooKeeper for longer than their sessions: the leader ends itself, and is started again.
    let nodes = [1, 2];
    let leader = mesos.wait_for_leader().await?;
    let pid = mesos.master_process(leader).await.pid();
    nodes.iter().try_for_each(|node| zookeeper.stop(*node))?;
    eventually("the leading master is another process", Duration::from_secs(20), async || {
        let now = mesos.master_process(leader).await.pid();
        Ok((now.is_some() && now != pid).then_some(()))
    })
    .await?;
    nodes.iter().try_for_each(|node| zookeeper.cont(*node))?;
    mesos.wait_for_leader().await?;
    mesos.wait_for_agents(3).await
}

/// Every order leaves a trace that its taker reports.
#[tokio::test(flavor = "multi_thread")]
async fn an_operators_orders_reach_mesos() -> Result<()> {
    let _turn = TURNS.acquire().await?;
    let mesos = Mesos::start(MesosOptions::default()).await?;
    ensure!(mesos.frameworks().await?.is_empty() && mesos.framework("millstream").await.is_err());

    mesos.reserve(1, "r", &[("cpus", 1.5), ("mem", 64.0)]).await?;
    let reserved = || async { anyhow::Ok(mesos.agent_state(1).await?["reserved_resources"]["r"]["cpus"].as_f64()) };
    ensure!(reserved().await? == Some(1.5));
    mesos.unreserve(1, "r", &[("cpus", 1.5), ("mem", 64.0)]).await?;
    ensure!(reserved().await?.is_none());

    mesos.limit_role("r", &[("cpus", 2.0)]).await?;
    let roles = mesos.ask("/roles").await?;
    let role = roles["roles"].as_array().and_then(|roles| roles.iter().find(|role| role["name"] == "r"));
    ensure!(role.context("no role r")?["quota"]["limit"]["cpus"] == 2.0, "{roles}");
    mesos.limit_role("r", &[]).await?;

    mesos.drain_agent(2, Duration::from_secs(5)).await?;
    eventually("agent 2 is drained", Duration::from_secs(10), async || {
        Ok((mesos.agent_state(2).await?["drain_info"]["state"] == "DRAINED").then_some(()))
    })
    .await?;
    mesos.reactivate_agent(2).await?;
    ensure!(mesos.agent_state(2).await?["deactivated"] == false);

    let hour = Duration::from_secs(3600);
    mesos.plan_maintenance(&[3], SystemTime::now() + hour, hour).await?;
    let schedule = mesos.ask("/maintenance/schedule").await?;
    ensure!(schedule["windows"][0]["machine_ids"][0]["hostname"] == millstream_testbed::hosts::host(3), "{schedule}");
    ensure!(mesos.inverse_offer_answer(3, "nobody").await?.is_none());
    mesos.start_maintenance(&[3]).await?;
    mesos.wait_for_agents(2).await?;
    mesos.stop_maintenance(&[3]).await?;
    ensure!(mesos.ask("/maintenance/schedule").await?["windows"].as_array().is_none_or(Vec::is_empty));

    mesos.mark_agent_gone(1).await?;
    mesos.wait_for_agents(1).await
}
