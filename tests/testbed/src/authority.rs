//! A certificate authority and what it signs, as PEM files.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;
use millstream_tls::ClientFiles;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd,
};
use tempfile::TempDir;

/// An authority that nobody knows but who is given its file. Dropping it removes all files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
    issued: AtomicUsize,
}

/// A certificate and its private key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
    /// Both in one file, as servers in Java take it.
    pub keystore: PathBuf,
}

impl Authority {
    /// Makes one.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named("an authority of the testbed");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Authority { issuer, dir: TempDir::new()?, issued: AtomicUsize::new(0) };
        fs::write(authority.ca(), authority.issuer.pem())?;
        Ok(authority)
    }

    /// Its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Signs a certificate for `name`, made out to these names and addresses.
    pub fn issue(&self, name: &str, made_out_to: &[&str]) -> Result<Issued> {
        self.sign(name, params(name, made_out_to)?)
    }

    /// The same, of a time that is over.
    pub fn issue_expired(&self, name: &str, made_out_to: &[&str]) -> Result<Issued> {
        let mut params = params(name, made_out_to)?;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        self.sign(name, params)
    }

    /// Files of a client that believes this authority.
    pub fn client(&self, own: Option<&Issued>) -> ClientFiles {
        ClientFiles { ca: self.ca(), own: own.map(|own| (own.cert.clone(), own.key.clone())) }
    }

    fn sign(&self, name: &str, params: CertificateParams) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        // Tests that run at once may issue to the same name.
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| self.dir.path().join(format!("{name}-{number}-{kind}.pem"));
        let issued = Issued { cert: file("cert"), key: file("key"), keystore: file("keystore") };
        let (cert_pem, key_pem) = (certificate.pem() + &self.issuer.pem(), key.serialize_pem());
        fs::write(&issued.cert, &cert_pem)?;
        fs::write(&issued.key, &key_pem)?;
        fs::write(&issued.keystore, key_pem + &cert_pem)?;
        Ok(issued)
    }
}

fn params(name: &str, made_out_to: &[&str]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(made_out_to.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = named(name);
    Ok(params)
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}
