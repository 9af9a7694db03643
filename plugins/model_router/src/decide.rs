//! What is known of a call that comes, and the choice by it.

use std::time::{SystemTime, UNIX_EPOCH};

use plugin_api::{Call, CallFacts, Context, Explanation, Spender};

use crate::condition::{CallerNames, Subject};
use crate::pins::Pin as Pinned;
use crate::reading::Reading;
use crate::{ModelRouter, RoutedName, State, explained, header_text};

impl ModelRouter {
    /// Chooses the model for a call.
    pub(crate) fn choose(
        &self,
        route: &RoutedName,
        call: &CallFacts,
        context: &Context,
        headers: &[(Box<str>, Box<str>)],
        reading: &Reading,
    ) -> Pinned {
        let caller = context.principal();
        let spender = || Spender {
            tenant: caller.tenant.as_deref(),
            key: caller.key_name.as_deref(),
            user: caller.user.as_deref(),
            model: None,
        };
        let budget_used = route.asks_budgets.then(|| self.common.budget_use.highest(&spender())).flatten();
        let subject = Subject { budget_used: Some(budget_used), ..subject(call, context, headers, reading) };
        let choice = route.router.choose(&subject);
        Pinned { model: choice.model.into(), rule: route.router.rule_name(choice.rule).into() }
    }

    /// Says what the rules come to for a call.
    pub(crate) fn explain(&self, state: &State, call: &Call<'_>, place: usize, explanation: &mut Explanation) {
        let RoutedName { name, router, wanted, .. } = &self.routes[place];
        let Some(of_call) = call.body.call() else { return };
        let reading = Reading::of(call.body, *wanted);
        // what is spent is known to a running gateway alone
        let subject = subject(of_call, call.context, &state.headers, &reading);
        let choice = router.choose(&subject);
        explanation.say(format!("`{name}` is routed"));
        explained::rules(router, &subject, &choice, explanation);
        explanation.say(format!("{}/{} chooses {}", header_text(name), router.rule_name(choice.rule), choice.model));
        explained::pin(router.pin, call.context.principal().session.is_some(), &router.escalate, explanation);
    }
}

/// What the conditions are read from, but for what was spent.
fn subject<'a>(
    call: &CallFacts,
    context: &'a Context,
    headers: &'a [(Box<str>, Box<str>)],
    reading: &'a Reading,
) -> Subject<'a> {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Subject {
        caller: Some(CallerNames::of(context.principal())),
        headers: Some(headers),
        unix: Some(i64::try_from(unix).unwrap_or(i64::MAX)),
        ..Subject::of_call(call, reading.facts())
    }
}
