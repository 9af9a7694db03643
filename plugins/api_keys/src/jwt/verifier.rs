//! Whose a token is, by the keys that the provider has at the moment. Tokens that were verified are remembered.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cache::Verified;
use super::claims;
use super::provider::Provider;
use super::token::Token;
use super::{Identity, JwtConfig, TokenFault};
use crate::digest::Digest;

/// Verifies tokens.
#[derive(Debug)]
pub(crate) struct Verifier {
    config: JwtConfig,
    provider: Arc<Provider>,
    verified: Arc<Verified>,
}

impl Verifier {
    /// One by these settings, whose keys are read in the background from now on.
    ///
    /// # Errors
    /// A file of keys cannot be read, or there is no thread to be had.
    pub(crate) fn start(config: &JwtConfig, base: &Path) -> Result<Self, String> {
        let verified = Arc::<Verified>::default();
        let known = verified.clone();
        let on_change = Box::new(move || known.clear());
        let provider = Provider::start(config.source(base), config.refresh.get(), on_change);
        Ok(Self { config: config.clone(), provider: provider?, verified })
    }

    /// Whether it has these settings.
    pub(crate) fn is_of(&self, config: &JwtConfig, base: &Path) -> bool {
        self.config == *config && self.provider.is_of(&config.source(base))
    }

    /// Whether tokens say which models their callers may ask for.
    pub(crate) fn restricts_models(&self) -> bool {
        self.config.models.is_some()
    }

    /// How long the provider's keys could not be read again.
    pub(crate) fn stale_for(&self) -> Duration {
        self.provider.stale_for()
    }

    /// Whose this token is. Waits where its key is new, in all for as long as the settings say.
    pub(crate) async fn verify(&self, text: &[u8]) -> Result<Arc<Identity>, TokenFault> {
        let now = unix();
        let digest = Digest::of(text);
        if let Some(identity) = self.verified.get(&digest, now) {
            return Ok(identity);
        }
        let token = Token::parse(text)?;
        let mut keys = self.provider.keys();
        let (began, limit) = (Instant::now(), self.config.timeout.get());
        if keys.is_none() {
            self.provider.first(limit).await;
            keys = self.provider.keys();
        }
        let mut signed = keys.as_ref().ok_or(TokenFault::NoKeys)?.verify(&token);
        if signed == Err(TokenFault::UnknownKey) {
            self.provider.again(limit.saturating_sub(began.elapsed())).await;
            keys = self.provider.keys();
            signed = keys.as_ref().ok_or(TokenFault::NoKeys)?.verify(&token);
        }
        signed?;
        let identity = Arc::new(claims::identity(&token.claims, &self.config, now)?);
        self.verified.insert(digest, identity.clone(), now);
        // where the keys were taken back meanwhile, this must not outlive them
        if !self.provider.has(keys.as_ref()) {
            self.verified.clear();
        }
        Ok(identity)
    }
}

/// Whose a token says that it is. Whether that is so, its signature would tell, which is not looked at.
pub(crate) fn claimed(config: &JwtConfig, text: &[u8]) -> Result<Identity, TokenFault> {
    claims::identity(&Token::parse(text)?.claims, config, unix())
}

/// Seconds since 1970.
fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
