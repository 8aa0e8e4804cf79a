use super::*;

#[tokio::test]
async fn redirects_of_all_forms_lead_to_the_leader() {
    let leader = FakeMaster::start(Mode::Lead).await;
    let c = FakeMaster::start(Mode::Redirect(leader.address.clone())).await;
    let b = FakeMaster::start(Mode::Redirect(format!("http://{}/api/v1/scheduler", c.address))).await;
    let a = FakeMaster::start(Mode::Redirect(format!("//{}/master/api/v1/scheduler", b.address))).await;
    let (mut events, caller) = Session::connect(a.config(), Subscribe::default());
    match next(&mut events).await {
        SessionEvent::Subscribed { master, .. } => assert_eq!(master, leader.address),
        other => panic!("{other:?}"),
    }
    caller.send(revive()).await.unwrap();
    assert_eq!(leader.with(|inner| inner.calls.len()), 2, "the call goes straight to the leader");
}

#[tokio::test]
async fn masters_that_point_at_each_other_are_left_alone() {
    let a = FakeMaster::start(Mode::Lead).await;
    a.with(|inner| inner.mode = Mode::Redirect(format!("//{}/", a.address)));
    let (mut events, _caller) = Session::connect(a.config(), Subscribe::default());
    assert_eq!(reason(&mut events).await, DisconnectReason::TooManyRedirects { master: a.address.clone() });
    a.with(|inner| inner.mode = Mode::Redirect("/nowhere".into()));
    while !matches!(reason(&mut events).await, DisconnectReason::BadRedirect { .. }) {}
}

#[tokio::test]
async fn the_next_master_is_tried_when_one_is_dead() {
    let alive = FakeMaster::start(Mode::Lead).await;
    let mut config = alive.config();
    let dead = MasterUrl { scheme: Scheme::Http, authority: "127.0.0.1:1".into() };
    match &mut config.masters {
        Masters::List(masters) => masters.insert(0, dead),
        other => panic!("{other:?}"),
    }
    let (mut events, _caller) = Session::connect(config, Subscribe::default());
    subscribed(&mut events).await;
}

