use super::*;

#[derive(Debug, serde::Deserialize)]
struct Slaves {
    slaves: Vec<serde_json::Value>,
}

#[tokio::test]
async fn the_leader_is_found_and_read_through_a_redirect() {
    let leader = FakeMaster::start(Mode::Lead).await;
    let other = FakeMaster::start(Mode::Redirect(format!("//{}/slaves", leader.address))).await;
    let found = super::super::leader(&other.config()).await.unwrap();
    assert_eq!(found.to_string(), format!("http://{}", leader.address));
    let read: Slaves = get_json(&other.config(), "/slaves", 1 << 10).await.unwrap();
    assert_eq!(read.slaves.len(), 1);
    assert_eq!(leader.with(|inner| inner.subscriptions), 0, "reading is no subscription");
}

#[tokio::test]
async fn what_cannot_be_read_is_told_apart() {
    let master = FakeMaster::start(Mode::Lead).await;
    let config = master.config();
    assert!(matches!(get_json::<Slaves>(&config, "/slaves", 10).await, Err(AskError::Body { .. })));
    assert!(matches!(get_json::<Vec<u8>>(&config, "/slaves", 1 << 10).await, Err(AskError::Json { .. })));
    master.with(|inner| inner.mode = Mode::Answer(403, "no"));
    match get_json::<Slaves>(&config, "/slaves", 1 << 10).await {
        Err(AskError::NoLeader(DisconnectReason::Refused { status: 403, message, .. })) => assert_eq!(message, "no"),
        other => panic!("{other:?}"),
    }
    let nobody = Config::read(&["127.0.0.1:1"], None).unwrap();
    assert!(matches!(
        super::super::leader(&nobody).await,
        Err(AskError::NoLeader(DisconnectReason::Unreachable { .. }))
    ));
}
