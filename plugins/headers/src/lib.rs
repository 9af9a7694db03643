//! Changes the headers of requests on their way to the upstream, and of responses on their way to the client. Decides about no request.

mod field_name;
mod rules;
mod settings;

use plugin_api::http::HeaderMap;
use plugin_api::{
    BuildContext, ConfigProblem, Explanation, Flow, HeaderEdit, HeaderEdits, Plugin, Request, RequestHead, Response,
    Variables,
};

use rules::Rules;

pub use field_name::FieldName;
pub use settings::{Changes, Config, RequestValue};

/// The plugin.
#[derive(Debug)]
pub struct Headers {
    request: Rules,
    response: Rules,
}

impl Plugin for Headers {
    const NAME: &'static str = "headers";
    const OUTERMOST: bool = true;
    const IS_PURE: bool = true;
    type Config = Config;
    type Shared = ();
    type State = ();

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        config.request.check("request")?;
        config.response.check("response")?;
        config.success.check("success")
    }

    fn build(config: &Config, _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Self::check(config)?;
        Ok(Self {
            request: Rules::new(&config.request),
            response: Rules::of_responses(&config.response, &config.success),
        })
    }

    fn on_forward(&self, (): &mut (), request: &mut Request<'_>) {
        if self.request.is_empty() {
            return;
        }
        let mut edits = std::mem::take(&mut request.edits);
        let variables = request.variables();
        // what another plugin took out, such as the caller's key, no variable brings back
        match self.request.reads_headers().then(|| without_removed(variables.request.headers, &edits)).flatten() {
            Some(headers) => {
                let head = RequestHead { headers: &headers, ..variables.request };
                self.request.apply(&mut edits, &Variables { request: head, ..variables });
            }
            None => self.request.apply(&mut edits, &variables),
        }
        request.edits = edits;
    }

    async fn explain_request(&self, (): &mut (), _: &mut Request<'_>, explanation: &mut Explanation) -> Flow {
        let changed: Vec<_> = self.response.names().map(|name| name.as_str()).collect();
        if !changed.is_empty() {
            explanation.say(format!("the response has these changed: {}", changed.join(", ")));
        }
        Flow::Continue
    }

    fn try_on_response(&self, (): &mut (), response: &mut Response<'_>) -> Option<()> {
        if !self.response.is_empty() {
            let mut edits = std::mem::take(&mut response.edits);
            self.response.apply(&mut edits, &response.variables());
            response.edits = edits;
        }
        Some(())
    }
}

/// The headers without those that are to be removed; `None` if none of them is.
fn without_removed(headers: &HeaderMap, edits: &HeaderEdits) -> Option<HeaderMap> {
    let mut kept = None;
    for edit in edits.iter() {
        if let HeaderEdit::Remove(name) = edit
            && headers.contains_key(name)
        {
            kept.get_or_insert_with(|| headers.clone()).remove(name);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
