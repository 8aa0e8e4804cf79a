#[cfg(test)]
pub(crate) mod ca;

use std::sync::Arc;

use millstream_tls::{ClientFiles, PemError, Trouble, client_config, server_name};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::ClientConfig};

use crate::TransportError;

/// How to speak TLS: certificates are verified against the CAs of a file and no others, and must name the host that is asked.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Trusts the CAs of a PEM file, and shows the certificate of another to who asks. Blocks.
    pub fn read(files: &ClientFiles) -> Result<Self, PemError> {
        Ok(Self { config: Arc::new(client_config(files.clone(), None)?) })
    }

    /// For [`millstream_tls::try_handshake`].
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Makes a connection to `host:port` a TLS one.
    pub(crate) async fn handshake(
        &self,
        authority: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, TransportError> {
        let name = server_name(authority).ok_or_else(|| TransportError::Address { authority: authority.to_owned() })?;
        let connected = TlsConnector::from(self.config()).connect(name, stream).await;
        connected.map_err(|source| match Trouble::of(&source) {
            Some(trouble) => {
                TransportError::Untrusted { authority: authority.to_owned(), remedy: trouble.with_remedy(), source }
            }
            None => TransportError::Connect { authority: authority.to_owned(), source },
        })
    }
}
