//! Knows callers by their API keys or tokens, says who they are to all plugins below, and refuses what a key may not do. Limits nothing,
//! counts nothing, and asks nobody while a request waits.

mod collector;
mod command;
mod credential;
mod denial;
mod digest;
mod expiry;
mod jwt;
mod key_file;
mod key_set;
mod models;
mod secret;
mod settings;
mod sources;
mod watched_keys;

use std::path::Path;
use std::sync::Arc;

use plugin_api::http::Method;
use plugin_api::{
    BuildContext, Call, Command, ConfigProblem, Context, Explanation, Flow, Needs, Plugin, Quota, Request,
};

use credential::Credential;
use denial::Denial;
use jwt::{Identity, Verifier};
use watched_keys::WatchedKeys;

pub use digest::{Digest, Digests};
pub use expiry::Expiry;
pub use jwt::JwtConfig;
pub use key_set::{Key, KeySet, KeySetBuilder, Unfit};
pub use settings::{Anonymous, Config, KeyHeader, KeySettings, Label, Labels};
pub use sources::KeySources;

/// What Claude Code asks for without a key, to see whether anybody is there.
const HELLO: &str = "/api/hello";

/// The plugin.
#[derive(Debug)]
pub struct ApiKeys {
    list: Arc<KeySet>,
    file: Option<Arc<WatchedKeys>>,
    tokens: Option<Arc<Verifier>>,
    /// Tokens whose keys are at a URL, where none is asked: only what they say of themselves counts.
    unverified: Option<JwtConfig>,
    header: Option<KeyHeader>,
    anonymous: Anonymous,
}

impl Plugin for ApiKeys {
    const NAME: &'static str = "api_keys";
    const NEEDS: Needs = Needs { body: true, ..Needs::NOTHING };
    const IDENTIFIES: bool = true;
    const IS_PURE: bool = true;
    type Config = Config;
    type Shared = KeySources;
    type State = ();

    fn check(config: &Config) -> Result<(), ConfigProblem> {
        if config.keys.is_empty() && config.file.is_none() && config.jwt.is_none() {
            return Err("neither `keys` nor `file` nor `jwt` is given, so nobody could have a key".into());
        }
        config.jwt.as_ref().map_or(Ok(()), JwtConfig::check)?;
        sources::set_of(&config.keys).map(drop).map_err(ConfigProblem::from)
    }

    fn check_files(config: &Config, base: &Path) -> Result<(), ConfigProblem> {
        if let Some(jwt) = &config.jwt {
            jwt.check_file(base).map_err(|error| format!("`jwt.jwks` cannot be used: {error}"))?;
        }
        let Some(file) = &config.file else { return Ok(()) };
        let read = key_file::read(&base.join(file), config.max_keys.as_usize());
        read.map(drop).map_err(in_the_file)
    }

    fn grants_quotas(config: &Config) -> Vec<Quota> {
        config.keys.iter().map(|key| key.limits).filter(|limits| !limits.is_unlimited()).collect()
    }

    fn memory(configs: &[&Config]) -> u64 {
        let mut files: Vec<_> =
            configs.iter().filter_map(|config| Some((config.file.as_ref()?, config.max_keys.get()))).collect();
        files.sort_unstable();
        files.dedup();
        let mut tokens: Vec<_> = configs.iter().filter_map(|config| config.jwt.as_ref()).collect();
        tokens.dedup();
        files.iter().map(|(_, keys)| keys * key_file::PER_KEY).sum::<u64>() + tokens.len() as u64 * jwt::CACHE_BYTES
    }

    fn commands() -> Vec<Command<Config>> {
        vec![command::key()]
    }

    /// Reads the file; what it says later is read in the background.
    fn build(config: &Config, context: &BuildContext<'_, KeySources>) -> Result<Self, ConfigProblem> {
        let file = config
            .file
            .as_ref()
            .map(|file| context.shared.file(&context.base.join(file), config.max_keys.as_usize()).map_err(in_the_file));
        Ok(Self {
            list: context.shared.list(&config.keys)?,
            file: file.transpose()?,
            tokens: config.jwt.as_ref().map(|jwt| context.shared.tokens(jwt, context.base)).transpose()?,
            unverified: None,
            header: config.header.clone(),
            anonymous: config.anonymous,
        })
    }

    /// Without the keys of tokens that are at a URL.
    fn build_to_explain(config: &Config, context: &BuildContext<'_, KeySources>) -> Result<Self, ConfigProblem> {
        let remote = config.jwt.as_ref().filter(|jwt| jwt.is_remote(context.base));
        let jwt = config.jwt.as_ref().filter(|_| remote.is_none()).cloned();
        let plugin = Self::build(&Config { jwt, ..config.clone() }, context)?;
        Ok(Self { unverified: remote.cloned(), ..plugin })
    }

    /// Bodies are read for the models that a key or a token may ask for; those of a file may change. Each call on a WebSocket is checked,
    /// because a key may be taken out or expire while the connection lasts.
    fn needs(&self) -> Needs {
        let by_token = self.tokens.as_ref().is_some_and(|tokens| tokens.restricts_models())
            || self.unverified.as_ref().is_some_and(|tokens| tokens.models.is_some());
        let needs_models = self.file.is_some() || self.list.restricts_models() || by_token;
        if needs_models { Self::NEEDS } else { Needs { messages: true, ..Needs::NOTHING } }
    }

