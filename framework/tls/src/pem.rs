use std::{error::Error, fmt, fs, io, path::Path, path::PathBuf, sync::Arc};

use tokio_rustls::rustls::{
    RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

/// A PEM text and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// For people: a file, a setting.
    pub place: String,
    /// May be a private key: never shown.
    pub text: String,
}

/// Why PEM cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It comes from elsewhere than a file, and does not come.
    #[error(transparent)]
    Elsewhere(Box<dyn Error + Send + Sync>),
    /// It is no PEM of what it is to be.
    #[error("{place} holds no {what} in PEM (-----BEGIN …-----)")]
    Missing {
        /// Where it came from.
        place: String,
        /// What was looked for.
        what: &'static str,
    },
    /// An authority's certificate that is none.
    #[error("{place} holds a certificate that cannot be used; it is to be X.509 of an authority")]
    Authority {
        /// Where it came from.
        place: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Certificate and key do not go together.
    #[error("{certificate} and {key} cannot be used together")]
    Pair {
        /// Where the certificate, and those that lead to its authority, came from.
        certificate: String,
        /// Where its private key came from.
        key: String,
        /// Why.
        #[source]
        source: tokio_rustls::rustls::Error,
    },
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Pem {
    /// Reads a file. Blocks.
    pub fn read(path: &Path) -> Result<Pem, PemError> {
        let text = fs::read_to_string(path).map_err(|source| PemError::Read { path: path.to_owned(), source })?;
        Ok(Pem { place: path.display().to_string(), text })
    }

    fn missing(&self, what: &'static str) -> PemError {
        PemError::Missing { place: self.place.clone(), what }
    }

    /// The authorities in it.
    pub fn authorities(&self) -> Result<RootCertStore, PemError> {
        let bad = |source: Box<dyn Error + Send + Sync>| PemError::Authority { place: self.place.clone(), source };
        let mut authorities = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.text.as_bytes()) {
            let certificate = certificate.map_err(|error| bad(error.into()))?;
            authorities.add(certificate).map_err(|error| bad(error.into()))?;
        }
        if authorities.is_empty() { Err(self.missing("certificate")) } else { Ok(authorities) }
    }

    /// The certificate in it, with those that lead to its authority, and its private key out of another.
    pub(crate) fn with_key(&self, key: &Pem) -> Result<CertifiedKey, PemError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.text.as_bytes()).collect();
        let chain = chain.ok().filter(|all| !all.is_empty()).ok_or_else(|| self.missing("certificate"))?;
        let private = PrivateKeyDer::from_pem_slice(key.text.as_bytes()).map_err(|_| key.missing("private key"))?;
        let (certificate, key) = (self.place.clone(), key.place.clone());
        CertifiedKey::from_der(chain, private, &provider()).map_err(|source| PemError::Pair {
            certificate,
            key,
            source,
        })
    }
}

/// The one that all of the house uses.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
