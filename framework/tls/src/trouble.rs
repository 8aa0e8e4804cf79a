use std::{error::Error, fmt, io};

use tokio_rustls::rustls::{CertificateError as Bad, Error as TlsError};

/// Why a handshake failed, as far as it does not pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody else has signed it.
    UnknownIssuer,
    /// It is made out to another name.
    OtherName,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It cannot be used for another reason.
    Unacceptable,
    /// The peer speaks something else.
    NoTls,
    /// The peer does not want us.
    Refused,
}

impl Trouble {
    /// What an error says of it, or one that led to it.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Trouble> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<TlsError>() {
                return Trouble::read(error);
            }
            // What an I/O error wraps is not its source, but in its place.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    fn read(error: &TlsError) -> Option<Trouble> {
        Some(match error {
            TlsError::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => Trouble::UnknownIssuer,
            TlsError::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
                Trouble::OtherName
            }
            TlsError::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => Trouble::Expired,
            TlsError::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => Trouble::NotYetValid,
            TlsError::InvalidCertificate(_) => Trouble::Unacceptable,
            TlsError::InvalidMessage(_) => Trouble::NoTls,
            TlsError::AlertReceived(_) => Trouble::Refused,
            _ => return None,
        })
    }

    /// What it is, and what to do about it.
    pub fn with_remedy(self) -> String {
        format!("{self}; {}", self.remedy())
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Trouble::UnknownIssuer => "give the PEM file of the authority that signed it",
            Trouble::OtherName => "address it by a name that stands in its certificate",
            Trouble::Expired => "renew it, and see that the clocks are right",
            Trouble::NotYetValid => "see that the clocks are right",
            Trouble::Unacceptable => "give the server one that the authority signed and that is no authority's itself",
            Trouble::NoTls => "leave TLS out, or address the port that speaks it",
            Trouble::Refused => {
                "it may want a client's certificate (`cert` and `key`), another than this one, or TLS older than 1.2"
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::UnknownIssuer => "the server's certificate is not signed by the given authority",
            Trouble::OtherName => "the server's certificate is made out to another name",
            Trouble::Expired => "the server's certificate has expired",
            Trouble::NotYetValid => "the server's certificate is not valid yet",
            Trouble::Unacceptable => "the server's certificate is not accepted",
            Trouble::NoTls => "the server does not speak TLS there",
            Trouble::Refused => "the server refused the handshake",
        })
    }
}
