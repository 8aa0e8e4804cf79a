//! The state of one decision: what is left of each offer, who holds how much, which requests are alike.

use std::collections::{BTreeMap, HashMap};

use crate::{
    AgentOffer, JobWishes, Launch, Problem, Reason, Request, Resources, Tier,
    refusal::{good_from, standing},
    room::{Ask, Room},
    spread::{Caps, Held, HostIndex, Spot, totals},
    view::{Cost, JobView, Sources},
};

pub(crate) struct Round<'a> {
    pub(crate) problem: &'a Problem,
    /// Sorted by agent and role, so that nothing depends on the order of offers.
    pub(crate) slots: Vec<Slot<'a>>,
    pub(crate) jobs: Vec<Job<'a>>,
    pub(crate) classes: Vec<Class<'a>>,
    /// Class of each request.
    pub(crate) class_of: Vec<usize>,
    pub(crate) held: Held,
    /// Launches by request.
    pub(crate) launches: BTreeMap<usize, Launch>,
}

/// One agent's offers to one role.
pub(crate) struct Slot<'a> {
    pub(crate) offer: &'a AgentOffer,
    pub(crate) spot: Spot,
    /// As offered.
    whole: Room<'a>,
    /// Less what this plan launches.
    pub(crate) room: Room<'a>,
    pub(crate) used: bool,
}

/// A job as this decision sees it.
pub(crate) struct Job<'a> {
    name: &'a str,
    pub(crate) wishes: JobWishes,
    pub(crate) caps: Caps,
    view: JobView,
    /// By slot: refusals that hold for every request.
    standing: Vec<Option<Reason>>,
    /// By slot: which of `sights`.
    sight_of: Vec<usize>,
    sights: Vec<Vec<Tier>>,
    /// Agents where this plan starts the job's executor, with the role: one executor takes from one role.
    roles: HashMap<&'a str, &'a str>,
}

/// Requests that cost the same everywhere and are refused alike.
pub(crate) struct Class<'a> {
    pub(crate) sample: &'a Request,
    pub(crate) job: usize,
    /// By sight.
    costs: Vec<Cost>,
    least: f64,
    /// No place was found for one of them; places only become fewer.
    pub(crate) dead: bool,
}

/// Whether spread caps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapRule {
    Strict,
    Ignored,
}

impl<'a> Round<'a> {
    pub(crate) fn new(problem: &'a Problem) -> Self {
        let mut offers: Vec<&AgentOffer> = problem.offers.iter().collect();
        offers.sort_by(|a, b| (&a.agent, &a.role, &a.offer_ids).cmp(&(&b.agent, &b.role, &b.offer_ids)));
        let mut hosts = HostIndex::new(offers.iter().map(|o| &o.place).chain(problem.placed.iter().map(|p| &p.place)));
        let mut racks: HashMap<&str, usize> = HashMap::new();
        let mut spot = |place: &'a crate::Place| Spot {
            host: hosts.of(place),
            rack: place.rack.as_deref().map(|rack| {
                let fresh = racks.len();
                *racks.entry(rack).or_insert(fresh)
            }),
        };
        let slots: Vec<Slot> = offers
            .into_iter()
            .map(|offer| {
                let whole = Room::new(offer);
                Slot { offer, spot: spot(&offer.place), room: whole.clone(), whole, used: false }
            })
            .collect();

