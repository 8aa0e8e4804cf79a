//! A volume as a resource: disk, reserved for our role with labels that name it, with `DiskInfo.Persistence`.

use millstream_mesos_types::Resource;
use serde_json::{Value, json};

use crate::FrameworkSettings;

/// Labels of our reservations.
const FRAMEWORK_LABEL: &str = "millstream.framework";
const VOLUME_LABEL: &str = "millstream.volume";

/// Id of the persistent volume a resource is; none for any other. The reservation must carry our labels: another's volume
/// is not ours to use.
pub(crate) fn id_of(resource: &Resource) -> Option<String> {
    let id = resource.rest.get("disk")?.get("persistence")?.get("id")?.as_str()?;
    owner_of(resource).map(|(_, volume)| volume).filter(|volume| volume == id)
}

/// Framework and volume that some disk was reserved for by us.
pub(super) fn owner_of(resource: &Resource) -> Option<(String, String)> {
    if resource.name != "disk" {
        return None;
    }
    let reservation = resource.rest.get("reservations")?.as_array()?.last()?;
    let labels = reservation.get("labels")?.get("labels")?.as_array()?;
    let value = |key: &str| {
        let label = labels.iter().find(|label| label.get("key").and_then(Value::as_str) == Some(key));
        label?.get("value")?.as_str().map(str::to_owned)
    };
    Some((value(FRAMEWORK_LABEL)?, value(VOLUME_LABEL)?))
}

/// Disk a volume can be made of: unreserved, and no special kind of (a volume, a disk of its own, from a storage plugin).
pub(crate) fn is_plain_disk(resource: &Resource) -> bool {
    let special = ["disk", "provider_id", "shared"].iter().any(|key| resource.rest.contains_key(*key));
    resource.name == "disk" && !special && !resource.is_reserved() && !resource.is_revocable()
}

/// Unreserved disk as RESERVE makes it ours. A framework with a principal must sign it
/// (`validate(Offer::Operation::Reserve)` in Mesos' `src/master/validation.cpp`).
pub(super) fn reserved(disk: &Resource, settings: &FrameworkSettings, framework: &str, volume: &str) -> Resource {
    let labels = [(FRAMEWORK_LABEL, framework), (VOLUME_LABEL, volume)];
    let labels: Vec<_> = labels.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let mut reservation = json!({ "type": "DYNAMIC", "role": settings.role, "labels": { "labels": labels } });
    sign(&mut reservation, settings.principal.as_deref());
    with(disk, "reservations", json!([reservation]))
}

/// Reserved disk as CREATE makes it a volume. The path is relative: a link in the executor's sandbox while the task runs.
pub(super) fn volume(reserved: &Resource, id: &str, slot: u32, principal: Option<&str>) -> Resource {
    let mut persistence = json!({ "id": id });
    sign(&mut persistence, principal);
    let path = format!("volume-{slot}");
    let disk = json!({ "persistence": persistence, "volume": { "container_path": path, "mode": "RW" } });
    with(reserved, "disk", disk)
}

/// What DESTROY leaves of a volume: reserved disk, which UNRESERVE takes.
pub(super) fn unreserved(volume: &Resource) -> Resource {
    let mut resource = volume.clone();
    resource.rest.remove("disk");
    resource
}

fn sign(info: &mut Value, principal: Option<&str>) {
    if let Some(principal) = principal {
        info["principal"] = principal.into();
    }
}

fn with(resource: &Resource, key: &str, value: Value) -> Resource {
    let mut resource = resource.clone();
    resource.rest.insert(key.into(), value);
    resource
}
