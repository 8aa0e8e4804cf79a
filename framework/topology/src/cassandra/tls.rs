//! TLS to a sink's nodes: out of settings, which are read again at each handshake.

use std::{io, sync::Arc};

use millstream_spec::{CassandraTls, Setting};
use millstream_tls::{ClientPems, ClientSource, Pem, PemError, Trouble, client_config, try_handshake};
use tokio::{
    net::{TcpStream, lookup_host},
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};

use super::CassandraError;
use crate::hosts::{PROBE_TIMEOUT, PROBES_MAX};
use crate::settings::{SettingError, resolve};

/// What the driver is given.
pub(super) async fn config(tls: &CassandraTls) -> Result<Arc<ClientConfig>, CassandraError> {
    let named =
        |name: &String| ServerName::try_from(name.clone()).map_err(|_| CassandraError::TlsName { name: name.clone() });
    let (source, name) = (Source(tls.clone()), tls.name.as_ref().map(named).transpose()?);
    let config = spawn_blocking(move || client_config(source, name)).await;
    Ok(Arc::new(config.map_err(|_| SettingError::Interrupted)??))
}

#[derive(Debug)]
struct Source(CassandraTls);

impl ClientSource for Source {
    fn read(&self) -> Result<ClientPems, PemError> {
        let CassandraTls { ca, cert, key, name: _ } = &self.0;
        let own = cert.as_ref().zip(key.as_ref());
        let own = own.map(|(cert, key)| Ok((pem("cert", cert)?, pem("key", key)?))).transpose()?;
        Ok(ClientPems { authorities: pem("ca", ca)?, own })
    }
}

fn pem(key: &str, setting: &Setting) -> Result<Pem, PemError> {
    let place = match setting {
        Setting::Value(_) => format!("sink.cassandra.tls.{key}"),
        Setting::Env(name) => format!("sink.cassandra.tls.{key} (variable {name})"),
        Setting::File(path) => format!("sink.cassandra.tls.{key} ({})", path.display()),
    };
    let text = resolve(setting).map_err(|error| PemError::Elsewhere(Box::new(error)))?;
    Ok(Pem { place, text })
}

/// Why there is no TLS with these nodes, the first one first; none when there is. The driver does not always tell.
pub(super) async fn trouble(config: Arc<ClientConfig>, contact_points: &[String]) -> Option<Trouble> {
    for point in contact_points.iter().take(PROBES_MAX) {
        // The driver asks each node by its address, and not by the name that led there.
        let tried = async {
            let address = lookup_host(point).await?.next().ok_or(io::ErrorKind::NotFound)?;
            try_handshake(config.clone(), &address.to_string(), TcpStream::connect(address).await?).await
        };
        if let Ok(Err(error)) = timeout(PROBE_TIMEOUT, tried).await
            && let Some(trouble) = Trouble::of(&error)
        {
            return Some(trouble);
        }
    }
    None
}
