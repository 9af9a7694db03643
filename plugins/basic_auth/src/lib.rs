//! Knows callers by names and passwords (RFC 7617) that a file of `htpasswd` holds, and refuses all others. Limits nothing, and lets no
//! request wait on a thread that serves.

mod credentials;
mod outcomes;
mod queue;
mod settings;
mod user_file;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::http::HeaderValue;
use plugin_api::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use plugin_api::{BuildContext, ConfigProblem, Flow, LogLimit, Plugin, Refusal, RefusalKind, Request};

use credentials::Credentials;
use queue::Busy;
use user_file::UserFile;

pub use settings::{Config, Realm};
pub use user_file::UserFiles;

/// The plugin.
#[derive(Debug)]
pub struct BasicAuth {
    file: Arc<UserFile>,
    /// What tells a client to ask for a name and a password.
    challenge: HeaderValue,
    forward_credentials: bool,
}

impl Plugin for BasicAuth {
    const NAME: &'static str = "basic_auth";
    const IDENTIFIES: bool = true;
    const IS_PURE: bool = true;
    type Config = Config;
    type Shared = UserFiles;
    type State = ();

    fn check_files(config: &Config, base: &Path) -> Result<(), ConfigProblem> {
        user_file::read(&base.join(&config.file)).map(drop).map_err(in_the_file)
    }

    /// Reads the file; what it says later is read in the background.
    fn build(config: &Config, context: &BuildContext<'_, UserFiles>) -> Result<Self, ConfigProblem> {
        Ok(Self {
            file: context.shared.file(&context.base.join(&config.file)).map_err(in_the_file)?,
            challenge: config.realm.challenge(),
            forward_credentials: config.forward_credentials,
        })
    }

    fn try_on_request(&self, (): &mut (), request: &mut Request<'_>) -> Option<Flow> {
        let Some(credentials) = Credentials::of(request.head.headers) else {
            return Some(self.unauthenticated("no_credentials", "This request has no name and password").into());
        };
        self.file.knew(&credentials).map(|is_right| self.decide(&credentials, is_right, request))
    }

    async fn on_request(&self, (): &mut (), request: &mut Request<'_>) -> Flow {
        let Some(credentials) = Credentials::of(request.head.headers) else {
            return self.unauthenticated("no_credentials", "This request has no name and password").into();
        };
        match self.file.knows(&credentials, request.context.client).await {
            Ok(is_right) => self.decide(&credentials, is_right, request),
            Err(Busy) => {
                let message = "Too many passwords are being checked. Try again in 1 s";
                let refusal = Refusal::new(RefusalKind::Unavailable, "too_many_logins", message);
                refusal.retry_after(Duration::from_secs(1)).into()
            }
        }
    }
}

impl BasicAuth {
    /// What becomes of a request whose credentials were checked.
    fn decide(&self, credentials: &Credentials, is_right: bool, request: &mut Request<'_>) -> Flow {
        if !is_right {
            static WRONG: LogLimit<()> = LogLimit::new();
            if let Some(suppressed) = WRONG.pass(()) {
                let client = request.context.client.map(|client| client.to_string()).unwrap_or_default();
                log::info!(client, suppressed; "wrong name or password");
            }
            return self.unauthenticated("wrong_credentials", "The name or the password is wrong").into();
        }
        if !self.forward_credentials {
            request.edits.remove(AUTHORIZATION);
        }
        request.context.principal_mut().key_name = Some(credentials.name().into());
        Flow::Continue
    }

    fn unauthenticated(&self, reason: &'static str, message: &'static str) -> Refusal {
        Refusal::new(RefusalKind::Unauthenticated, reason, message).header(WWW_AUTHENTICATE, self.challenge.clone())
    }
}

fn in_the_file(error: String) -> ConfigProblem {
    format!("`file` cannot be used: {error}").into()
}

#[cfg(test)]
mod tests;
