//! TLS out of PEM that may be renewed while a program runs: certificates live for months at most, executors for longer.
//!
//! Map:
//! * [`Pem`]: a text and where it came from; authorities, certificates and keys out of it
//! * [`Certificate`]: of a server, read again when it is told to
//! * [`client_config`]: whose certificates a client believes, and its own, asked for anew at each handshake
//! * [`Trouble`]: why a handshake failed, for people; [`try_handshake`] finds it out
//!
//! Invariants: a certificate is always verified, against the named authorities and no others, for the name that was asked;
//! no error holds any of a PEM.

mod client;
mod handshake;
mod pem;
mod server;
mod trouble;

pub use client::{ClientFiles, ClientPems, ClientSource, client_config};
pub use handshake::{server_name, try_handshake};
pub use pem::{Pem, PemError};
pub use server::Certificate;
pub use trouble::Trouble;
