//! A node that wants TLS, a certificate and a password.

use anyhow::Result;

use crate::{
    live::{job, kept_out, let_in},
    on_stage,
};

#[test]
fn cassandra_lets_in_whoever_is_right() -> Result<()> {
    on_stage(async |stage| {
        let source = stage.by_scram();
        let with = |sink: &str| job("orders", &source, &stage.cassandra.address(1), sink);
        let login = stage.login("ada", "MILLSTREAM_SECRET_CASSANDRA");
        let own = Some(&stage.client);
        let_in("TLS, certificate and password", &with(&stage.sink())).await?;
        let named = login + &stage.tls(&stage.authority.ca(), own, "name = \"server.example\"");
        let_in("a name of all nodes", &with(&named)).await
    })
}

#[test]
fn cassandra_keeps_out_whoever_is_wrong_and_says_what_it_is() -> Result<()> {
    on_stage(async |stage| {
        let source = stage.by_scram();
        let (ca, own) = (stage.authority.ca(), Some(&stage.client));
        let strange = stage.stranger.issue("strange", &["client"])?;
        let mixed = millstream_testbed::Issued { key: strange.key.clone(), ..stage.client.clone() };
        let login = stage.login("ada", "MILLSTREAM_SECRET_CASSANDRA");
        let tls = |ca: &std::path::Path, own, more: &str| login.clone() + &stage.tls(ca, own, more);
        let good = stage.tls(&ca, own, "");
        let node = stage.cassandra.address(1);
        let cases = [
            (
                "an unknown authority",
                &node,
                tls(&stage.stranger.ca(), own, ""),
                &["not signed by the given authority"][..],
            ),
            (
                "another name",
                &node,
                tls(&ca, own, "name = \"other.example\""),
                &["made out to another name", "tls.name"],
            ),
            ("no certificate", &node, tls(&ca, None, ""), &["refused the handshake", "`cert` and `key`"]),
            ("a foreign certificate", &node, tls(&ca, Some(&strange), ""), &["refused the handshake"]),
            ("another's key", &node, tls(&ca, Some(&mixed), ""), &["cannot be used together"]),
            ("an authority that is not there", &node, tls("/nowhere.pem".as_ref(), own, ""), &["/nowhere.pem"]),
            ("no TLS", &node, login.clone(), &["[sink.cassandra.tls]"]),
            ("TLS to something else", &stage.kafka.address(1), tls(&ca, own, ""), &["tls handshake eof"]),
            ("another password", &node, stage.login("ada", "MILLSTREAM_SECRET_WRONG") + &good, &["refuses the login"]),
            ("another user", &node, stage.login("eve", "MILLSTREAM_SECRET_CASSANDRA") + &good, &["refuses the login"]),
            ("no login", &node, good.clone(), &["refuses the login"]),
            ("a password that is not there", &node, stage.login("ada", "NOT_THERE") + &good, &["NOT_THERE"]),
        ];
        for (what, contact, sink, words) in cases {
            kept_out(what, &job("orders", &source, contact, &sink), words).await?;
        }
        Ok(())
    })
}
