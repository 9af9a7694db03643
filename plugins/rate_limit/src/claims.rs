//! What a request asks of the limits, and what it claims of each of them. Reserves nothing.

use plugin_api::{Context, Protocol};
use quota::{Claim, Now, Subject};
use quota_leases::Count;

use crate::by::Caller;
use crate::demand::Demand;
use crate::rules::{Group, Rule};
use crate::taken::CountedWindow;
use crate::{RateLimit, State};

/// What a request asks of the limits.
pub(crate) struct Ask<'a> {
    pub(crate) model: Option<&'a str>,
    pub(crate) demand: Demand,
    pub(crate) now: Now,
    pub(crate) protocol: &'static Protocol,
}

/// What it claims of them, in their order.
pub(crate) struct Claimed {
    pub(crate) claims: Vec<Claim>,
    /// What Redis counts, too.
    pub(crate) counts: Vec<Count>,
    /// What outlives a restart, by the places of the claims.
    pub(crate) windows: Vec<(usize, CountedWindow)>,
}

impl RateLimit {
    /// The limits that the caller's key has of its own.
    pub(super) fn own_group(&self, context: &Context) -> Option<Group> {
        let own = context.principal().grants.as_ref().map(|grants| grants.quota).filter(|quota| !quota.is_unlimited());
        own.map(|quota| Group::own(&quota, &self.config, &self.counting, &self.shared))
    }

    /// What is claimed of every limit.
    pub(super) fn claim(&self, state: &State, context: &Context, own: Option<&Group>, ask: &Ask<'_>) -> Claimed {
        let caller = caller(state, context, ask.model);
        let room = self.rules + own.map_or(0, |own| own.rules.len());
        let mut claimed = Claimed { claims: Vec::with_capacity(room), counts: Vec::new(), windows: Vec::new() };
        for group in self.groups.iter().chain(own) {
            let subject = |locally| group.by.subject(&caller, group.header, locally);
            let (mut local, mut known) = (None, None);
            for rule in group.rules.iter().filter(|rule| group.claims(rule, &ask.demand)) {
                let subject = if rule.is_local() {
                    *local.get_or_insert_with(|| subject(Some(&self.shared.subjects)))
                } else {
                    *known.get_or_insert_with(|| subject(None))
                };
                self.claim_of(group, rule, subject, ask, &mut claimed);
            }
        }
        claimed
    }

    /// What is claimed of a limit, and whose count that is.
    fn claim_of(&self, group: &Group, rule: &Rule, subject: Subject, ask: &Ask<'_>, claimed: &mut Claimed) {
        let found = rule.meters.get(subject, self.config.max_subjects.as_usize(), &rule.limit, ask.now);
        if found.is_shared {
            self.shared.figures.shared_bucket(&group.name);
        }
        let subject = if found.is_shared { Subject::OTHERS } else { subject };
        claimed.counts.extend(rule.shared_name.map(|limit| Count { limit, subject }));
        let window = rule.saved_name.map(|limit| CountedWindow { limit, subject, measure: rule.measure, until: 0 });
        claimed.windows.extend(window.map(|window| (claimed.claims.len(), window)));
        let claim = if rule.measure.is_spent() { Claim::spend } else { Claim::hold };
        claimed.claims.push(claim(found.meter, rule.limit, rule.measure.amount(&ask.demand)));
    }
}

/// Who asks.
pub(crate) fn caller<'a>(state: &'a State, context: &'a Context, model: Option<&'a str>) -> Caller<'a> {
    Caller { principal: context.principal(), client: context.client, model, headers: &state.headers }
}