        let totals = totals(problem);
        let mut jobs: Vec<Job> = vec![];
        let mut job_numbers: HashMap<&str, usize> = HashMap::new();
        for request in &problem.requests {
            job_numbers.entry(&request.job).or_insert_with(|| {
                jobs.push(Job::new(
                    problem,
                    &request.job,
                    totals.get(request.job.as_str()).copied().unwrap_or(0),
                    &slots,
                ));
                jobs.len() - 1
            });
        }
        let mut held = Held::default();
        for placed in &problem.placed {
            let spot = spot(&placed.place);
            if let Some(&job) = job_numbers.get(placed.job.as_str()) {
                held.add(job, spot, placed.partitions);
            }
        }
        let (classes, class_of) = classes(problem, &jobs, &job_numbers);
        Round { problem, slots, jobs, classes, class_of, held, launches: BTreeMap::new() }
    }

    pub(crate) fn rate_left(&self) -> usize {
        self.problem.launches_max.saturating_sub(self.launches.len())
    }

    /// What a request of the class costs in the slot.
    pub(crate) fn cost(&self, class: usize, slot: usize) -> &Cost {
        let class = &self.classes[class];
        &class.costs[self.jobs[class.job].sight_of[slot]]
    }

    /// What one task of the class asks for anywhere but where its volume is.
    pub(crate) fn ask(&self, class: usize) -> Ask<'a> {
        self.ask_for(class, self.classes[class].sample.resources)
    }

    /// What one task of the class asks for in the slot.
    pub(crate) fn ask_in(&self, class: usize, slot: usize) -> Ask<'a> {
        self.ask_for(class, self.classes[class].sample.resources_on(self.slots[slot].offer))
    }

    fn ask_for(&self, class: usize, size: Resources) -> Ask<'a> {
        let class = &self.classes[class];
        let job = &self.jobs[class.job];
        Ask { job: job.name, size, overhead: job.wishes.executor_overhead, revocable: class.sample.revocable }
    }

    /// Why a request of the class gets no place in the slot now; the first no in the order of [`crate::ReasonKind`].
    pub(crate) fn refusal(&self, class: usize, slot: usize, caps: CapRule) -> Option<Reason> {
        let (class_number, slot_number) = (class, slot);
        let (class, slot) = (&self.classes[class], &self.slots[slot]);
        let (job, request, offer) = (&self.jobs[class.job], class.sample, slot.offer);
        if let Some(reason) = &job.standing[slot_number] {
            return Some(reason.clone());
        }
        if job.roles.get(offer.agent.as_str()).is_some_and(|role| *role != offer.role) {
            return Some(Reason::Role);
        }
        if request.avoid_agents.contains(&offer.agent) {
            return Some(Reason::Avoided);
        }
        let ask = self.ask_in(class_number, slot_number);
        if let Some(reason) = slot.whole.missing(&ask) {
            return Some(reason);
        }
        if caps == CapRule::Strict
            && let Some(tier) = self.held.broken(&job.caps, class.job, slot.spot, request.partitions.len())
        {
            return Some(Reason::SpreadCap { tier });
        }
        let distance = self.cost(class_number, slot_number).source_distance;
        let good_from = good_from(job.wishes.goal, &self.problem.distances, request, offer, distance, class.least);
        let now = self.problem.now_ms;
        if good_from > now.max(request.not_before_ms) {
            return Some(Reason::Locality { until_ms: good_from });
        }
        if request.not_before_ms > now {
            return Some(Reason::Backoff { until_ms: request.not_before_ms });
        }
        if self.rate_left() == 0 {
            return Some(Reason::LaunchRate);
        }
        slot.room.fit(&ask).is_none().then_some(Reason::Outbid)
    }

    /// Takes the room. The caller has asked [`Round::refusal`].
    pub(crate) fn launch(&mut self, request: usize, slot: usize) {
        let class = self.class_of[request];
        let ask = self.ask_in(class, slot);
        let job_number = self.classes[class].job;
        let asked = &self.problem.requests[request];
        let cost = self.cost(class, slot).clone();
        let (taken, job) = (&mut self.slots[slot], &mut self.jobs[job_number]);
        let over_cap = self.held.broken(&job.caps, job_number, taken.spot, asked.partitions.len());
        let revocable = taken.room.fit(&ask).expect("the caller has seen that it fits");
        taken.room.take(&ask, revocable);
        taken.used = true;
        job.roles.insert(&taken.offer.agent, &taken.offer.role);
        self.held.add(job_number, taken.spot, asked.partitions.len());
        let launch = Launch {
            request: asked.id.clone(),
            agent: taken.offer.agent.clone(),
            role: taken.offer.role.clone(),
            revocable,
            source_tier: cost.source_tier,
            sink_tier: cost.sink_tier,
            cost: cost.cost,
            bytes_by_tier: cost.bytes_by_tier,
            over_cap,
        };
        self.launches.insert(request, launch);
    }
}

impl<'a> Job<'a> {
    fn new(problem: &Problem, name: &'a str, total: usize, slots: &[Slot]) -> Self {
        let wishes = problem.jobs.get(name).cloned().unwrap_or_default();
        let view = JobView::new(problem.topology.jobs.get(name), wishes.bytes_out_per_byte_in, problem.distances);
        let mut numbers: HashMap<Vec<Tier>, usize> = HashMap::new();
        let mut sights = vec![];
        let mut sight_of = Vec::with_capacity(slots.len());
        for slot in slots {
            let tiers = view.tiers(&slot.offer.place);
            sight_of.push(*numbers.entry(tiers).or_insert_with_key(|tiers| {
                sights.push(tiers.clone());
                sights.len() - 1
            }));
        }
        let standing = slots.iter().map(|slot| standing(&wishes, slot.offer, problem.now_ms)).collect();
        Job { name, caps: Caps::new(&wishes, total), wishes, view, standing, sight_of, sights, roles: HashMap::new() }
    }
}

/// All that makes a difference between two requests.
type ClassKey<'k> =
    (usize, ([u64; 4], bool, Option<&'k String>), Vec<Option<&'k Sources>>, u64, [u64; 3], Vec<&'k str>);

fn classes<'a>(
    problem: &'a Problem,
    jobs: &[Job<'a>],
    job_numbers: &HashMap<&str, usize>,
) -> (Vec<Class<'a>>, Vec<usize>) {
    let mut numbers: BTreeMap<ClassKey, usize> = BTreeMap::new();
    let mut classes: Vec<Class> = vec![];
    let mut class_of = Vec::with_capacity(problem.requests.len());
    for request in &problem.requests {
        let job = job_numbers[request.job.as_str()];
        let mut avoided: Vec<&str> = request.avoid_agents.iter().map(String::as_str).collect();
        avoided.sort_unstable();
        let Resources { cpus_milli, mem_bytes, disk_bytes, ports } = request.resources;
        let key = (
            job,
            ([cpus_milli, mem_bytes, disk_bytes, ports.into()], request.revocable, request.volume.as_ref()),
            jobs[job].view.sources(request),
            request.bytes_in_per_sec.to_bits(),
            [request.wait_from_ms, request.deadline_ms, request.not_before_ms],
            avoided,
        );
        class_of.push(*numbers.entry(key).or_insert_with(|| {
            let view = &jobs[job].view;
            let costs = jobs[job].sights.iter().map(|tiers| view.cost(request, tiers)).collect();
            let least = view.least_source_distance(request);
            classes.push(Class { sample: request, job, costs, least, dead: false });
            classes.len() - 1
        }));
    }
    (classes, class_of)
}
