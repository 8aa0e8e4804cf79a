//! One broker with a listener for each scheme, and how it is spoken to.

use std::{fs, path::Path};

use anyhow::Result;
use millstream_testbed::{Authority, Issued, Kafka, KafkaOptions};

use crate::{
    KAFKA_PASSWORD, Stage, live,
    live::{Source, job, kept_out, let_in, quoted},
    oauth::{self, Issuer},
    on_stage,
};

const CONFIGS_TOOL: &str = "kafka.admin.ConfigCommand";

/// Everything that a broker must be told for it.
pub(crate) fn options(authority: &Authority, server: &Issued, oauth: &Issuer) -> Result<KafkaOptions> {
    let misnamed = authority.issue("misnamed", &["other.example"])?;
    let expired = authority.issue_expired("expired", &["127.0.1.1"])?;
    let path = |path: &Path| path.display().to_string();
    let login = "org.apache.kafka.common.security";
    let scram = format!("{login}.scram.ScramLoginModule required;");
    let jwks = format!("file://{}", path(oauth.jwks()));
    let properties = [
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", path(&server.keystore)),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", path(&authority.ca())),
        ("listener.name.mtls.ssl.client.auth", "required".to_owned()),
        ("listener.name.misnamed.ssl.keystore.type", "PEM".to_owned()),
        ("listener.name.misnamed.ssl.keystore.location", path(&misnamed.keystore)),
        ("listener.name.expired.ssl.keystore.type", "PEM".to_owned()),
        ("listener.name.expired.ssl.keystore.location", path(&expired.keystore)),
        ("listener.name.plain.sasl.enabled.mechanisms", "PLAIN".to_owned()),
        (
            "listener.name.plain.plain.sasl.jaas.config",
            format!("{login}.plain.PlainLoginModule required user_ada=\"{KAFKA_PASSWORD}\";"),
        ),
        ("listener.name.scram.sasl.enabled.mechanisms", "SCRAM-SHA-256,SCRAM-SHA-512".to_owned()),
        ("listener.name.scram.scram-sha-256.sasl.jaas.config", scram.clone()),
        ("listener.name.scram.scram-sha-512.sasl.jaas.config", scram),
        ("listener.name.oauth.sasl.enabled.mechanisms", "OAUTHBEARER".to_owned()),
        (
            "listener.name.oauth.oauthbearer.sasl.jaas.config",
            format!("{login}.oauthbearer.OAuthBearerLoginModule required;"),
        ),
        (
            "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class",
            format!("{login}.oauthbearer.OAuthBearerValidatorCallbackHandler"),
        ),
        ("listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url", jwks.clone()),
        ("listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience", oauth::AUDIENCE.to_owned()),
        ("listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.issuer", oauth::ISSUER.to_owned()),
    ];
    let allowed = "-Dorg.apache.kafka.sasl.oauthbearer.allowed";
    Ok(KafkaOptions {
        properties: properties.map(|(name, value)| (name.to_owned(), value)).into(),
        listeners: vec![
            ("TLS", "SSL"),
            ("MTLS", "SSL"),
            ("MISNAMED", "SSL"),
            ("EXPIRED", "SSL"),
            ("PLAIN", "SASL_SSL"),
            ("SCRAM", "SASL_SSL"),
            ("OAUTH", "SASL_SSL"),
        ],
        jvm: vec![format!("{allowed}.urls={jwks}"), format!("{allowed}.files={}", path(oauth.jwks()))],
        ..KafkaOptions::default()
    })
}

/// What a running broker must be told.
pub(crate) async fn users(kafka: &Kafka) -> Result<()> {
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let scram = format!("{mechanism}=[password={KAFKA_PASSWORD}]");
        let user = ["--entity-type", "users", "--entity-name", "ada"];
        kafka.tool(CONFIGS_TOOL, &[&["--alter", "--add-config", &scram], &user[..]].concat()).await?;
    }
    Ok(())
}

