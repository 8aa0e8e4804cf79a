//! Certificate and key of a server.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, sign::SingleCertAndKey},
};

use crate::pem::{Pem, PemError, provider};

/// A server's certificate and key. Clones share it.
#[derive(Clone)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads both files. Blocks.
    pub fn read(chain: &Path, key: &Path) -> Result<Certificate, PemError> {
        let current = Arc::new(RwLock::new(config(chain, key)?));
        Ok(Certificate { chain: chain.to_owned(), key: key.to_owned(), current })
    }

    /// Reads both files again; what is there stays when they cannot be used. Blocks.
    pub fn renew(&self) -> Result<(), PemError> {
        let renewed = config(&self.chain, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// Takes connections with what was read last.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

fn config(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, PemError> {
    let pair = Pem::read(chain)?.with_key(&Pem::read(key)?)?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider speaks the default versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_certificate_is_renewed_or_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let (chain, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let write = || {
            let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
            fs::write(&chain, made.cert.pem()).expect("written");
            fs::write(&key, made.signing_key.serialize_pem()).expect("written");
        };
        assert!(matches!(Certificate::read(&chain, &key), Err(PemError::Read { .. })));
        write();
        let certificate = Certificate::read(&chain, &key).expect("both are there");
        let other = fs::read(&key).expect("there");
        write();
        certificate.renew().expect("both are there");
        fs::write(&key, other).expect("written");
        assert!(matches!(certificate.renew(), Err(PemError::Pair { .. })), "the key is another's");
        fs::write(&chain, "hunter2").expect("written");
        let error = certificate.renew().expect_err("no PEM").to_string();
        assert!(error.contains("holds no certificate") && !error.contains("hunter2"), "{error}");
    }
}
