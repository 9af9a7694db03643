//! By what a limit tells callers apart, as the YAML writes it, and who a caller is to it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use plugin_api::http::{HeaderName, HeaderValue};
use plugin_api::{Principal, is_credential, one_or_many, shortened};
use quota::{LocalSubjects, Subject};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// The longest text of a caller in a message, in bytes.
const LONGEST_NAME: usize = 128;

/// By what a limit tells callers apart: one thing, or several together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "Vec<String>")]
pub struct By(pub(crate) Vec<Descriptor>);

/// One thing by which a limit tells callers apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Descriptor {
    /// `key`: the name of the key.
    Key,
    /// `tenant`
    Tenant,
    /// `user`
    User,
    /// `session`
    Session,
    /// `model`: the one asked for, by the name that the upstream reads.
    Model,
    /// `client_ip`: the client's address; of IPv6 its first 64 bits, which one host has.
    ClientIp,
    /// `header:NAME`: the value of a header.
    Header(HeaderName),
    /// `all`: not at all.
    All,
}

/// Who calls, as far as limits tell callers apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) client: Option<IpAddr>,
    pub(crate) model: Option<&'a str>,
    /// The headers that limits name, in the order of the limits.
    pub(crate) headers: &'a [Option<HeaderValue>],
}

/// The bytes by which a caller is told apart.
enum Bytes<'a> {
    Of(&'a [u8]),
    Address([u8; 16]),
}

impl AsRef<[u8]> for Bytes<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Of(bytes) => bytes,
            Self::Address(bytes) => bytes,
        }
    }
}

impl By {
    /// Whether the head of a request tells callers apart, so that the calls on a connection are of the same caller as its handshake.
    pub(crate) fn is_told_by_head(&self) -> bool {
        self.0.iter().all(|part| !matches!(part, Descriptor::User | Descriptor::Session | Descriptor::Model))
    }

    /// The headers it names.
    pub(crate) fn header(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().filter_map(|part| match part {
            Descriptor::Header(name) => Some(name),
            _ => None,
        })
    }

    /// Whose limit it is for this caller: where other gateways or later runs have to know it, or else `locally`. `header` is the place of
    /// the first header it names.
    ///
    /// Callers without what the limit goes by share one limit: leaving a header out gives nobody another.
    pub(crate) fn subject(&self, caller: &Caller<'_>, header: usize, locally: Option<&LocalSubjects>) -> Subject {
        if matches!(self.0[..], [Descriptor::All]) {
            return Subject::ALL;
        }
        let mut header = header;
        let texts = self.0.iter().map(|part| part.bytes(caller, &mut header));
        match locally {
            Some(subjects) => subjects.of(texts),
            // what is absent is no empty text
            None => Subject::of(texts.flat_map(|bytes| {
                [Bytes::Of(if bytes.is_some() { b"1" } else { b"0" }), bytes.unwrap_or(Bytes::Of(b""))]
            })),
        }
    }

    /// Who that is, in words: `key alice and model gpt-5`.
    pub(crate) fn describe(&self, caller: &Caller<'_>, header: usize) -> String {
        let mut header = header;
        let parts: Vec<_> = self.0.iter().map(|part| part.describe(caller, &mut header)).collect();
        parts.join(" and ")
    }
}

impl Descriptor {
    fn bytes<'a>(&self, caller: &Caller<'a>, header: &mut usize) -> Option<Bytes<'a>> {
        if *self == Self::ClientIp {
            return caller.client.map(|address| Bytes::Address(networks::host(address)));
        }
        if let Self::Header(_) = self {
            return next_header(caller, header).map(|value| Bytes::Of(value.as_bytes()));
        }
        self.text(caller).map(|text| Bytes::Of(text.as_bytes()))
    }

    fn text<'a>(&self, caller: &Caller<'a>) -> Option<&'a str> {
        match self {
            Self::Key => caller.principal.key_name.as_deref(),
            Self::Tenant => caller.principal.tenant.as_deref(),
            Self::User => caller.principal.user.as_deref(),
            Self::Session => caller.principal.session.as_deref(),
            Self::Model => caller.model,
            Self::ClientIp | Self::Header(_) | Self::All => None,
        }
    }

    fn describe(&self, caller: &Caller<'_>, header: &mut usize) -> String {
        let (word, text) = match self {
            Self::All => return "all callers".to_owned(),
            // its value may be a secret
            Self::Header(name) if is_credential(name.as_str()) => {
                let is_there = next_header(caller, header).is_some();
                return format!("{} {name}", if is_there { "this" } else { "callers without a" });
            }
            Self::ClientIp => ("address", caller.client.map(|address| address.to_string().into())),
            Self::Header(name) => {
                let value = next_header(caller, header).map(|value| String::from_utf8_lossy(value.as_bytes()));
                (name.as_str(), value)
            }
            Self::Key => ("key", self.text(caller).map(Cow::Borrowed)),
            Self::Tenant => ("tenant", self.text(caller).map(Cow::Borrowed)),
            Self::User => ("user", self.text(caller).map(Cow::Borrowed)),
            Self::Session => ("session", self.text(caller).map(Cow::Borrowed)),
            Self::Model => ("model", self.text(caller).map(Cow::Borrowed)),
        };
        match text {
            Some(text) => format!("{word} {}", shortened(&text, LONGEST_NAME)),
            None => format!("callers without a {word}"),
        }
    }
}

fn next_header<'a>(caller: &Caller<'a>, header: &mut usize) -> Option<&'a HeaderValue> {
    let value = caller.headers.get(*header)?.as_ref();
    *header += 1;
    value
}

impl FromStr for Descriptor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "key" => Self::Key,
            "tenant" => Self::Tenant,
            "user" => Self::User,
            "session" => Self::Session,
            "model" => Self::Model,
            "client_ip" => Self::ClientIp,
            "all" => Self::All,
            _ => {
                let name = text.strip_prefix("header:").ok_or_else(|| {
                    format!(
                        "`{text}` is nothing that callers are told apart by; wanted `key`, `tenant`, `user`, `session`, \
                         `model`, `client_ip`, `header:NAME` or `all`"
                    )
                })?;
                Self::Header(name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?)
            }
        })
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Tenant => f.write_str("tenant"),
            Self::User => f.write_str("user"),
            Self::Session => f.write_str("session"),
            Self::Model => f.write_str("model"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::All => f.write_str("all"),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            let plus = if place == 0 { "" } else { "+" };
            write!(f, "{plus}{part}")?;
        }
        Ok(())
    }
}

impl From<By> for Vec<String> {
    fn from(by: By) -> Self {
        by.0.iter().map(Descriptor::to_string).collect()
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        one_or_many(reader, "what callers are told apart by, such as `key`, or a list of that").map(Self)
    }
}

impl JsonSchema for By {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "By".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let part = json_schema!({
            "type": "string",
            "pattern": "^(key|tenant|user|session|model|client_ip|all|header:.+)$",
        });
        json_schema!({ "anyOf": [part, { "type": "array", "items": part, "minItems": 1 }] })
    }
}