#[tokio::test]
async fn events_come_whole_whatever_the_chunks() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    let text = [
        record(r#"{"type":"RESCIND","rescind":{"offer_id":{"value":"o"}}}"#),
        record(r#"{"type":"BRAND_NEW","x":1}"#),
        record(r#"{"type":"RESCIND","rescind":1}"#),
        record(r#"{"type":"HEARTBEAT"}"#),
    ]
    .concat();
    for byte in text {
        master.say(vec![byte]).await;
    }
    assert!(matches!(next(&mut events).await, SessionEvent::Event(Event::Rescind { .. })));
    assert_eq!(next(&mut events).await, SessionEvent::Event(Event::Unknown));
    assert!(matches!(next(&mut events).await, SessionEvent::Malformed { .. }));
    assert_eq!(next(&mut events).await, SessionEvent::Event(Event::Heartbeat));
}

#[tokio::test]
async fn a_silent_master_is_left_and_the_framework_id_kept() {
    let master = FakeMaster::start(Mode::Lead).await;
    master.with(|inner| inner.heartbeat_secs = 0.2);
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        master.say(record(r#"{"type":"HEARTBEAT"}"#)).await;
    }
    for _ in 0..7 {
        assert_eq!(next(&mut events).await, SessionEvent::Event(Event::Heartbeat));
    }
    assert_eq!(reason(&mut events).await, DisconnectReason::Silent(Duration::from_secs(1)));
    subscribed(&mut events).await;
    let ids = master.with(|inner| inner.calls.iter().map(|(_, call)| call.framework_id.clone()).collect::<Vec<_>>());
    assert_eq!(ids[0], None);
    assert_eq!(ids[1].as_ref().unwrap().value, "fw");
    master.with(|inner| match &inner.calls[1].1.call {
        Call::Subscribe { subscribe } => assert_eq!(subscribe.framework_info.id.as_ref().unwrap().value, "fw"),
        other => panic!("{other:?}"),
    });
}

#[tokio::test]
async fn refusals_are_told_and_tried_again() {
    let master = FakeMaster::start(Mode::Answer(503, "Master has not finished recovery")).await;
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    assert!(matches!(reason(&mut events).await, DisconnectReason::Refused { status: 503, .. }));
    master.with(|inner| inner.mode = Mode::Answer(401, "who are you"));
    loop {
        let reason = reason(&mut events).await;
        if matches!(reason, DisconnectReason::Refused { status: 401, .. }) {
            assert!(reason.needs_a_person());
            break;
        }
    }
    master.with(|inner| inner.mode = Mode::Lead);
    while !matches!(next(&mut events).await, SessionEvent::Subscribed { .. }) {}
}

#[tokio::test]
async fn an_error_ends_the_session_for_good() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    master.say(record(r#"{"type":"ERROR","error":{"message":"Framework has been removed"}}"#)).await;
    assert!(matches!(next(&mut events).await, SessionEvent::Event(Event::Error { .. })));
    let expected = DisconnectReason::Error("Framework has been removed".into());
    assert_eq!(next(&mut events).await, SessionEvent::Disconnected { reason: expected, retry_in: None });
    assert!(events.next().await.is_none());
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)));
    assert_eq!(master.with(|inner| inner.subscriptions), 1);
}

#[tokio::test]
async fn a_closed_stream_is_opened_again() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    master.with(|inner| inner.stream = None);
    assert_eq!(reason(&mut events).await, DisconnectReason::Closed);
    assert!(!caller.is_subscribed());
    subscribed(&mut events).await;
    caller.send(revive()).await.unwrap();
}

#[tokio::test]
async fn every_event_of_the_api_arrives() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    let status =
        r#"{"task_id":{"value":"t"},"state":"TASK_OF_THE_FUTURE","reason":"REASON_OF_THE_FUTURE","source":"SOURCE_X"}"#;
    let operation = r#"{"operation_id":{"value":"op"},"state":"OPERATION_OF_THE_FUTURE","uuid":{"value":"AQI="}}"#;
    let offer = r#"{"id":{"value":"o"},"framework_id":{"value":"fw"},"agent_id":{"value":"a"},"hostname":"h",
        "resources":[{"name":"x","type":"TYPE_OF_THE_FUTURE","provider_id":{"value":"p"}}],"of_the_future":1}"#;
    let inverse = r#"{"id":{"value":"i"},"framework_id":{"value":"fw"},"unavailability":{"start":{"nanoseconds":1}}}"#;
    let message = r#"{"agent_id":{"value":"a"},"executor_id":{"value":"e"},"data":"AQI="}"#;
    let sent = [
        format!(r#"{{"type":"OFFERS","offers":{{"offers":[{offer}]}}}}"#),
        format!(r#"{{"type":"INVERSE_OFFERS","inverse_offers":{{"inverse_offers":[{inverse}]}}}}"#),
        r#"{"type":"RESCIND","rescind":{"offer_id":{"value":"o"}}}"#.into(),
        r#"{"type":"RESCIND_INVERSE_OFFER","rescind_inverse_offer":{"inverse_offer_id":{"value":"i"}}}"#.into(),
        format!(r#"{{"type":"UPDATE","update":{{"status":{status}}}}}"#),
        format!(r#"{{"type":"UPDATE_OPERATION_STATUS","update_operation_status":{{"status":{operation}}}}}"#),
        format!(r#"{{"type":"MESSAGE","message":{message}}}"#),
        r#"{"type":"FAILURE","failure":{"agent_id":{"value":"a"},"executor_id":{"value":"e"},"status":9}}"#.into(),
        r#"{"type":"HEARTBEAT"}"#.into(),
        r#"{"type":"UNKNOWN"}"#.into(),
        r#"{"type":"OF_THE_FUTURE","of_the_future":{"x":[1]}}"#.into(),
        r#"{"type":"ERROR","error":{"message":"m"}}"#.into(),
    ];
    for json in &sent {
        master.say(record(json)).await;
    }
    let mut kinds = vec![];
    for json in &sent {
        let SessionEvent::Event(event) = next(&mut events).await else { panic!("{json} is lost") };
        kinds.push(serde_json::to_value(&event).unwrap()["type"].as_str().unwrap().to_owned());
    }
    let expected = [
        "OFFERS",
        "INVERSE_OFFERS",
        "RESCIND",
        "RESCIND_INVERSE_OFFER",
        "UPDATE",
        "UPDATE_OPERATION_STATUS",
        "MESSAGE",
        "FAILURE",
        "HEARTBEAT",
        "UNKNOWN",
        "UNKNOWN",
        "ERROR",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn an_election_is_waited_for() {
    let master = FakeMaster::start(Mode::Answer(503, "No leader elected")).await;
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    let reason = reason(&mut events).await;
    assert!(matches!(reason, DisconnectReason::Refused { status: 503, .. }) && !reason.needs_a_person(), "{reason}");
    master.with(|inner| inner.mode = Mode::Lead);
    while !matches!(next(&mut events).await, SessionEvent::Subscribed { .. }) {}
}

#[tokio::test]
async fn a_redirect_to_https_wants_a_ca() {
    let master = FakeMaster::start(Mode::Redirect("https://127.0.0.1:1/".into())).await;
    let (mut events, _caller) = Session::connect(master.config(), Subscribe::default());
    let reason = reason(&mut events).await;
    assert_eq!(reason, DisconnectReason::NoCa { master: "127.0.0.1:1".into() });
    assert!(reason.needs_a_person());
}
