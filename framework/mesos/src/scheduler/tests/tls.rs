use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::*;
use crate::Tls;

/// A certificate authority of its own.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn tls(&self) -> Tls {
        let path = std::env::temp_dir().join(format!("millstream-mesos-ca-{}.pem", uuid::Uuid::new_v4()));
        std::fs::write(&path, self.issuer.pem()).unwrap();
        let tls = Tls::from_ca_file(&path);
        std::fs::remove_file(&path).unwrap();
        tls.unwrap()
    }

    /// A server's side of TLS, for a certificate made out to `name`.
    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Puts TLS before a master; its port.
    async fn guard(&self, name: &str, master: &FakeMaster) -> u16 {
        let (acceptor, target) = (self.acceptor(name), master.address.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (outer, _) = listener.accept().await.unwrap();
                let (acceptor, target) = (acceptor.clone(), target.clone());
                tokio::spawn(async move {
                    let Ok(mut outer) = acceptor.accept(outer).await else { return };
                    let mut inner = TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        port
    }
}

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
        let authority = format!("{name}:{}", ca.guard(name, &master).await);
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
    let port = ca.guard("127.0.0.1", &master).await;
    let right = format!("https://127.0.0.1:{port}");
    let misnamed = format!("https://localhost:{port}");
    let plain = format!("https://{}", master.address);
    for (url, tls, expected) in [
        (&right, Ca::new().tls(), "is not signed by the given CA; give the file of the CA that signed it"),
        (&misnamed, ca.tls(), "is not made out to localhost; write the master as its certificate names it"),
        (&plain, ca.tls(), "it does not speak TLS"),
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
    let leader_authority = format!("127.0.0.1:{}", ca.guard("127.0.0.1", &leader).await);
    for location in [
        format!("//{leader_authority}/master/api/v1/scheduler"),
        leader_authority.clone(),
        format!("https://{leader_authority}/api/v1/scheduler"),
    ] {
        let other = FakeMaster::start(Mode::Redirect(location)).await;
        let url = format!("https://127.0.0.1:{}", ca.guard("127.0.0.1", &other).await);
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
    let port = ca.guard("127.0.0.1", &other).await;
    let reason = first_reason(config(&other, &format!("https://127.0.0.1:{port}"), ca.tls())).await;
    assert_eq!(reason, DisconnectReason::Downgrade { master: format!("127.0.0.1:{port}"), location });
    assert!(reason.needs_a_person());
    assert_eq!(leader.with(|inner| inner.calls.len()), 0);
}
