//! Refuses calls to models that do not name their team in a header, and tells the plugins below which team it is.

use plugin_api::http::HeaderName;
use plugin_api::{BuildContext, ConfigProblem, Flow, LONGEST_TEXT, Plugin, Refusal, RefusalKind, Request, shortened};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Refuses calls that do not name their team in a header.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name of the header.
    pub header: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { header: "x-team".into() }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct RequireTeam {
    header: HeaderName,
}

impl RequireTeam {
    fn new(config: &Config) -> Result<Self, ConfigProblem> {
        let header = config.header.parse();
        Ok(Self { header: header.map_err(|_| format!("`{}` is no name of a header", config.header))? })
    }
}

impl Plugin for RequireTeam {
    const NAME: &'static str = "require_team";
    type Config = Config;
    type Shared = ();
    type State = ();

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        Self::new(config).map(drop)
    }

    fn build(config: &Config, _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Self::new(config)
    }

    async fn on_request(&self, (): &mut (), request: &mut Request<'_>) -> Flow {
        let team = request.head.headers.get(&self.header).and_then(|team| team.to_str().ok());
        match team.filter(|team| !team.is_empty()) {
            Some(team) => {
                request.context.principal_mut().tenant = Some(shortened(team, LONGEST_TEXT).into());
                Flow::Continue
            }
            None if request.endpoint.is_none() => Flow::Continue,
            None => {
                let message = format!("Name your team in the header {}", self.header);
                Refusal::new(RefusalKind::Forbidden, "no_team", message).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use plugin_api::Endpoint;
    use plugin_api::testing::{TestRequest, context};

    use super::*;

    #[tokio::test]
    async fn a_call_names_its_team_or_is_refused() {
        let plugin = RequireTeam::new(&Config::default()).unwrap();
        let mut context = context();
        let call = TestRequest::to(Endpoint::MESSAGES);
        let flow = plugin.on_request(&mut (), &mut call.request(&mut context)).await;
        let Flow::Refuse(refusal) = flow else { panic!("{flow:?}") };
        assert_eq!((refusal.status().as_u16(), refusal.reason()), (403, "no_team"));
        let call = call.header("x-team", "blue");
        assert!(matches!(plugin.on_request(&mut (), &mut call.request(&mut context)).await, Flow::Continue));
        assert_eq!(context.principal().tenant.as_deref(), Some("blue"));
    }

    #[test]
    fn a_header_has_a_name() {
        let problem = RequireTeam::check(&Config { header: "x team".into() }).unwrap_err();
        assert_eq!(problem.message(), "`x team` is no name of a header");
    }
}
