//! RESERVE, UNRESERVE, CREATE and DESTROY: what they turn into what. Source: `src/master/validation.cpp` of 1.11.

use millstream_mesos_types::{FrameworkInfo, OperationKind, Resource};

use super::{
    AgentIndex, Amounts, Cluster,
    amounts::Kind,
    resources::{check_resources, text},
};

/// What an operation takes and what it makes of it.
pub(super) struct Conversion {
    pub(super) consumed: Amounts,
    pub(super) converted: Amounts,
}

/// Who asks: a framework in the role of its offers, or an operator.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker<'a> {
    Framework(&'a FrameworkInfo, &'a str),
    Operator,
}

impl Cluster {
    /// Applies an operation to what an agent has and to `from`, the part of it that may be used.
    pub(super) fn apply(
        &mut self,
        agent: AgentIndex,
        operation: &OperationKind,
        asker: Asker,
        from: &mut Amounts,
    ) -> Result<(), String> {
        let Conversion { consumed, converted } = self
            .conversion(agent, operation, asker)
            .map_err(|error| format!("{error}; on agent {}", self.agents[agent].id))?;
        if !from.contains(&consumed) {
            return Err(format!("Invalid operation: {} does not contain {}", text(from), text(&consumed)));
        }
        for amounts in [from, &mut self.agents[agent].total] {
            amounts.subtract(&consumed);
            amounts.add(&converted);
        }
        Ok(())
    }

    pub(super) fn conversion(
        &self,
        agent: AgentIndex,
        operation: &OperationKind,
        asker: Asker,
    ) -> Result<Conversion, String> {
        match operation {
            OperationKind::Reserve { reserve } => reserving(&reserve.resources, asker),
            OperationKind::Unreserve { unreserve } => unreserving(&unreserve.resources),
            OperationKind::Create { create } => self.creating(agent, &create.volumes, asker),
            OperationKind::Destroy { destroy } => self.destroying(agent, &destroy.volumes),
            OperationKind::Launch { .. } | OperationKind::Unknown => Err("this operation is not implemented".into()),
        }
    }

    fn creating(&self, agent: AgentIndex, volumes: &[Resource], asker: Asker) -> Result<Conversion, String> {
        let converted = valid(volumes)?;
        if converted.kinds().count() != volumes.len() {
            return Err("Persistence ID is not unique".into());
        }
        for kind in converted.kinds() {
            let Some(volume) = &kind.volume else {
                return Err(format!("Not a persistent volume: Resource {} does not have DiskInfo", kind.name));
            };
            if volume.disk["volume"]["mode"] == "RO" {
                return Err("Not a persistent volume: Read-only persistent volume not supported".into());
            }
            let same = |other: &Kind| {
                other.reservation_role() == kind.reservation_role() && other.volume.as_ref() == Some(volume)
            };
            if self.agents[agent].total.kinds().any(same) {
                return Err(format!("Persistence ID '{}' is not unique", volume.id));
            }
            check_principal(asker, volume.disk["persistence"]["principal"].as_str(), "volume")?;
        }
        let consumed = converted.map_kinds(|kind| kind.volume = None);
        Ok(Conversion { consumed, converted })
    }

    fn destroying(&self, agent: AgentIndex, volumes: &[Resource]) -> Result<Conversion, String> {
        let consumed = valid(volumes)?;
        if let Some(kind) = consumed.kinds().find(|kind| kind.volume.is_none()) {
            return Err(format!("Not a persistent volume: Resource {} does not have DiskInfo", kind.name));
        }
        if !self.agents[agent].total.contains(&consumed) {
            return Err("Persistent volumes not found".into());
        }
        if self.agents[agent].used.kinds().any(|used| consumed.kinds().any(|kind| kind == used)) {
            return Err("Persistent volumes in use".into());
        }
        let converted = consumed.map_kinds(|kind| kind.volume = None);
        Ok(Conversion { consumed, converted })
    }
}

fn reserving(resources: &[Resource], asker: Asker) -> Result<Conversion, String> {
    let converted = valid(resources)?;
    for kind in converted.kinds() {
        let Some(reservation) = kind.reservations.last().filter(|_| kind.is_dynamically_reserved()) else {
            return Err(format!("Resource {} is not dynamically reserved", kind.name));
        };
        check_principal(asker, reservation.principal.as_deref(), "reserved resource")?;
        if let Asker::Framework(_, role) = asker
            && reservation.role != role
        {
            let message = "A reserve operation was attempted for a resource with role";
            return Err(format!("{message} '{}', but the resource was allocated to role '{role}'", reservation.role));
        }
    }
    let consumed = converted.map_kinds(|kind| drop(kind.reservations.pop()));
    Ok(Conversion { consumed, converted })
}

fn unreserving(resources: &[Resource]) -> Result<Conversion, String> {
    let consumed = valid(resources)?;
    for kind in consumed.kinds() {
        if !kind.is_dynamically_reserved() {
            return Err(format!("Resource {} is not dynamically reserved", kind.name));
        }
        if kind.volume.is_some() {
            let message = "cannot be unreserved directly. Please destroy the persistent volume first then unreserve";
            return Err(format!("A dynamically reserved persistent volume {} {message} the resource", kind.name));
        }
    }
    let converted = consumed.map_kinds(|kind| drop(kind.reservations.pop()));
    Ok(Conversion { consumed, converted })
}

fn valid(resources: &[Resource]) -> Result<Amounts, String> {
    let amounts = Amounts::of(resources).map_err(|error| format!("Invalid resources: {error}"))?;
    check_resources(&amounts).map_err(|error| format!("Invalid resources: {error}"))?;
    Ok(amounts)
}

/// A framework with a principal signs what it reserves and creates.
fn check_principal(asker: Asker, said: Option<&str>, what: &str) -> Result<(), String> {
    let Asker::Framework(FrameworkInfo { principal: Some(principal), .. }, _) = asker else { return Ok(()) };
    match said {
        Some(said) if said == principal => Ok(()),
        Some(said) => Err(format!(
            "An operation was attempted by principal '{principal}', which does not match a {what} with principal '{said}'"
        )),
        None => Err(format!(
            "An operation was attempted by principal '{principal}', but there is a {what} with no principal set"
        )),
    }
}
