use super::*;
use crate::{Tls, tls::ca::Ca};

fn config(master: &FakeMaster, url: &str, tls: Tls) -> Config {
    Config { tls: Some(tls), masters: Masters::parse(&[url], Scheme::Https).unwrap(), ..master.config() }
}

async fn first_reason(config: Config) -> DisconnectReason {
    let (mut events, _caller) = Session::connect(config, Subscribe::default());
    reason(&mut events).await
}

#[tokio::test]
async fn events_and_calls_travel_by_tls_to_an_address_and_to_a_name() {
    for name in ["127.0.0.1", "localhost"] {
        let (ca, master) = (Ca::new(), FakeMaster::start(Mode::Lead).await);
        let authority = format!("{name}:{}", ca.guard(name, &master.address, false).await);
        // With a CA, https is meant where nothing is said.
        let config = config(&master, &authority, ca.tls());
        assert_eq!(super::super::leader(&config).await.unwrap().to_string(), format!("https://{authority}"));
        let (mut events, caller) = Session::connect(config, Subscribe::default());
        match next(&mut events).await {
            SessionEvent::Subscribed { master, .. } => assert_eq!(master, authority),
            other => panic!("{other:?}"),
        }
        caller.send(revive()).await.unwrap();
        master.say(record(r#"{"type":"HEARTBEAT"}"#)).await;
        assert_eq!(next(&mut events).await, SessionEvent::Event(Event::Heartbeat));
    }
}

#[tokio::test]
async fn a_master_that_is_not_the_right_one_is_not_spoken_to() {
    let (ca, master) = (Ca::new(), FakeMaster::start(Mode::Lead).await);
    let port = ca.guard("127.0.0.1", &master.address, false).await;
    let right = format!("https://127.0.0.1:{port}");
    let misnamed = format!("https://localhost:{port}");
    let plain = format!("https://{}", master.address);
    for (url, tls, expected) in [
        (
            &right,
            Ca::new().tls(),
            "is not signed by the given authority; give the PEM file of the authority that signed it",
        ),
        (&misnamed, ca.tls(), "is made out to another name; address it by a name that stands in its certificate"),
        (&plain, ca.tls(), "does not speak TLS"),
    ] {
        let reason = first_reason(config(&master, url, tls)).await;
        assert!(matches!(reason, DisconnectReason::Untrusted { .. }) && reason.needs_a_person(), "{reason:?}");
        assert!(reason.to_string().contains(expected), "{reason}");
    }
    assert_eq!(master.with(|inner| inner.calls.len()), 0);
}

#[tokio::test]
async fn redirects_stay_by_tls() {
    let (ca, leader) = (Ca::new(), FakeMaster::start(Mode::Lead).await);
    let leader_authority = format!("127.0.0.1:{}", ca.guard("127.0.0.1", &leader.address, false).await);
    for location in [
        format!("//{leader_authority}/master/api/v1/scheduler"),
        leader_authority.clone(),
        format!("https://{leader_authority}/api/v1/scheduler"),
    ] {
        let other = FakeMaster::start(Mode::Redirect(location)).await;
        let url = format!("https://127.0.0.1:{}", ca.guard("127.0.0.1", &other.address, false).await);
        let (mut events, _caller) = Session::connect(config(&other, &url, ca.tls()), Subscribe::default());
        match next(&mut events).await {
            SessionEvent::Subscribed { master, .. } => assert_eq!(master, leader_authority),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_redirect_down_to_http_is_refused() {
    let (ca, leader) = (Ca::new(), FakeMaster::start(Mode::Lead).await);
    let location = format!("http://{}/api/v1/scheduler", leader.address);
    let other = FakeMaster::start(Mode::Redirect(location.clone())).await;
    let port = ca.guard("127.0.0.1", &other.address, false).await;
    let reason = first_reason(config(&other, &format!("https://127.0.0.1:{port}"), ca.tls())).await;
    assert_eq!(reason, DisconnectReason::Downgrade { master: format!("127.0.0.1:{port}"), location });
    assert!(reason.needs_a_person());
    assert_eq!(leader.with(|inner| inner.calls.len()), 0);
}

#[tokio::test]
async fn a_master_may_ask_for_a_certificate_and_one_that_is_renewed_is_shown_without_a_restart() {
    let (ca, other, master) = (Ca::new(), Ca::new(), FakeMaster::start(Mode::Lead).await);
    let url = format!("https://127.0.0.1:{}", ca.guard("127.0.0.1", &master.address, true).await);
    let tls = Tls::read(&ca.files_with(&other)).unwrap();
    for tls in [ca.tls(), tls.clone()] {
        let reason = first_reason(config(&master, &url, tls)).await;
        assert!(matches!(reason, DisconnectReason::Untrusted { .. }), "{reason}");
        assert!(reason.to_string().contains("a client's certificate (`cert` and `key`)"), "{reason}");
    }
    assert_eq!(master.with(|inner| inner.calls.len()), 0);
    ca.files_with(&ca);
    let (mut events, _caller) = Session::connect(config(&master, &url, tls), Subscribe::default());
    assert!(matches!(next(&mut events).await, SessionEvent::Subscribed { .. }));
}