impl Stage {
    fn by_tls(&self, listener: &str, protocol: &str, more: &[(&str, &str)]) -> Source {
        let ca = quoted(&self.authority.ca());
        let protocol = format!("{protocol:?}");
        let options = [&[("security.protocol", protocol.as_str()), ("ssl.ca.location", &ca)], more].concat();
        Source::new(self.kafka.listener(listener), &options)
    }

    fn by_certificate(&self) -> Source {
        let (cert, key) = (quoted(&self.client.cert), quoted(&self.client.key));
        self.by_tls("MTLS", "ssl", &[("ssl.certificate.location", &cert), ("ssl.key.location", &key)])
    }

    fn by_password(&self, listener: &str, mechanism: &str) -> Source {
        let mechanism = format!("{mechanism:?}");
        let password = "{ env = \"MILLSTREAM_SECRET_KAFKA\" }";
        let login = [("sasl.mechanism", mechanism.as_str()), ("sasl.username", "\"ada\""), ("sasl.password", password)];
        self.by_tls(listener, "sasl_ssl", &login)
    }

    /// The scheme of the job that runs.
    pub(crate) fn by_scram(&self) -> Source {
        self.by_password("SCRAM", "SCRAM-SHA-512")
    }

    fn by_token(&self, client: &str) -> Source {
        let (client, url) = (format!("{client:?}"), format!("{:?}", self.oauth.url()));
        let login = [
            ("sasl.mechanism", "\"OAUTHBEARER\""),
            ("sasl.oauthbearer.method", "\"oidc\""),
            ("sasl.oauthbearer.client.id", &client),
            ("sasl.oauthbearer.client.secret", "{ env = \"MILLSTREAM_SECRET_KAFKA\" }"),
            ("sasl.oauthbearer.token.endpoint.url", &url),
        ];
        self.by_tls("OAUTH", "sasl_ssl", &login)
    }

    fn with(&self, source: &Source) -> String {
        job("orders", source, &self.cassandra.address(1), &self.sink())
    }
}

#[test]
fn kafka_lets_in_whoever_is_right() -> Result<()> {
    on_stage(async |stage| {
        let schemes = [
            ("PLAINTEXT", Source::new(stage.kafka.address(1), &[])),
            ("SSL", stage.by_tls("TLS", "ssl", &[])),
            ("mTLS", stage.by_certificate()),
            ("SASL PLAIN", stage.by_password("PLAIN", "PLAIN")),
            ("SCRAM-SHA-256", stage.by_password("SCRAM", "SCRAM-SHA-256")),
            ("SCRAM-SHA-512", stage.by_scram()),
            ("OAUTHBEARER", stage.by_token("ada")),
        ];
        for (what, source) in schemes {
            let_in(what, &stage.with(&source)).await?;
        }
        Ok(())
    })
}

