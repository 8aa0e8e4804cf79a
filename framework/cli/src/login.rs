//! The token that is sent to a scheduler, and whose certificate is believed.

use std::{net::IpAddr, path::PathBuf};

use hyper::Uri;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use millstream_daemon::access;
use millstream_tls::{ClientFiles, client_config};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::failure::Failure;

/// How a person is known to schedulers, and schedulers to the person.
#[derive(Debug, Default)]
pub(crate) struct Login {
    /// Said for this command: it is sent wherever the command asks.
    said: Option<String>,
    /// The user's own, for schedulers on this machine.
    own: Option<String>,
    ca: Option<PathBuf>,
}

impl Login {
    /// As MILLSTREAM_TOKEN says, else the file that MILLSTREAM_TOKEN_FILE names, else the user's own, if there is one.
    pub(crate) fn new(ca: Option<PathBuf>) -> Result<Login, Failure> {
        if let Some(token) = std::env::var("MILLSTREAM_TOKEN").ok().filter(|token| !token.is_empty()) {
            return Ok(Login { said: Some(token), own: None, ca });
        }
        let is_named = std::env::var_os("MILLSTREAM_TOKEN_FILE").is_some_and(|name| !name.is_empty());
        let file = access::own_file().filter(|file| is_named || file.exists());
        let own = file.map(|file| access::read_own(&file)).transpose().map_err(|error| Failure::of(&error))?;
        Ok(Login { said: own.clone().filter(|_| is_named), own, ca })
    }

    /// The token for a URL. The user's own is for this machine: nobody else is told it. No token goes over a wire that others
    /// read.
    pub(crate) fn token_for(&self, url: &str) -> Result<Option<&str>, Failure> {
        let is_here = is_loopback_url(url);
        if self.said.is_some() && !is_here && !url.starts_with("https:") {
            let remedy = "write https://HOST:PORT; a scheduler off loopback speaks TLS (docs/security.md)";
            return Err(Failure::new(format!("a token is not sent in clear to {url}"), remedy));
        }
        Ok(self.said.as_deref().or_else(|| self.own.as_deref().filter(|_| is_here)))
    }

    /// Whether whoever is named there may be told the token: those that the user has named, all on this machine when one of
    /// them is there, and whoever an authority of the user's own has signed for.
    pub(crate) fn trusts(&self, bases: &[String], url: &str) -> bool {
        let is_named = bases.iter().any(|base| url == base || url.starts_with(&format!("{base}/")));
        let is_signed = self.ca.is_some() && url.starts_with("https:");
        let is_here = is_loopback_url(url) && bases.iter().any(|base| is_loopback_url(base));
        is_named || is_signed || is_here
    }

    /// Speaks TLS with those whose certificate the authorities in the file have signed; without one, the system's, which are
    /// read only where somebody `is_asked_by_https`.
    pub(crate) fn https(
        &self,
        connector: HttpConnector,
        is_asked_by_https: bool,
    ) -> Result<HttpsConnector<HttpConnector>, Failure> {
        let config = match &self.ca {
            Some(ca) => client_config(ClientFiles { ca: ca.clone(), own: None }, None).map_err(|error| {
                let remedy = "name the PEM file of the authority that signed the scheduler's certificate";
                Failure::new(error.to_string(), remedy)
            })?,
            None if is_asked_by_https => {
                let builder = ClientConfig::builder().with_native_roots().map_err(|error| {
                    let remedy = "name the authority that signed the scheduler's certificate with --scheduler-ca FILE";
                    Failure::new(format!("the system's authorities cannot be read: {error}"), remedy)
                })?;
                builder.with_no_client_auth()
            }
            None => ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
        };
        Ok(HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector))
    }
}

pub(crate) fn is_loopback_url(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(is_loopback))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_token_stays_on_this_machine_and_a_said_one_goes_where_it_is_said() {
        let own = Login { own: Some("own".into()), ..Login::default() };
        for here in ["http://127.0.0.1:7070/x", "http://localhost:1", "http://[::1]:7070", "https://127.0.1.3:7070"] {
            assert_eq!(own.token_for(here).expect("here"), Some("own"), "{here}");
        }
        for there in [
            "http://127.0.0.1.evil.example/",
            "https://s.example:7070",
            "http://10.0.0.1",
            "http://localhost@evil.example/",
        ] {
            assert_eq!(own.token_for(there).expect("none to send"), None, "{there}");
        }
        let said = Login { said: Some("said".into()), ..Login::default() };
        assert_eq!(said.token_for("https://s.example:7070").expect("TLS"), Some("said"));
        said.token_for("http://s.example:7070").expect_err("in clear");
        let bases = ["https://s1.example:7070".to_owned(), "https://s2.example:7070".to_owned()];
        assert!(said.trusts(&bases, "https://s2.example:7070/api/v1/jobs"));
        for other in ["https://evil.example/api", "https://s2.example:7070.evil.example/", "http://127.0.0.1:7070/"] {
            assert!(!said.trusts(&bases, other), "{other}");
        }
        assert!(said.trusts(&["http://127.0.0.1:7070".to_owned()], "http://127.0.0.1:7071/api"));
        let signed = Login { ca: Some("ca.pem".into()), ..said };
        assert!(signed.trusts(&bases, "https://s3.example:7070/") && !signed.trusts(&bases, "http://s3.example:7070/"));
    }
}
