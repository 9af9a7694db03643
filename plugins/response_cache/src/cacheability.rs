//! Which members of a call do not affect its answer, and which make the call bypass the cache.

use plugin_api::{Endpoint, Sign};

use crate::bypass::Bypass;

/// The place of a value in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Call,
    /// The value of this member of the call, an object of which some members do not affect the answer.
    Within(&'static str),
    Thinking,
    Tools,
    Tool,
    Elsewhere,
}

/// Types of tools that run in the client; all others run on the server.
const CLIENT_TOOLS: [&[u8]; 2] = [b"custom", b"function"];
const CLIENT_TOOL_FAMILIES: [&[u8]; 4] = [b"bash_", b"computer_", b"memory_", b"text_editor_"];

impl Place {
    /// The place of this key's value.
    pub(crate) fn of(self, endpoint: Endpoint, key: &[u8]) -> Self {
        if self != Self::Call {
            return Self::Elsewhere;
        }
        let mut without_effect = endpoint.protocol.members_without_effect();
        let within = without_effect.find(|path| path.inner.is_some() && *key == *path.member.as_bytes());
        match within {
            Some(path) => Self::Within(path.member),
            None if is(key, "thinking") => Self::Thinking,
            None if is(key, "tools") => Self::Tools,
            None => Self::Elsewhere,
        }
    }

    /// The place of a list's items.
    pub(crate) fn item(self) -> Self {
        if self == Self::Tools { Self::Tool } else { Self::Elsewhere }
    }

    /// Whether a member of this key does not affect the answer, whatever its value.
    pub(crate) fn ignores(self, endpoint: Endpoint, key: &[u8]) -> bool {
        let mut without_effect = endpoint.protocol.members_without_effect();
        match self {
            Self::Call => without_effect.any(|path| path.inner.is_none() && *key == *path.member.as_bytes()),
            Self::Within(member) => without_effect
                .any(|path| path.member == member && path.inner.is_some_and(|inner| *key == *inner.as_bytes())),
            Self::Thinking | Self::Tools | Self::Tool | Self::Elsewhere => false,
        }
    }

    /// Whether an object at this place does not affect the answer if none of its members does.
    pub(crate) fn may_be_left_out(self) -> bool {
        matches!(self, Self::Within(_))
    }
}

/// A filter in front of the comparisons of a call's members with all names that this file knows. Nearly all members have none of those names,
/// and one look tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedMembers(u128);

impl NamedMembers {
    pub(crate) fn of(endpoint: Endpoint) -> Self {
        let signs = endpoint.state_members.iter().chain(endpoint.server_tool_members).map(|sign| sign.member);
        let without_effect = endpoint.protocol.members_without_effect().map(|path| path.member);
        let names = ["thinking", "tools", "store"].into_iter().chain(signs).chain(without_effect);
        Self(names.fold(0, |all, name| all | Self::bit(name.as_bytes())))
    }

    /// Whether the key may be one of them, in any letter case. A few others may be taken for such.
    pub(crate) fn may_name(self, key: &[u8]) -> bool {
        self.0 & Self::bit(key) != 0
    }

    /// Of the length of a key and its first letter in lower case.
    fn bit(key: &[u8]) -> u128 {
        let first = key.first().map_or(0, |first| usize::from(first | 0x20));
        1 << ((key.len() * 29 + first) % 128)
    }
}

/// What was found in a call that affects whether it may be cached.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    state: bool,
    server_tools: bool,
    thinking: bool,
    thinking_disabled: bool,
    store: Option<bool>,
}

impl Findings {
    /// Inspects a member: its key, and its value as written.
    pub(crate) fn member(&mut self, endpoint: Endpoint, place: Place, key: &[u8], value: &[u8]) {
        match place {
            Place::Call => self.member_of_call(endpoint, key, value),
            Place::Tool if is(key, "type") => self.server_tools |= !is_client_tool(value),
            Place::Thinking if is(key, "type") => self.thinking_disabled = value == b"\"disabled\"",
            _ => {}
        }
    }

    /// Whether the call may be cached.
    ///
    /// # Errors
    /// Why it bypasses the cache.
    pub(crate) fn verdict(&self, endpoint: Endpoint) -> Result<(), Bypass> {
        let stores = self.store.unwrap_or(endpoint.stores_answers);
        if self.state || stores {
            Err(Bypass::State)
        } else if self.server_tools {
            Err(Bypass::Tools)
        } else if self.thinking {
            Err(Bypass::Thinking)
        } else {
            Ok(())
        }
    }

    fn member_of_call(&mut self, endpoint: Endpoint, key: &[u8], value: &[u8]) {
        if value == b"null" {
            return;
        }
        let any = |signs: &[Sign]| {
            let says_something = |sign: &Sign| sign.unless.is_none_or(|nothing| *value != *nothing.as_bytes());
            signs.iter().any(|sign| is(key, sign.member) && says_something(sign))
        };
        self.state |= any(endpoint.state_members);
        self.server_tools |= any(endpoint.server_tool_members);
        if is(key, "store") {
            self.store = Some(value != b"false");
        } else if is(key, "thinking") {
            self.thinking |= !self.thinking_disabled;
        }
    }
}

/// Whether a server may read the key under this name; some fold letter case.
fn is(key: &[u8], name: &str) -> bool {
    key.eq_ignore_ascii_case(name.as_bytes())
}

fn is_client_tool(value: &[u8]) -> bool {
    let Some(kind) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return value == b"null";
    };
    CLIENT_TOOLS.contains(&kind) || CLIENT_TOOL_FAMILIES.iter().any(|family| kind.starts_with(family))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is said of a member of a call by all that this file knows.
    fn says_something(endpoint: Endpoint, key: &[u8]) -> bool {
        let mut findings = Findings::default();
        findings.member(endpoint, Place::Call, key, b"true");
        let nothing = format!("{:?}", Findings::default());
        let place = Place::Call;
        place.ignores(endpoint, key)
            || place.of(endpoint, key) != Place::Elsewhere
            || format!("{findings:?}") != nothing
    }

    proptest! {
        #[test]
        fn no_member_that_is_named_is_passed_over(
            endpoint in prop::sample::select(vec![Endpoint::MESSAGES, Endpoint::CHAT_COMPLETIONS, Endpoint::RESPONSES, Endpoint::COMPLETIONS]),
            name in any::<prop::sample::Index>(),
            upper in any::<u64>(),
            other in "[a-z_@`]{0,24}",
        ) {
            let signs = endpoint.state_members.iter().chain(endpoint.server_tool_members).map(|sign| sign.member);
            let without_effect = endpoint.protocol.members_without_effect().map(|path| path.member);
            let names: Vec<&str> = signs.chain(without_effect).chain(["thinking", "tools", "store", "model", &other]).collect();
            let mut key = names[name.index(names.len())].as_bytes().to_vec();
            for (at, byte) in key.iter_mut().enumerate() {
                if upper >> (at % 64) & 1 == 1 {
                    byte.make_ascii_uppercase();
                }
            }
            let named = NamedMembers::of(endpoint);
            prop_assert!(named.may_name(&key) || !says_something(endpoint, &key), "{:?}", key);
        }
    }

    #[test]
    fn what_nearly_every_call_has_is_not_looked_at_closely() {
        let named = NamedMembers::of(Endpoint::MESSAGES);
        let usual = ["model", "max_tokens", "messages", "system", "stream", "temperature", "top_p", "stop_sequences"];
        let looked_at: Vec<_> = usual.iter().filter(|key| named.may_name(key.as_bytes())).collect();
        assert!(looked_at.len() <= 2, "{looked_at:?}");
    }
}
