//! Whose call it is: who may join it, and who may have its answer.

use plugin_api::{KeyDigest, Principal};

use crate::call::Key;

/// The caller: by tenant and name, where a plugin has identified it, else by its API key. Callers of whom nothing is known are one.
pub(crate) fn owner(principal: &Principal, api_key: Option<KeyDigest>) -> Key {
    let text = |text: Option<&std::sync::Arc<str>>| text.map(|text| text.as_bytes().to_vec()).unwrap_or_default();
    let (tenant, name) = (text(principal.tenant.as_ref()), text(principal.key_name.as_ref()));
    match (principal.key_name.is_some(), api_key) {
        (false, Some(key)) => Key::of([b"key".as_slice(), &tenant, &key.to_bytes()]),
        _ => Key::of([b"name".as_slice(), &tenant, &name]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart_by_tenant_and_name_and_else_by_key() {
        let principal = |tenant: Option<&str>, name: Option<&str>| Principal {
            tenant: tenant.map(Into::into),
            key_name: name.map(Into::into),
            ..Principal::UNKNOWN
        };
        let key = |text: &str| Some(KeyDigest::of(text.as_bytes()));
        let owners = [
            owner(&Principal::UNKNOWN, None),
            owner(&Principal::UNKNOWN, key("a")),
            owner(&Principal::UNKNOWN, key("b")),
            owner(&principal(None, Some("a")), None),
            owner(&principal(Some("t"), Some("a")), None),
            owner(&principal(Some("t"), None), key("a")),
        ];
        for (place, one) in owners.iter().enumerate() {
            assert!(owners[place + 1..].iter().all(|other| other != one), "{place}");
        }
        // a name lasts longer than a key
        assert_eq!(owner(&principal(None, Some("n")), key("old")), owner(&principal(None, Some("n")), key("new")));
    }
}
