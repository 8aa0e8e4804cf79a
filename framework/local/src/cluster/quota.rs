//! Limits of roles: `UPDATE_QUOTA`. Guarantees are not kept.

use std::{collections::BTreeMap, time::Duration};

use millstream_mesos_types::Scalar;
use serde::{Deserialize, Serialize};

use super::{Amounts, Cluster, Refusal, infos::is_role, shares::Shares};

/// `quota.QuotaConfig`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuotaConfig {
    /// A role without `/`.
    pub role: String,
    /// Not supported here: must be empty.
    #[serde(default)]
    pub guarantees: BTreeMap<String, Scalar>,
    /// The most of each scalar that the role and those below it get; a name that is not there has no limit.
    #[serde(default)]
    pub limits: BTreeMap<String, Scalar>,
}

impl Cluster {
    /// Replaces the limits of the roles named. What they have already is not taken back, as in Mesos without `force`
    /// checks.
    pub fn update_quota(&mut self, now: Duration, configs: Vec<QuotaConfig>) -> Result<(), Refusal> {
        self.at(now);
        for config in &configs {
            let role = &config.role;
            let values = config.limits.values().chain(config.guarantees.values());
            let bad_value = values.clone().any(|scalar| !scalar.value.is_finite() || scalar.value < 0.0);
            if !is_role(role) || role == "*" || role.contains('/') || bad_value {
                return Err(Refusal::new(400, format!("Invalid QuotaConfig for role '{role}'")));
            }
            if config.guarantees.values().any(|scalar| scalar.value > 0.0) {
                return Err(Refusal::new(501, "quota guarantees are not implemented here, only limits"));
            }
        }
        for config in configs {
            match config.limits.is_empty() {
                true => self.quota.remove(&config.role),
                false => self.quota.insert(config.role.clone(), config),
            };
        }
        Ok(())
    }

    /// The limits there are.
    pub fn quota(&self) -> impl Iterator<Item = &QuotaConfig> {
        self.quota.values()
    }

    pub(super) fn keep_within_quota(&self, role: &str, part: &mut Amounts, shares: &Shares) {
        let top = role.split('/').next().unwrap_or(role);
        for (name, limit) in self.quota.get(top).into_iter().flat_map(|config| &config.limits) {
            let limit = (limit.value * 1000.0).round() as u64;
            part.limit_unreserved(name, limit.saturating_sub(shares.consumed(top, name)));
        }
    }
}
