//! Plans and reasons for people.

use std::fmt::{self, Display, Formatter};

use crate::{Filter, Plan, Reason, ReasonKind, Resources, Revocable, Wait};

impl ReasonKind {
    /// Metric label and key of counts.
    pub fn as_str(self) -> &'static str {
        match self {
            ReasonKind::NoOffers => "no_offers",
            ReasonKind::NothingWanted => "nothing_wanted",
            ReasonKind::Role => "role",
            ReasonKind::Constraint => "constraint",
            ReasonKind::Maintenance => "maintenance",
            ReasonKind::Avoided => "avoided",
            ReasonKind::Cpus => "cpus",
            ReasonKind::Mem => "mem",
            ReasonKind::Disk => "disk",
            ReasonKind::Ports => "ports",
            ReasonKind::SpreadCap => "spread_cap",
            ReasonKind::Locality => "locality",
            ReasonKind::Backoff => "backoff",
            ReasonKind::LaunchRate => "launch_rate",
            ReasonKind::Outbid => "outbid",
        }
    }
}

impl Display for ReasonKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Display for Reason {
    /// Without times; [`Reason::describe`] has them.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoOffers => f.write_str("no agent offers anything"),
            Reason::NothingWanted => f.write_str("nothing is waiting for a place"),
            Reason::Role => f.write_str("offered to a role the job does not use"),
            Reason::Constraint { constraint } => write!(f, "does not fulfil `{constraint}`"),
            Reason::Maintenance => f.write_str("will be in maintenance"),
            Reason::Avoided => f.write_str("an executor was just lost there"),
            Reason::Cpus { need_milli, have_milli } => {
                write!(f, "needs {} cpus, {} are offered", Milli(*need_milli), Milli(*have_milli))
            }
            Reason::Mem { need_bytes, have_bytes } => {
                write!(f, "needs {} of memory, {} are offered", Bytes(*need_bytes), Bytes(*have_bytes))
            }
            Reason::Disk { need_bytes, have_bytes } => {
                write!(f, "needs {} of disk, {} are offered", Bytes(*need_bytes), Bytes(*have_bytes))
            }
            Reason::Ports => f.write_str(
                "no port is offered for the executor's endpoint (give the agent `ports`, or set `port = \"any\"` in [executor])",
            ),
            Reason::SpreadCap { tier } => write!(f, "one {tier} would hold too much of the job"),
            Reason::Locality { .. } => f.write_str("waits for a place nearer to the data"),
            Reason::Backoff { .. } => f.write_str("crashed and waits before the next try"),
            Reason::LaunchRate => f.write_str("enough was launched for now"),
            Reason::Outbid => f.write_str("another task got the room"),
        }
    }
}

impl Reason {
    /// One line, with the time left where there is one.
    pub fn describe(&self, now_ms: u64) -> String {
        match self {
            Reason::Locality { until_ms } | Reason::Backoff { until_ms } => {
                format!("{self} (at most {} more)", Secs(until_ms.saturating_sub(now_ms)))
            }
            _ => self.to_string(),
        }
    }
}

impl Wait {
    /// One line: the reason nearest to success, and how many agents said no for which.
    pub fn describe(&self, now_ms: u64) -> String {
        let mut text = self.reason.describe(now_ms);
        if !self.agents.is_empty() {
            let counts: Vec<String> = self.agents.iter().rev().map(|(kind, count)| format!("{kind} {count}")).collect();
            text += &format!("; agents: {}", counts.join(", "));
        }
        text
    }
}

impl Plan {
    /// One line for each launch, wait and decline, in this order.
    pub fn describe(&self, now_ms: u64) -> String {
        let mut text = String::new();
        for launch in &self.launches {
            let bytes: Vec<String> =
                launch.bytes_by_tier.iter().map(|(tier, bytes)| format!("{tier} {}/s", Bytes(*bytes as u64))).collect();
            let revocable = if launch.revocable.any() { format!(", on {}", launch.revocable) } else { String::new() };
            let over = launch.over_cap.map(|tier| format!(", over the cap of its {tier}")).unwrap_or_default();
            text += &format!(
                "launch  {} on {} ({}): source {}, sink {}, cost {:.0} ({}){revocable}{over}\n",
                launch.request,
                launch.agent,
                launch.role,
                launch.source_tier,
                launch.sink_tier,
                launch.cost,
                bytes.join(", ")
            );
        }
        for wait in &self.waits {
            text += &format!("wait    {}: {}\n", wait.request, wait.describe(now_ms));
        }
        for decline in &self.declines {
            let filter = match decline.filter {
                Filter::Until(until_ms) => format!("not again for {}", Secs(until_ms.saturating_sub(now_ms))),
                Filter::Long => "not again for long".to_owned(),
            };
            let reason = decline.reason.describe(now_ms);
            text += &format!("decline {} ({}): {reason}; {filter}\n", decline.agent, decline.role);
        }
        text
    }
}

impl Display for Resources {
    /// What there is any of, as in `0.5 cpus, 256 MiB of memory`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let cpus = (self.cpus_milli > 0).then(|| format!("{} cpus", Milli(self.cpus_milli)));
        let mem = (self.mem_bytes > 0).then(|| format!("{} of memory", Bytes(self.mem_bytes)));
        let disk = (self.disk_bytes > 0).then(|| format!("{} of disk", Bytes(self.disk_bytes)));
        let ports = (self.ports > 0).then(|| format!("{} ports", self.ports));
        let parts: Vec<String> = [cpus, mem, disk, ports].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

impl Display for Revocable {
    /// As in `revocable cpus and memory`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.cpus, self.mem) {
            (true, true) => "revocable cpus and memory",
            (true, false) => "revocable cpus",
            (false, true) => "revocable memory",
            (false, false) => "nothing revocable",
        })
    }
}

struct Milli(u64);

impl Display for Milli {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 as f64 / 1000.0)
    }
}

struct Secs(u64);

impl Display for Secs {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0 as f64 / 1000.0)
    }
}

struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS.iter().find(|(size, _)| self.0 >= *size) {
            Some((size, unit)) => {
                let rounded = (self.0 as f64 / *size as f64 * 10.0).round() / 10.0;
                write!(f, "{rounded} {unit}")
            }
            None => write!(f, "{} B", self.0),
        }
    }
}
