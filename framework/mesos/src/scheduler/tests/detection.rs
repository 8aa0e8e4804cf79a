//! What the session does with what ZooKeeper says. ZooKeeper itself is the testbed's business.

use tokio::sync::watch;

use super::{
    super::{
        finder::Finder,
        zookeeper::{Detection, Detector, Leader},
    },
    *,
};

const URL: &str = "zk://127.0.0.1:2181/mesos";

/// A session that is told who leads.
struct Told {
    says: watch::Sender<Detection>,
    events: Events,
    _caller: Caller,
}

impl Told {
    /// With long pauses: what happens sooner does not wait for them.
    fn start(first: Detection, pause: Duration) -> Self {
        let (says, known) = watch::channel(first);
        let mut config = Config::read(&[URL], None).unwrap();
        (config.timings.backoff_min, config.timings.backoff_max) = (pause, 2 * pause);
        config.timings.answer = Duration::from_secs(1);
        let url = ZooKeeperUrl::parse(URL).unwrap();
        let finder = Finder::with_detector(config.clone(), url, Detector::told(known));
        let (events, _caller) = Session::connect_through(finder, config, Subscribe::default());
        Self { says, events, _caller }
    }

    async fn subscribed_to(&mut self, master: &FakeMaster) {
        match next(&mut self.events).await {
            SessionEvent::Subscribed { master: address, .. } => assert_eq!(address, master.address),
            other => panic!("{other:?}"),
        }
    }
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(10);

fn leads(master: &FakeMaster, sequence: u32) -> Detection {
    let (ip, port) = master.address.rsplit_once(':').unwrap();
    let info = format!(r#"{{"address":{{"ip":"{ip}","port":{port},"hostname":"does.not.resolve.invalid"}}}}"#);
    Detection::Leader(Leader::parse(&format!("json.info_{sequence:010}"), info.as_bytes()).unwrap())
}

fn nobody() -> Detection {
    Detection::NoLeader("no master has entered /mesos".into())
}

#[tokio::test]
async fn another_leader_is_subscribed_to_at_once() {
    let (a, b) = (FakeMaster::start(Mode::Lead).await, FakeMaster::start(Mode::Lead).await);
    let mut told = Told::start(leads(&a, 1), LONG);
    told.subscribed_to(&a).await;
    told.says.send_replace(leads(&b, 2));
    let event = next(&mut told.events).await;
    let expected =
        SessionEvent::Disconnected { reason: DisconnectReason::LeaderChanged, retry_in: Some(Duration::ZERO) };
    assert_eq!(event, expected);
    told.subscribed_to(&b).await;
}

#[tokio::test]
async fn a_master_that_leads_again_is_another_leader() {
    let master = FakeMaster::start(Mode::Lead).await;
    let mut told = Told::start(leads(&master, 1), LONG);
    told.subscribed_to(&master).await;
    told.says.send_replace(leads(&master, 2));
    assert_eq!(reason(&mut told.events).await, DisconnectReason::LeaderChanged);
    told.subscribed_to(&master).await;
    assert_eq!(master.with(|inner| inner.subscriptions), 2);
}

#[tokio::test]
async fn a_living_subscription_outlasts_zookeeper() {
    let master = FakeMaster::start(Mode::Lead).await;
    let mut told = Told::start(leads(&master, 1), LONG);
    told.subscribed_to(&master).await;
    for detection in [Detection::Unreachable("no server answers".into()), nobody(), leads(&master, 1)] {
        told.says.send_replace(detection);
        master.say(record(r#"{"type":"HEARTBEAT"}"#)).await;
        assert_eq!(next(&mut told.events).await, SessionEvent::Event(Event::Heartbeat));
    }
    assert_eq!(master.with(|inner| inner.subscriptions), 1);
}

#[tokio::test]
async fn without_zookeeper_the_last_leader_is_tried() {
    let master = FakeMaster::start(Mode::Lead).await;
    let mut told = Told::start(leads(&master, 1), SHORT);
    told.subscribed_to(&master).await;
    told.says.send_replace(Detection::Unreachable("no server answers".into()));
    master.with(|inner| inner.stream = None);
    assert_eq!(reason(&mut told.events).await, DisconnectReason::Closed);
    told.subscribed_to(&master).await;
    // It is the one that ZooKeeper names when it is back: nothing to do.
    told.says.send_replace(leads(&master, 1));
    master.say(record(r#"{"type":"HEARTBEAT"}"#)).await;
    assert_eq!(next(&mut told.events).await, SessionEvent::Event(Event::Heartbeat));
}

#[tokio::test]
async fn it_is_said_why_there_is_no_leader_and_a_new_one_cuts_the_pause_short() {
    let mut told = Told::start(Detection::Unreachable("no server answers".into()), LONG);
    match reason(&mut told.events).await {
        DisconnectReason::ZooKeeper { servers, detail } => {
            assert_eq!((servers.as_str(), detail.as_str()), ("127.0.0.1:2181", "no server answers"));
        }
        other => panic!("{other:?}"),
    }
    let master = FakeMaster::start(Mode::Lead).await;
    told.says.send_replace(leads(&master, 1));
    told.subscribed_to(&master).await;

    let mut told = Told::start(nobody(), SHORT);
    for _ in 0..2 {
        assert!(matches!(reason(&mut told.events).await, DisconnectReason::NoLeader { .. }), "and it is tried again");
    }
}

#[tokio::test]
async fn a_silent_zookeeper_is_not_waited_for_without_end() {
    let mut told = Told::start(Detection::Starting, LONG);
    assert!(matches!(reason(&mut told.events).await, DisconnectReason::ZooKeeper { .. }));
}

#[tokio::test]
async fn a_leader_that_does_not_answer_is_left_for_the_next() {
    // Takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = FakeMaster { address: silent.local_addr().unwrap().to_string(), inner: dead_inner() };
    let mut told = Told::start(leads(&dead, 1), LONG);
    drop(silent.accept().await.unwrap());
    let master = FakeMaster::start(Mode::Lead).await;
    told.says.send_replace(leads(&master, 2));
    while !matches!(next(&mut told.events).await, SessionEvent::Subscribed { .. }) {}
}

fn dead_inner() -> Arc<Mutex<Inner>> {
    let mode = Mode::Answer(503, "");
    Arc::new(Mutex::new(Inner { mode, heartbeat_secs: 15.0, subscriptions: 0, calls: vec![], stream: None }))
}
