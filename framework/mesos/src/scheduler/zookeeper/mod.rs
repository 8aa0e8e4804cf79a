//! Detection of the leading master through ZooKeeper.

mod detector;
mod election;
mod tls;
mod trouble;
mod url;

pub(super) use detector::{Detection, Detector};
pub(super) use election::Leader;
pub use tls::{ZooKeeperTls, connect};
pub use url::ZooKeeperUrl;
