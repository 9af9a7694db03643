//! Lets clients in or refuses them by their addresses: the first rule that has an address decides. Does not find out whose address it
//! is: behind proxies that is up to `trusted_proxies`.

mod rule;
mod settings;

use std::net::IpAddr;

use plugin_api::{BuildContext, ConfigProblem, Explanation, Flow, Plugin, Refusal, RefusalKind, Request};

pub use rule::{Action, Rule, Source};
pub use settings::Config;

/// The plugin.
#[derive(Debug)]
pub struct Access {
    rules: Box<[Rule]>,
}

impl Plugin for Access {
    const NAME: &'static str = "access";
    const OUTERMOST: bool = true;
    const IS_PURE: bool = true;
    type Config = Config;
    type Shared = ();
    type State = ();

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        if config.rules().iter().all(|rule| rule.action == Action::Allow) {
            return Err("nothing is denied, so everybody is let in; add `deny: [all]` behind what is allowed".into());
        }
        match rule::unreachable(config.rules()) {
            Some((rule, earlier)) => Err(format!(
                "`{rule}` never applies, because `{earlier}` stands before it and has all of its addresses"
            )
            .into()),
            None => Ok(()),
        }
    }

    fn build(config: &Config, _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Self::check(config)?;
        Ok(Self { rules: config.rules().into() })
    }

    fn try_on_request(&self, (): &mut (), request: &mut Request<'_>) -> Option<Flow> {
        let client = request.context.client;
        let rule = self.rule_of(client);
        if rule.is_none_or(|rule| rule.action == Action::Allow) {
            return Some(Flow::Continue);
        }
        let message = match client {
            Some(client) => format!("Clients at {client} are not let in here"),
            None => "Clients without an IP address are not let in here".to_owned(),
        };
        Some(Refusal::new(RefusalKind::Forbidden, "address_denied", message).into())
    }

    async fn explain_request(&self, state: &mut (), request: &mut Request<'_>, explanation: &mut Explanation) -> Flow {
        explanation.say(match self.rule_of(request.context.client) {
            Some(rule) => format!("the rule `{rule}` has its address"),
            None => "no rule has its address".to_owned(),
        });
        plugin_api::on_request(self, state, request).await
    }
}

impl Access {
    /// The rule that decides about a client.
    fn rule_of(&self, client: Option<IpAddr>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.source.has(client))
    }
}

#[cfg(test)]
mod tests;
