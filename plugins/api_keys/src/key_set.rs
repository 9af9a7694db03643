//! Keys by their digests, frozen once it is made: found in constant time, without a lock. Knows neither headers nor files.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use plugin_api::{Glob, Grants};

use crate::digest::Digest;
use crate::expiry::{Expiry, Moment};
use crate::settings::KeySettings;

/// What an allocation costs beyond its contents, with the counts of an `Arc`.
const ALLOCATION: usize = 32;

/// A key that callers may have.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: Arc<str>,
    /// Its tenant.
    pub tenant: Option<Arc<str>>,
    /// What it may do.
    pub grants: Arc<Grants>,
    expires: Option<Moment>,
}

impl Key {
    /// Whether its time is over. Reads the clock only for keys that expire.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expires.is_some_and(Moment::has_come)
    }
}

/// Keys by their digests.
///
/// Digests are random, so their first bytes are their hash, and what an attacker learns from the time of a look-up is
/// something of a digest, from which no key can be made.
#[derive(Debug, Default)]
pub struct KeySet {
    /// A power of two, at least twice as many as digests; 0 is free, any other number one more than the place of a digest.
    slots: Box<[u32]>,
    digests: Box<[(Digest, u32)]>,
    keys: Box<[Key]>,
}

impl KeySet {
    /// The key of a digest.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<&Key> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = digest.hash() & mask;
        loop {
            let place = (self.slots[at] as usize).checked_sub(1)?;
            let (known, key) = &self.digests[place];
            if known == digest {
                return self.keys.get(*key as usize);
            }
            at = (at + 1) & mask;
        }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether any of them may ask for certain models only.
    #[must_use]
    pub fn restricts_models(&self) -> bool {
        self.keys.iter().any(|key| key.grants.models.is_some())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Makes a set of keys, in which names and digests are unique.
#[derive(Debug)]
pub struct KeySetBuilder {
    digests: Vec<(Digest, u32)>,
    known: HashMap<Digest, u32>,
    names: HashSet<Arc<str>>,
    tenants: HashSet<Arc<str>>,
    grants: HashSet<Arc<Grants>>,
    keys: Vec<Key>,
    bytes: usize,
    max_bytes: usize,
}

/// Why a key cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Another key has its name.
    Name,
    /// The key of this name has its digest.
    Digest(Arc<str>),
    /// There is no room for it.
    TooLarge,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("another key has the same name"),
            Self::Digest(name) => write!(f, "the key `{name}` has the same digest"),
            Self::TooLarge => f.write_str("there are more keys, or longer ones, than `max_keys` leaves room for"),
        }
    }
}

impl KeySetBuilder {
    /// A builder of sets that take no more than so many bytes.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            digests: Vec::new(),
            known: HashMap::new(),
            names: HashSet::new(),
            tenants: HashSet::new(),
            grants: HashSet::new(),
            keys: Vec::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Why it cannot be added.
    pub fn add(&mut self, settings: &KeySettings) -> Result<(), Unfit> {
        let number = u32::try_from(self.keys.len()).map_err(|_| Unfit::TooLarge)?;
        let name: Arc<str> = settings.name.as_str().into();
        if !self.names.insert(name.clone()) {
            return Err(Unfit::Name);
        }
        self.bytes += size_of::<Key>() + name.len() + ALLOCATION;
        for digest in settings.sha256.iter() {
            if let Some(other) = self.known.insert(*digest, number) {
                return Err(Unfit::Digest(self.keys.get(other as usize).map_or(name, |key| key.name.clone())));
            }
            self.digests.push((*digest, number));
            self.bytes += size_of::<(Digest, u32)>() + 4 * size_of::<u32>();
        }
        let tenant = settings.tenant.as_ref().map(|tenant| self.tenant(tenant.as_str()));
        let grants = self.grants_of(settings);
        if self.bytes > self.max_bytes {
            return Err(Unfit::TooLarge);
        }
        let expires = settings.expires.as_ref().map(Expiry::at);
        self.keys.push(Key { name, tenant, grants, expires });
        Ok(())
    }

    /// The set.
    #[must_use]
    pub fn build(self) -> KeySet {
        let Self { digests, keys, .. } = self;
        let mut slots = vec![0; if digests.is_empty() { 0 } else { (digests.len() * 2).next_power_of_two() }];
        let mask = slots.len().wrapping_sub(1);
        for (number, (digest, _)) in (1..).zip(&digests) {
            let mut at = digest.hash() & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = number;
        }
        KeySet { slots: slots.into(), digests: digests.into(), keys: keys.into() }
    }

    fn tenant(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.tenants.get(name) {
            return known.clone();
        }
        let tenant: Arc<str> = name.into();
        self.bytes += name.len() + ALLOCATION;
        self.tenants.insert(tenant.clone());
        tenant
    }

    fn grants_of(&mut self, settings: &KeySettings) -> Arc<Grants> {
        let grants = Grants {
            models: settings.models.as_ref().map(|models| models.iter().map(Glob::new).collect()),
            routes: settings.routes.as_ref().map(|routes| routes.iter().map(Into::into).collect()),
            quota: settings.limits,
        };
        if let Some(known) = self.grants.get(&grants) {
            return known.clone();
        }
        let texts = settings.models.iter().chain(&settings.routes).flat_map(|labels| labels.iter());
        self.bytes += size_of::<Grants>() + ALLOCATION;
        self.bytes += texts.map(|text| text.len() + size_of::<Glob>() + ALLOCATION).sum::<usize>();
        let grants = Arc::new(grants);
        self.grants.insert(grants.clone());
        grants
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digests;

    fn key(name: &str, secret: &str) -> KeySettings {
        KeySettings {
            name: name.to_owned().try_into().unwrap(),
            sha256: Digests::one(Digest::of(secret.as_bytes())),
            tenant: Some("team".to_owned().try_into().unwrap()),
            models: None,
            routes: None,
            expires: None,
            limits: Default::default(),
        }
    }

    fn builder() -> KeySetBuilder {
        KeySetBuilder::new(1 << 20)
    }

    #[test]
    fn every_key_is_found_by_its_digest_and_no_other() {
        for count in [0, 1, 2, 3, 1000] {
            let mut builder = builder();
            (0..count).for_each(|n| builder.add(&key(&format!("k{n}"), &format!("s{n}"))).unwrap());
            let set = builder.build();
            assert_eq!((set.len(), set.is_empty()), (count, count == 0));
            for n in 0..count {
                let found = set.find(&Digest::of(format!("s{n}").as_bytes())).unwrap();
                assert_eq!((&*found.name, found.tenant.as_deref()), (format!("k{n}").as_str(), Some("team")));
            }
            assert!(set.find(&Digest::of(b"other")).is_none());
        }
    }

    #[test]
    fn names_and_digests_are_unique_and_room_is_bounded() {
        let mut builder = builder();
        builder.add(&key("a", "1")).unwrap();
        assert_eq!(builder.add(&key("a", "2")), Err(Unfit::Name));
        assert_eq!(builder.add(&key("b", "1")), Err(Unfit::Digest("a".into())));
        let mut small = KeySetBuilder::new(500);
        let added = (0..100).take_while(|n| small.add(&key(&n.to_string(), &n.to_string())).is_ok()).count();
        assert!((1..5).contains(&added), "{added}");
    }

    #[test]
    fn keys_that_may_do_the_same_share_it() {
        let mut builder = builder();
        builder.add(&key("a", "1")).unwrap();
        builder.add(&key("b", "2")).unwrap();
        let set = builder.build();
        assert!(Arc::ptr_eq(&set.keys[0].grants, &set.keys[1].grants));
    }
}
