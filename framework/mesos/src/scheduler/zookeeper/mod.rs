//! Detection of the leading master through ZooKeeper.

mod connect;
mod detector;
mod election;
mod tls;
mod trouble;
mod url;

pub use connect::connect;
pub(super) use detector::{Detection, Detector};
pub(super) use election::Leader;
pub use tls::ZooKeeperTls;
pub use url::ZooKeeperUrl;
