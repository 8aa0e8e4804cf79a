use super::*;

#[tokio::test]
async fn calls_carry_stream_framework_and_credentials_and_keep_their_order() {
    let master = FakeMaster::start(Mode::Lead).await;
    let mut config = master.config();
    config.credentials = Some(Credentials { principal: "me".into(), secret: "hush".into() });
    assert!(!format!("{config:?}").contains("hush"));
    let (mut events, caller) = Session::connect(config, Subscribe::default());
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)), "before Subscribed was seen");
    subscribed(&mut events).await;
    let kill =
        |n: usize| Call::Kill { kill: Kill { task_id: TaskId::new(n.to_string()), agent_id: None, kill_policy: None } };
    let sends = (0..50).map(|n| {
        let caller = caller.clone();
        async move { caller.send(kill(n)).await }
    });
    let results = futures_util::future::join_all(sends).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    master.with(|inner| {
        for (n, (headers, envelope)) in inner.calls.iter().enumerate() {
            assert_eq!(headers["Authorization"], "Basic bWU6aHVzaA==");
            match (n, &envelope.call) {
                (0, Call::Subscribe { subscribe }) => {
                    assert!(!headers.contains_key("Mesos-Stream-Id"));
                    assert_eq!(subscribe.framework_info.principal.as_deref(), Some("me"));
                }
                (n, Call::Kill { kill }) => {
                    assert_eq!(kill.task_id.value, (n - 1).to_string());
                    assert_eq!(headers["Mesos-Stream-Id"], "stream-1");
                    assert_eq!(envelope.framework_id.as_ref().unwrap().value, "fw");
                }
                (n, call) => panic!("{n}: {call:?}"),
            }
        }
    });
}

#[tokio::test]
async fn a_call_on_a_stale_stream_fails_and_makes_the_session_subscribe_anew() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    master.with(|inner| inner.subscriptions = 7); // a newer scheduler subscribed
    assert!(matches!(caller.send(revive()).await, Err(CallError::StaleStream { status: 400, .. })));
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)));
    assert_eq!(reason(&mut events).await, DisconnectReason::Stale);
    let sent = master.with(|inner| inner.calls.len());
    while master.with(|inner| inner.calls.len()) == sent {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The session has subscribed again, but nobody has seen it.
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)));
    assert_eq!(master.with(|inner| inner.calls.len()), sent + 1, "nothing but SUBSCRIBE went out");
    subscribed(&mut events).await;
    caller.send(revive()).await.unwrap();
}

/// The master may have lost an ACCEPT: only a new stream voids its offers. No faster than the pauses between subscriptions.
#[tokio::test]
async fn a_call_without_an_answer_makes_the_session_subscribe_anew_after_a_pause() {
    let master = FakeMaster::start(Mode::Lead).await;
    let mut config = master.config();
    config.timings.answer = Duration::from_secs(1);
    let (mut events, caller) = Session::connect(config, Subscribe::default());
    subscribed(&mut events).await;
    master.with(|inner| inner.mode = Mode::Silent);
    assert!(matches!(caller.send(revive()).await, Err(CallError::Transport(_))));
    assert!(matches!(caller.send(revive()).await, Err(CallError::NotSubscribed)));
    master.with(|inner| inner.mode = Mode::Lead);
    match next(&mut events).await {
        SessionEvent::Disconnected { reason: DisconnectReason::Unanswered { .. }, retry_in: Some(pause) } => {
            assert!(pause > Duration::ZERO);
        }
        other => panic!("{other:?}"),
    }
    subscribed(&mut events).await;
    caller.send(revive()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_call_is_refused_without_a_new_subscription() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), Subscribe::default());
    subscribed(&mut events).await;
    master.with(|inner| inner.mode = Mode::Answer(400, "Failed to validate scheduler::Call"));
    match caller.send(revive()).await {
        Err(CallError::Refused { status: 400, message }) => assert!(message.contains("validate")),
        other => panic!("{other:?}"),
    }
    master.with(|inner| inner.mode = Mode::Lead);
    caller.send(revive()).await.unwrap();
    assert_eq!(master.with(|inner| inner.subscriptions), 1);
}

