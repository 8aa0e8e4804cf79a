//! Detection of the leading master through ZooKeeper.

mod detector;
mod election;
mod trouble;
mod url;

pub(super) use detector::{Detection, Detector};
pub(super) use election::Leader;
pub use url::ZooKeeperUrl;
