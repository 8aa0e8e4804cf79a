//! Agents asked back for a maintenance. Source: `src/master/allocator/mesos/hierarchical.cpp` of 1.11.

use std::collections::BTreeMap;

use millstream_mesos_types::{
    FrameworkId, InverseOffer, OfferId,
    scheduler::{Event, InverseOfferAnswer, InverseOffers, RescindInverseOffer},
};

use super::{AgentIndex, Cluster, calls::refusal_time, maintenance::InverseAnswer, model::InverseOfferRecord};

impl Cluster {
    /// One inverse offer for each agent with a planned maintenance to each framework that has or is offered something
    /// there, unless one is out or filtered.
    pub(super) fn offer_inversely(&mut self) {
        let mut made: BTreeMap<FrameworkId, Vec<InverseOffer>> = BTreeMap::new();
        for agent in 0..self.agents.len() {
            let Some(unavailability) = self.unavailability(agent).filter(|_| self.agents[agent].is_active()) else {
                continue;
            };
            for framework in self.affected_frameworks(agent) {
                let id = OfferId::new(self.new_id("O"));
                let record = InverseOfferRecord { framework: framework.clone(), agent };
                self.inverse_offers.insert(id.clone(), record);
                let (framework_id, agent_id) = (framework.clone(), Some(self.agents[agent].id.clone()));
                made.entry(framework).or_default().push(InverseOffer { id, framework_id, agent_id, unavailability });
            }
        }
        for (framework, inverse_offers) in made {
            self.tell(&framework, Event::InverseOffers { inverse_offers: InverseOffers { inverse_offers } });
        }
    }

    /// ACCEPT_INVERSE_OFFERS, DECLINE_INVERSE_OFFERS. An answer binds nobody: as the answer may change, the same comes
    /// again after the filter, accepted or not.
    pub(super) fn answer_inverse_offers(&mut self, id: &FrameworkId, answer: InverseOfferAnswer, accepted: bool) {
        let refuse = refusal_time(answer.filters);
        let unix_nanos = (self.unix_secs() * 1e9) as i64;
        for offer in answer.inverse_offer_ids {
            if self.inverse_offers.get(&offer).is_none_or(|record| record.framework != *id) {
                continue;
            }
            let Some(record) = self.inverse_offers.remove(&offer) else { continue };
            let machine = self.machines.get_mut(&self.agents[record.agent].machine());
            if let Some(machine) = machine {
                machine.answers.insert(id.clone(), InverseAnswer { accepted, unix_nanos });
            }
            let until = self.now.saturating_add(refuse);
            if let Some(framework) = self.frameworks.get_mut(id).filter(|_| !refuse.is_zero()) {
                framework.inverse_filters.push((record.agent, until));
            }
        }
    }

    pub(super) fn rescind_inverse_offers(&mut self, agent: AgentIndex) {
        for (inverse_offer_id, record) in
            self.inverse_offers.extract_if(.., |_, record| record.agent == agent).collect::<Vec<_>>()
        {
            let rescind_inverse_offer = RescindInverseOffer { inverse_offer_id };
            self.tell(&record.framework, Event::RescindInverseOffer { rescind_inverse_offer });
        }
    }

    fn affected_frameworks(&self, agent: AgentIndex) -> Vec<FrameworkId> {
        let affected = self.frameworks.iter().filter(|(id, framework)| {
            let has = || {
                self.agents[agent].executors.keys().any(|key| key.0 == **id)
                    || framework.tasks.values().any(|task| task.agent == agent && !super::is_over(task.latest))
                    || self.offers.values().any(|offer| offer.agent == agent && offer.framework == **id)
            };
            let is_out =
                || self.inverse_offers.values().any(|record| record.agent == agent && record.framework == **id);
            let filtered =
                || framework.inverse_filters.iter().any(|(filtered, until)| *filtered == agent && *until > self.now);
            framework.stream.is_some() && has() && !is_out() && !filtered()
        });
        affected.map(|(id, _)| id.clone()).collect()
    }
}