/// The SUBSCRIBEs and UPDATE_FRAMEWORKs that arrived, as JSON.
fn words(master: &FakeMaster) -> Vec<serde_json::Value> {
    let calls = master.with(|inner| inner.calls.iter().map(|(_, call)| call.call.clone()).collect::<Vec<_>>());
    let words = calls.into_iter().filter_map(|call| match call {
        Call::Subscribe { subscribe } => Some(subscribe),
        Call::UpdateFramework { update_framework } => Some(update_framework),
        _ => None,
    });
    words.map(|words| serde_json::to_value(words).unwrap()).collect()
}

fn wishes(name: &str, regex: &str) -> Subscribe {
    let constraints = format!(
        r#"{{"role_constraints":{{"r":{{"groups":[{{"attribute_constraints":[
            {{"selector":{{"attribute_name":"rack"}},"predicate":{{"text_matches":{{"regex":"{regex}"}}}}}}]}}]}}}}}}"#
    );
    Subscribe {
        framework_info: FrameworkInfo { name: name.into(), ..FrameworkInfo::default() },
        suppressed_roles: vec!["quiet".into()],
        offer_constraints: Some(serde_json::from_str(&constraints).unwrap()),
    }
}

fn update(name: &str, regex: &str) -> Call {
    Call::UpdateFramework { update_framework: wishes(name, regex) }
}

#[tokio::test]
async fn what_an_update_said_is_said_again_at_the_next_subscription() {
    let master = FakeMaster::start(Mode::Lead).await;
    let mut config = master.config();
    config.credentials = Some(Credentials { principal: "me".into(), secret: "hush".into() });
    let (mut events, caller) = Session::connect(config, wishes("old", "r1"));
    assert!(matches!(caller.send(update("early", "r2")).await, Err(CallError::NotSubscribed)));
    subscribed(&mut events).await;
    caller.send(update("new", "r3")).await.unwrap();
    master.with(|inner| inner.stream = None);
    assert_eq!(reason(&mut events).await, DisconnectReason::Closed);
    subscribed(&mut events).await;
    let [.., sent, again] = &words(&master)[..] else { panic!("no three calls") };
    assert_eq!(again, sent);
    assert_eq!(again["framework_info"]["name"], "new");
    assert_eq!(again["framework_info"]["id"]["value"], "fw");
    assert_eq!(again["framework_info"]["principal"], "me");
    assert_eq!(again["suppressed_roles"], serde_json::json!(["quiet"]));
    assert_eq!(*again, {
        let mut expected = wishes("new", "r3");
        expected.framework_info.id = Some(FrameworkId::new("fw"));
        expected.framework_info.principal = Some("me".into());
        serde_json::to_value(expected).unwrap()
    });
}

#[tokio::test]
async fn a_refused_update_neither_ends_the_stream_nor_is_said_again() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), wishes("first", "r1"));
    subscribed(&mut events).await;
    caller.send(update("good", "r2")).await.unwrap();
    for (status, message) in [(400, "'UpdateFramework' call is not valid"), (403, "Not authorized to x"), (409, "")] {
        master.with(|inner| inner.mode = Mode::Answer(status, message));
        match caller.send(update("bad", "(")).await {
            Err(CallError::Refused { status: refused, .. }) => assert_eq!(refused, status),
            other => panic!("{other:?}"),
        }
        assert!(caller.is_subscribed());
    }
    master.with(|inner| inner.mode = Mode::Lead);
    master.with(|inner| inner.stream = None);
    assert_eq!(reason(&mut events).await, DisconnectReason::Closed);
    subscribed(&mut events).await;
    let words = words(&master);
    assert_eq!(words.last().unwrap()["framework_info"]["name"], "good");
    assert!(words.last().unwrap()["offer_constraints"].to_string().contains("r2"));
}

#[tokio::test]
async fn an_update_on_a_lost_stream_is_about_the_stream() {
    let master = FakeMaster::start(Mode::Lead).await;
    let (mut events, caller) = Session::connect(master.config(), wishes("first", "r1"));
    subscribed(&mut events).await;
    master.with(|inner| inner.mode = Mode::Answer(403, "Framework is not subscribed"));
    assert!(matches!(caller.send(update("new", "r2")).await, Err(CallError::StaleStream { status: 403, .. })));
    master.with(|inner| inner.mode = Mode::Lead);
    assert_eq!(reason(&mut events).await, DisconnectReason::Stale);
    while !matches!(next(&mut events).await, SessionEvent::Subscribed { .. }) {}
    assert_eq!(words(&master).last().unwrap()["framework_info"]["name"], "new", "nobody refused it");
}
