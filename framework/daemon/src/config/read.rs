//! Values as they are written.

use millstream_mesos::scheduler::ZooKeeperUrl;
use millstream_spec::{Setting, units};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::zookeeper::address;

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    units::parse_duration_ms(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    units::parse_size_bytes(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn zookeeper<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ZooKeeperUrl>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(None),
        text => address::parse(text).map(Some).map_err(D::Error::custom),
    }
}

pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Setting>, D::Error> {
    let setting = Setting::deserialize(deserializer)
        .map_err(|_| D::Error::custom("a secret is only named here: { env = \"X\" } or { file = \"/path\" }"))?;
    match setting {
        Setting::Value(_) => {
            Err(D::Error::custom("a plain secret is refused: { env = \"X\" } or { file = \"/path\" }"))
        }
        named => Ok(Some(named)),
    }
}
