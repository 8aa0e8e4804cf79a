use std::{io, sync::Arc, time::Duration};

use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

/// How long a server may take to say that it does not want our certificate, which by TLS 1.3 it says after the handshake.
const REFUSED_WITHIN: Duration = Duration::from_millis(500);

/// The host of `host:port`, as a certificate names it; of `[::1]:port` without the brackets.
pub fn server_name(authority: &str) -> Option<ServerName<'static>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).ok()
}

/// Speaks TLS with `host:port` and nothing else, to learn what keeps us from it: clients tell it poorly. For protocols whose
/// server says nothing before it is asked.
pub async fn try_handshake(config: Arc<ClientConfig>, authority: &str, stream: TcpStream) -> io::Result<()> {
    let name = server_name(authority).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut stream = TlsConnector::from(config).connect(name, stream).await?;
    match tokio::time::timeout(REFUSED_WITHIN, stream.read_u8()).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_stand_before_the_port() {
        for (authority, expected) in [("a:1", "a"), ("127.0.0.1:5050", "127.0.0.1"), ("[::1]:5050", "::1")] {
            assert_eq!(server_name(authority).expect("a name").to_str(), expected);
        }
        assert_eq!(server_name("a b:1"), None);
    }
}
