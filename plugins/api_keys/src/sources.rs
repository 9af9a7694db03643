//! Where keys come from, across reloads: the files that are watched, and the sets of keys that stand in the YAML. Decides about no
//! request.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use plugin_api::Shared;
use plugin_api::prometheus::core::Collector;
use watched_file::Watch;

use crate::collector::KeysCollector;
use crate::jwt::{JwtConfig, Verifier};
use crate::key_set::{KeySet, KeySetBuilder};
use crate::settings::KeySettings;
use crate::watched_keys::WatchedKeys;

/// The sources of keys of all configurations at work.
#[derive(Debug)]
pub struct KeySources {
    files: Arc<Watch<WatchedKeys>>,
    known: Mutex<Known>,
}

impl Default for KeySources {
    fn default() -> Self {
        Self { files: Arc::new(Watch::new("api_keys")), known: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct Known {
    /// Routes that name the same keys share one set.
    lists: Vec<(Vec<KeySettings>, Weak<KeySet>)>,
    /// Routes with the same settings share what is known of tokens.
    tokens: Vec<Weak<Verifier>>,
}

/// What the sources hold at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceFigures {
    pub(crate) keys: usize,
    pub(crate) failures: u64,
    pub(crate) stale: Duration,
    /// For how long keys of a provider of tokens could not be read again.
    pub(crate) provider_stale: Duration,
}

impl KeySources {
    /// The file at a path, which is watched from now on for as long as anybody has it.
    ///
    /// # Errors
    /// What is wrong with it, where it was not watched before.
    pub(crate) fn file(&self, path: &Path, max_keys: usize) -> Result<Arc<WatchedKeys>, String> {
        self.files.file(|file| file.is(path, max_keys), || WatchedKeys::open(path, max_keys))
    }

    /// The set of these keys.
    ///
    /// # Errors
    /// Which of them cannot be in it, and why.
    pub(crate) fn list(&self, keys: &[KeySettings]) -> Result<Arc<KeySet>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.lists.retain(|(_, set)| set.strong_count() > 0);
        let same = known.lists.iter().find(|(list, _)| list == keys);
        if let Some(set) = same.and_then(|(_, set)| set.upgrade()) {
            return Ok(set);
        }
        let set = Arc::new(set_of(keys)?);
        known.lists.push((keys.to_vec(), Arc::downgrade(&set)));
        Ok(set)
    }

    /// What verifies tokens by these settings. Relative paths start from `base`.
    ///
    /// # Errors
    /// Why nothing could.
    pub(crate) fn tokens(&self, jwt: &JwtConfig, base: &Path) -> Result<Arc<Verifier>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tokens.retain(|verifier| verifier.strong_count() > 0);
        if let Some(same) = known.tokens.iter().filter_map(Weak::upgrade).find(|one| one.is_of(jwt, base)) {
            return Ok(same);
        }
        let verifier = Verifier::start(jwt, base).map_err(|error| format!("`jwt.jwks` cannot be used: {error}"))?;
        let verifier = Arc::new(verifier);
        known.tokens.push(Arc::downgrade(&verifier));
        Ok(verifier)
    }

    /// What they hold at the moment.
    pub(crate) fn held(&self) -> SourceFigures {
        let now = Instant::now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lists = known.lists.iter().filter_map(|(_, set)| set.upgrade()).map(|set| set.len());
        let mut held = SourceFigures { keys: lists.sum(), ..SourceFigures::default() };
        for file in self.files.files() {
            held.keys += file.keys().len();
            held.stale = held.stale.max(file.stale_for(now));
        }
        for verifier in known.tokens.iter().filter_map(Weak::upgrade) {
            held.provider_stale = held.provider_stale.max(verifier.stale_for());
        }
        held.failures = self.files.failures();
        held
    }
}

impl Shared for KeySources {
    fn collectors(self: &Arc<Self>) -> Vec<Box<dyn Collector>> {
        vec![Box::new(KeysCollector::new(self.clone()))]
    }
}

/// The set of the keys that stand in the YAML.
///
/// # Errors
/// Which of them cannot be in it, and why.
pub(crate) fn set_of(keys: &[KeySettings]) -> Result<KeySet, String> {
    // the size of the YAML bounds them
    let mut builder = KeySetBuilder::new(usize::MAX);
    for key in keys {
        builder.add(key).map_err(|unfit| format!("the key `{}` cannot be used: {unfit}", key.name.as_str()))?;
    }
    Ok(builder.build())
}