#[test]
fn kafka_keeps_out_whoever_is_wrong_and_says_what_it_is() -> Result<()> {
    on_stage(async |stage| {
        let wrong = "{ env = \"MILLSTREAM_SECRET_WRONG\" }";
        let foreign = quoted(&stage.stranger.ca());
        let strange = stage.stranger.issue("strange", &["client"])?;
        let (strange_cert, strange_key) = (quoted(&strange.cert), quoted(&strange.key));
        let tls = stage.by_tls("TLS", "ssl", &[]);
        let mtls = stage.by_certificate();
        let (plain, scram) = (stage.by_password("PLAIN", "PLAIN"), stage.by_scram());
        let scram_256 = stage.by_password("SCRAM", "SCRAM-SHA-256");
        let token = stage.by_token("ada");
        let unverified = "certificate verify failed";
        let cases = [
            ("an unknown authority", tls.but("ssl.ca.location", Some(&foreign)), &[unverified][..]),
            ("a certificate of another name", tls.at(stage.kafka.listener("MISNAMED")), &[unverified]),
            ("an expired certificate", tls.at(stage.kafka.listener("EXPIRED")), &[unverified]),
            ("plain text to a TLS listener", Source::new(stage.kafka.listener("TLS"), &[]), &["security.protocol"]),
            ("TLS to a plain listener", tls.at(stage.kafka.address(1)), &["security.protocol"]),
            ("no certificate", tls.at(stage.kafka.listener("MTLS")), &["certificate"]),
            (
                "a foreign certificate",
                mtls.but("ssl.certificate.location", Some(&strange_cert)).but("ssl.key.location", Some(&strange_key)),
                &["certificate"],
            ),
            ("another's key", mtls.but("ssl.key.location", Some(&strange_key)), &["ssl.key.location"]),
            ("a key that is not there", mtls.but("ssl.key.location", Some("\"/nowhere.pem\"")), &["/nowhere.pem"]),
            ("PLAIN, another password", plain.but("sasl.password", Some(wrong)), &["Authentication"]),
            ("PLAIN, another user", plain.but("sasl.username", Some("\"eve\"")), &["Authentication"]),
            ("SCRAM-SHA-256, another password", scram_256.but("sasl.password", Some(wrong)), &["Authentication"]),
            ("SCRAM-SHA-512, another password", scram.but("sasl.password", Some(wrong)), &["Authentication"]),
            ("SCRAM-SHA-512, another user", scram.but("sasl.username", Some("\"eve\"")), &["Authentication"]),
            (
                "PLAIN where SCRAM is wanted",
                scram.but("sasl.mechanism", Some("\"PLAIN\"")),
                &["PLAIN", "SCRAM-SHA-512"],
            ),
            (
                "a password that is not there",
                scram.but("sasl.password", Some("{ env = \"NOT_THERE\" }")),
                &["NOT_THERE"],
            ),
            ("a client's secret that is wrong", token.but("sasl.oauthbearer.client.secret", Some(wrong)), &["token"]),
            ("a token that another has signed", stage.by_token("forged"), &["invalid"]),
            ("a token for somebody else", stage.by_token("audience"), &["invalid"]),
            ("an old token", stage.by_token("old"), &["token"]),
            (
                "no token endpoint",
                token.but("sasl.oauthbearer.token.endpoint.url", Some("\"http://127.0.0.1:1/token\"")),
                &["token"],
            ),
            (
                "a token endpoint that leads elsewhere",
                token.but("sasl.oauthbearer.token.endpoint.url", Some(&format!("{:?}", stage.oauth.detour()))),
                &["token"],
            ),
        ];
        for (what, source, words) in cases {
            kept_out(what, &stage.with(&source), words).await?;
        }
        anyhow::ensure!(stage.oauth.arrived_by_detour() == 0, "a secret was sent where an endpoint led it");
        Ok(())
    })
}

#[test]
fn a_key_with_a_passphrase_is_opened_and_not_with_another() -> Result<()> {
    on_stage(async |stage| {
        let dir = tempfile::TempDir::new()?;
        let locked = dir.path().join("locked.pem");
        let pass = live::SECRETS[0].1;
        let made = std::process::Command::new("openssl")
            .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", &format!("pass:{pass}"), "-in"])
            .arg(&stage.client.key)
            .arg("-out")
            .arg(&locked)
            .status();
        anyhow::ensure!(made?.success() && fs::metadata(&locked)?.len() > 0, "openssl makes no key");
        let source = stage.by_certificate().but("ssl.key.location", Some(&quoted(&locked)));
        let opened = source.but("ssl.key.password", Some("{ env = \"MILLSTREAM_SECRET_KAFKA\" }"));
        let_in("a key with its passphrase", &stage.with(&opened)).await?;
        let closed = source.but("ssl.key.password", Some("{ env = \"MILLSTREAM_SECRET_WRONG\" }"));
        kept_out("a key with another passphrase", &stage.with(&closed), &["ssl.key"]).await
    })
}
