//! How near two places are.

use crate::{Distances, Place, Resources, Tier};

impl Tier {
    /// All tiers, nearest first.
    pub const ALL: [Tier; 5] = [Tier::Host, Tier::Rack, Tier::Zone, Tier::Region, Tier::Any];

    /// The name used in job files, plans and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Host => "host",
            Tier::Rack => "rack",
            Tier::Zone => "zone",
            Tier::Region => "region",
            Tier::Any => "any",
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Place {
    /// The nearest tier both places share. What is not known is equal to nothing.
    pub fn tier_to(&self, other: &Place) -> Tier {
        fn same(a: &Option<String>, b: &Option<String>) -> bool {
            a.is_some() && a == b
        }
        if self.hosts.iter().any(|name| other.hosts.contains(name)) {
            Tier::Host
        } else if same(&self.rack, &other.rack) {
            Tier::Rack
        } else if same(&self.zone, &other.zone) {
            Tier::Zone
        } else if same(&self.region, &other.region) {
            Tier::Region
        } else {
            Tier::Any
        }
    }
}

impl Distances {
    /// Cost of one byte over a tier.
    pub fn of(&self, tier: Tier) -> f64 {
        match tier {
            Tier::Host => 0.0,
            Tier::Rack => self.rack,
            Tier::Zone => self.zone,
            Tier::Region => self.region,
            Tier::Any => self.any,
        }
    }
}

impl Resources {
    /// Whether `other` is at most this, in every kind.
    pub fn covers(&self, other: &Resources) -> bool {
        self.minus(other).is_some()
    }

    /// The sum, saturating.
    pub fn plus(&self, other: &Resources) -> Resources {
        Resources {
            cpus_milli: self.cpus_milli.saturating_add(other.cpus_milli),
            mem_bytes: self.mem_bytes.saturating_add(other.mem_bytes),
            disk_bytes: self.disk_bytes.saturating_add(other.disk_bytes),
            ports: self.ports.saturating_add(other.ports),
        }
    }

    /// What is left, none when `other` is more than this in some kind.
    pub fn minus(&self, other: &Resources) -> Option<Resources> {
        Some(Resources {
            cpus_milli: self.cpus_milli.checked_sub(other.cpus_milli)?,
            mem_bytes: self.mem_bytes.checked_sub(other.mem_bytes)?,
            disk_bytes: self.disk_bytes.checked_sub(other.disk_bytes)?,
            ports: self.ports.checked_sub(other.ports)?,
        })
    }

    /// How many of `other` fit; at most `most`.
    pub fn times(&self, other: &Resources, most: u64) -> u64 {
        let kinds = |r: &Resources| [r.cpus_milli, r.mem_bytes, r.disk_bytes, r.ports.into()];
        let fits = kinds(self).into_iter().zip(kinds(other)).filter_map(|(have, need)| have.checked_div(need));
        fits.fold(most, u64::min)
    }
}
