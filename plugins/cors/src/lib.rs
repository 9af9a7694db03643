//! Tells browsers which pages may call the gateway, and what they may read of its answers: preflights are answered here, other responses
//! get their headers. Refuses no call: browsers hold pages to what they are told.

mod answer;
mod origin;
mod settings;

use plugin_api::http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use plugin_api::http::{HeaderMap, Method};
use plugin_api::{BuildContext, ConfigProblem, Flow, Plugin, Refusal, RefusalKind, Request, Response};

use answer::CorsHeaders;

pub use origin::OriginPattern;
pub use settings::{Config, HeaderNameOrAny};

/// The plugin.
#[derive(Debug)]
pub struct Cors {
    origins: Box<[OriginPattern]>,
    headers: CorsHeaders,
}

impl Plugin for Cors {
    const NAME: &'static str = "cors";
    const OUTERMOST: bool = true;
    const IS_PURE: bool = true;
    type Config = Config;
    type Shared = ();
    type State = ();

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        if config.origins.is_empty() {
            return Err("`origins` is empty, so no page could call; name some, or `*`".into());
        }
        let any = config.origins.contains(&OriginPattern::Any);
        if any && config.credentials {
            return Err(
                "`credentials` need `origins` by name: with `*` any page could act for whoever looks at it".into()
            );
        }
        if config.credentials && config.origins.iter().any(OriginPattern::is_null) {
            return Err(
                "`credentials` need `origins` by name: `null` is the origin of every file and every sandboxed frame, so any page could \
                 act for whoever looks at it"
                    .into(),
            );
        }
        if any && config.origins.len() > 1 {
            return Err("`origins` has `*`, so the others say nothing".into());
        }
        Ok(())
    }

    fn build(config: &Config, _: &BuildContext<'_, ()>) -> Result<Self, ConfigProblem> {
        Self::check(config)?;
        Ok(Self { origins: config.origins.clone().into(), headers: CorsHeaders::new(config) })
    }

    fn try_on_request(&self, (): &mut (), request: &mut Request<'_>) -> Option<Flow> {
        if !is_preflight(request.head.method, request.head.headers) {
            return Some(Flow::Continue);
        }
        Some(match self.allowed(request.head.headers) {
            Some(origin) => self.headers.preflight(origin, request.head.headers).into(),
            None => {
                let message = "Pages of this origin may not call here; `cors.origins` names those that may";
                Refusal::new(RefusalKind::Forbidden, "origin_denied", message).into()
            }
        })
    }

    fn try_on_response(&self, (): &mut (), response: &mut Response<'_>) -> Option<()> {
        if !is_preflight(response.request.method, response.request.headers) {
            let origin = self.allowed(response.request.headers);
            self.headers.edit(origin, response.headers, &mut response.edits);
        }
        Some(())
    }
}

impl Cors {
    /// The origin of a request, where its pages may call.
    fn allowed<'h>(&self, headers: &'h HeaderMap) -> Option<&'h plugin_api::http::HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.origins.iter().any(|pattern| pattern.takes(origin.as_bytes())).then_some(origin)
    }
}

/// Whether a browser asks what a page may do, before it does it for the page.
fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests;
