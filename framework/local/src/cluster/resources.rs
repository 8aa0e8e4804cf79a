//! What resources must be in themselves, wherever they are named. Source: `src/master/validation.cpp` of 1.11.

use super::{Amounts, accept::check_id, infos::is_role};

/// Amounts in messages.
pub(super) fn text(amounts: &Amounts) -> String {
    let of_kind = |kind: &super::amounts::Kind| {
        let mut text = format!("{}({})", kind.name, kind.reservation_role());
        if let Some(volume) = &kind.volume {
            text += &format!("[{}]", volume.id);
        }
        if kind.revocable {
            text += "{REV}";
        }
        format!("{text}:{}", amounts.filter(|other| other == kind).thousandths(&kind.name) as f64 / 1000.0)
    };
    amounts.kinds().map(of_kind).collect::<Vec<_>>().join("; ")
}

/// Why some of them cannot be.
pub(super) fn check_resources(amounts: &Amounts) -> Result<(), String> {
    for kind in amounts.kinds() {
        for (index, reservation) in kind.reservations.iter().enumerate() {
            if !is_role(&reservation.role) || reservation.role == "*" {
                return Err(format!("Invalid reservation: '{}' is not a role to reserve for", reservation.role));
            }
            let outer = index.checked_sub(1).map(|outer| &kind.reservations[outer].role);
            let refines =
                |outer: &String| reservation.role.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
            if let Some(outer) = outer.filter(|outer| !refines(outer)) {
                return Err(format!(
                    "Invalid refined reservation: '{}' is not a sub-role of '{outer}'",
                    reservation.role
                ));
            }
        }
        if let Some(volume) = &kind.volume {
            let problem = match () {
                () if kind.revocable => "Persistent volumes cannot be created from revocable resources",
                () if kind.reservations.is_empty() => "Persistent volumes cannot be created from unreserved resources",
                () if volume.disk["volume"].is_null() => "Expecting 'volume' to be set for persistent volume",
                () => "",
            };
            if !problem.is_empty() {
                return Err(format!("Invalid DiskInfo: {problem}"));
            }
            check_id("persistence ID", &volume.id).map_err(|error| format!("Invalid DiskInfo: {error}"))?;
        }
        if kind.revocable && kind.is_dynamically_reserved() {
            let message = "cannot be created from revocable resources";
            return Err(format!("Invalid ReservationInfo: Dynamically reserved resource {} {message}", kind.name));
        }
    }
    Ok(())
}

/// Not both kinds of one name.
pub(super) fn check_revocable(amounts: &Amounts) -> Result<(), String> {
    let mixed = amounts
        .kinds()
        .filter(|kind| kind.revocable)
        .find(|revocable| amounts.kinds().any(|kind| kind.name == revocable.name && !kind.revocable));
    mixed.map_or(Ok(()), |kind| {
        Err(format!("Cannot use both revocable and non-revocable '{}' at the same time", kind.name))
    })
}
