//! What the cache says of a call for `tollgate explain`: whether it is cached, and by what. Looks nothing up.

use plugin_api::{Explanation, ModelCall, Request};

use crate::ResponseCache;
use crate::bypass::Bypass;
use crate::cache_key::CacheRequest;
use crate::lookup::key_of;
use crate::settings::Scope;

/// How many bytes of a key are shown.
const SHOWN: usize = 6;

impl ResponseCache {
    /// Says by its head whether a request may be cached.
    pub(crate) fn explain_head(&self, request: &Request<'_>, explanation: &mut Explanation) {
        match request.endpoint.filter(|endpoint| self.endpoints.contains(endpoint)) {
            None => explanation.say("it is no call to an endpoint that is cached"),
            Some(endpoint) => {
                if let Err(why) = CacheRequest::of(request, endpoint, &self.scope, &self.vary) {
                    explanation.say(bypasses(why));
                }
            }
        }
    }

    /// Says whether a call is cached, and what makes its key.
    pub(crate) async fn explain_key(
        &self,
        cache_request: &mut CacheRequest,
        call: &ModelCall,
        explanation: &mut Explanation,
    ) {
        let key = match key_of(cache_request, call).await {
            Ok(key) => key,
            Err(why) => return explanation.say(bypasses(why)),
        };
        let whose = match &self.scope {
            Scope::Tenant => "the tenant".to_owned(),
            Scope::Key => "the key and its tenant".to_owned(),
            Scope::Name(name) => format!("the name `{name}`"),
            Scope::Credential => "the credential".to_owned(),
            Scope::Header(name) => format!("the header `{name}`"),
        };
        let vary: String = self.vary.iter().map(|name| format!(", `{name}`")).collect();
        let shown: String = key.0.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
        explanation.say(format!("it is cached for {} s", self.ttl.as_secs()));
        explanation.say(format!(
            "its key is of {whose}, the host, the upstream, the target, the headers of the API, the accepted encodings{vary} and the body: \
             {shown}…"
        ));
        explanation.depends_on("whether its answer is stored, or such a call is in flight");
    }
}

fn bypasses(why: Bypass) -> String {
    let reason = match why {
        Bypass::Client => "its client forbids it",
        Bypass::NoTenant => "it is not known whose it is",
        Bypass::Unreadable => "its body cannot be read for certain",
        Bypass::TooLarge => "its body has too many values",
        Bypass::State => "it refers to state on the server, or creates some",
        Bypass::Tools => "it has tools that run on the server",
        Bypass::Thinking => "it asks for thinking",
        Bypass::NoOutput => "it generates nothing",
    };
    format!("it bypasses the cache (`{}`): {reason}", why.as_str())
}