    /// Tokens alone may have to wait: for the keys of who signed them.
    fn try_on_request(&self, (): &mut (), request: &mut Request<'_>) -> Option<Flow> {
        match self.try_admit(request) {
            Ok(Some(_)) => None,
            Ok(None) => Some(Flow::Continue),
            Err(denial) => Some(denial.into_refusal().into()),
        }
    }

    async fn on_request(&self, (): &mut (), request: &mut Request<'_>) -> Flow {
        let admitted = match self.try_admit(request) {
            Ok(Some((tokens, token))) => admit_holder(tokens, token, request).await,
            Ok(None) => Ok(()),
            Err(denial) => Err(denial),
        };
        admitted.map_err(Denial::into_refusal).into()
    }

    async fn explain_request(&self, state: &mut (), request: &mut Request<'_>, explanation: &mut Explanation) -> Flow {
        let header = self.header.as_ref().map(KeyHeader::name);
        let (Some(tokens), Credential::Key(token)) = (&self.unverified, credential::find(request.head.headers, header))
        else {
            return plugin_api::on_request(self, state, request).await;
        };
        if !jwt::looks_like_token(token) {
            return plugin_api::on_request(self, state, request).await;
        }
        explanation.depends_on(format!("whether a key at {} has signed its token", tokens.jwks));
        let admitted = jwt::claimed(tokens, token).map_err(Denial::Token);
        admitted.and_then(|holder| admit(&holder, token, request)).map_err(Denial::into_refusal).into()
    }

    fn try_on_call(&self, (): &mut (), call: &mut Call<'_>) -> Option<Flow> {
        let principal = call.context.principal();
        let denied = principal.grants.as_deref().and_then(|grants| models::check_call(grants, call.body).err());
        Some(match denied {
            Some(denial) => denial.into_refusal_of(principal.key_name.as_deref()).into(),
            None => Flow::Continue,
        })
    }
}

impl ApiKeys {
    /// Finds out who calls, and whether that one may use this route; unless the caller has a token, which is returned with what verifies
    /// it.
    fn try_admit<'k, 'r>(&'k self, request: &mut Request<'r>) -> Result<Option<(&'k Verifier, &'r [u8])>, Denial> {
        let secret = match credential::find(request.head.headers, self.header.as_ref().map(KeyHeader::name)) {
            Credential::Key(secret) => secret,
            Credential::Ambiguous => return Err(Denial::Ambiguous),
            Credential::Absent if self.anonymous == Anonymous::Pass || is_hello(request) => return Ok(None),
            Credential::Absent => return Err(Denial::NoKey(self.header.clone())),
        };
        if let Some(tokens) = self.tokens.as_deref().filter(|_| jwt::looks_like_token(secret)) {
            return Ok(Some((tokens, secret)));
        }
        let digest = Digest::from(request.digest_of(secret));
        let public = || credential::public_id(secret).map(str::to_owned);
        let in_file = self.file.as_ref().map(|file| file.keys());
        let key = self.list.find(&digest).or_else(|| in_file.as_ref()?.find(&digest));
        let key = key.ok_or_else(|| Denial::Unknown(public()))?;
        if key.is_expired() {
            return Err(Denial::Expired(key.name.clone()));
        }
        credential::strip(request.head.headers, secret, &mut request.edits);
        identify(key, request.context);
        let route = request.context.route.as_deref().unwrap_or_default();
        if !key.grants.allow_route(route) {
            return Err(Denial::Route { key: key.name.clone(), route: route.to_owned() });
        }
        models::check_head(&key.grants, request).map_err(|denial| denial.of(&key.name))?;
        Ok(None)
    }
}

/// The same for the holder of this token.
async fn admit_holder(tokens: &Verifier, token: &[u8], request: &mut Request<'_>) -> Result<(), Denial> {
    let identity = tokens.verify(token).await.map_err(Denial::Token)?;
    admit(&identity, token, request)
}

/// The same for somebody of whom it is known who that is.
fn admit(identity: &Identity, token: &[u8], request: &mut Request<'_>) -> Result<(), Denial> {
    credential::strip(request.head.headers, token, &mut request.edits);
    identify_holder(identity, request.context);
    models::check_head(&identity.grants, request).map_err(|denial| denial.of(&identity.name))
}

/// Says who calls to all that come after.
fn identify(key: &Key, context: &mut Context) {
    let principal = context.principal_mut();
    principal.key_name = Some(key.name.clone());
    principal.tenant.clone_from(&key.tenant);
    principal.grants = Some(key.grants.clone());
}

/// Says whose token came.
fn identify_holder(identity: &Identity, context: &mut Context) {
    let principal = context.principal_mut();
    principal.key_name = Some(identity.name.clone());
    principal.tenant.clone_from(&identity.tenant);
    principal.grants = Some(identity.grants.clone());
}

fn is_hello(request: &Request<'_>) -> bool {
    request.head.method == Method::HEAD && request.uri.path() == HELLO
}

fn in_the_file(errors: String) -> ConfigProblem {
    format!("`file` cannot be used:\n{errors}").into()
}

#[cfg(test)]
mod tests;
