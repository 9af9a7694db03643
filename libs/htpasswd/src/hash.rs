//! The hash of one password, in the forms in which tools write it.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN, digest};
use sha_crypt::{PasswordVerifier, ShaCrypt};
use subtle::ConstantTimeEq;

use crate::md5_crypt::{self, Magic};

/// The highest cost of bcrypt: about 2 s on one core.
const MOST_COST: u32 = 15;
/// The most rounds of SHA-crypt: about 1 s on one core.
const MOST_ROUNDS: u32 = 1_000_000;
/// The rounds of SHA-crypt where the hash names none.
const ROUNDS: u32 = 5_000;

/// The hash of a password. Its text is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// `$2y$…`, as `htpasswd -B` writes it.
    Bcrypt { text: Box<str>, cost: u32 },
    /// `$apr1$…`, as `htpasswd -m` writes it, and `$1$…`.
    Md5 { magic: Magic, salt: Box<[u8]>, digest: Box<[u8]> },
    /// `$5$…` and `$6$…`, as `htpasswd -2`, `htpasswd -5` and `openssl passwd` write them.
    Sha2 { text: Box<str>, rounds: u32 },
    /// `{SHA}…` and `{SSHA}…`: the second one with a salt.
    Sha1 { digest: [u8; SHA1_OUTPUT_LEN], salt: Box<[u8]> },
}

/// Why a hash cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnfitHash {
    /// It is of no form that is known, or damaged.
    Form,
    /// Verifying it would take too long.
    Cost,
}

impl fmt::Display for UnfitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "is not in a form that is known; `htpasswd -B` writes one (known are bcrypt, apr1, $5$, $6$, {SHA} and {SSHA})",
            ),
            Self::Cost => write!(f, "takes too long to verify: bcrypt may cost {MOST_COST}, SHA-crypt have {MOST_ROUNDS} rounds"),
        }
    }
}

impl Error for UnfitHash {}

impl PasswordHash {
    /// Whether it is that of this password. Takes as long for a wrong one; between a microsecond and seconds, by its form.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        match &self.0 {
            // as the C libraries do: what is behind a zero byte, or the 72nd, does not count
            Form::Bcrypt { text, .. } => bcrypt::verify(password, text).unwrap_or(false),
            Form::Md5 { magic, salt, digest } => {
                md5_crypt::hash(*magic, password, salt).as_bytes().ct_eq(digest).into()
            }
            Form::Sha2 { text, .. } => {
                PasswordVerifier::<str>::verify_password(&ShaCrypt::default(), password, text).is_ok()
            }
            Form::Sha1 { digest: own, salt } => {
                let hashed = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[password, salt].concat());
                hashed.as_ref().ct_eq(own).into()
            }
        }
    }

    /// How long it takes to verify, in a unit of its own: about a microsecond.
    #[must_use]
    pub fn cost(&self) -> u64 {
        match &self.0 {
            Form::Bcrypt { cost, .. } => 60 << cost,
            Form::Sha2 { rounds, .. } => u64::from(*rounds),
            Form::Md5 { .. } => 500,
            Form::Sha1 { .. } => 1,
        }
    }
}

impl FromStr for PasswordHash {
    type Err = UnfitHash;

    fn from_str(text: &str) -> Result<Self, UnfitHash> {
        let form = if ["$2y$", "$2b$", "$2a$"].iter().any(|magic| text.starts_with(magic)) {
            of_bcrypt(text)?
        } else if let Some(rest) = text.strip_prefix(Magic::Apr1.as_str()) {
            of_md5(Magic::Apr1, rest).ok_or(UnfitHash::Form)?
        } else if let Some(rest) = text.strip_prefix(Magic::Md5.as_str()) {
            of_md5(Magic::Md5, rest).ok_or(UnfitHash::Form)?
        } else if text.starts_with("$5$") || text.starts_with("$6$") {
            of_sha2(text)?
        } else if let Some(rest) = text.strip_prefix("{SHA}") {
            of_sha1(rest).filter(|(_, salt)| salt.is_empty()).map(sha1).ok_or(UnfitHash::Form)?
        } else if let Some(rest) = text.strip_prefix("{SSHA}") {
            of_sha1(rest).filter(|(_, salt)| !salt.is_empty()).map(sha1).ok_or(UnfitHash::Form)?
        } else {
            return Err(UnfitHash::Form);
        };
        Ok(Self(form))
    }
}

fn of_bcrypt(text: &str) -> Result<Form, UnfitHash> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| UnfitHash::Form)?;
    let cost = parts.get_cost();
    if !(4..=31).contains(&cost) {
        return Err(UnfitHash::Form);
    }
    if cost > MOST_COST { Err(UnfitHash::Cost) } else { Ok(Form::Bcrypt { text: text.into(), cost }) }
}

fn of_md5(magic: Magic, rest: &str) -> Option<Form> {
    let (salt, digest) = rest.split_once('$')?;
    let is_whole = salt.len() <= md5_crypt::LONGEST_SALT && digest.len() == md5_crypt::DIGITS;
    is_whole.then(|| Form::Md5 { magic, salt: salt.as_bytes().into(), digest: digest.as_bytes().into() })
}

fn of_sha2(text: &str) -> Result<Form, UnfitHash> {
    let digits = if text.starts_with("$5$") { 43 } else { 86 };
    let mut fields = text[3..].split('$');
    let mut salt = fields.next().ok_or(UnfitHash::Form)?;
    let mut rounds = ROUNDS;
    if let Some(number) = salt.strip_prefix("rounds=") {
        rounds = number.parse().map_err(|_| UnfitHash::Form)?;
        salt = fields.next().ok_or(UnfitHash::Form)?;
    }
    let digest = fields.next().ok_or(UnfitHash::Form)?;
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    if fields.next().is_some() || digest.len() != digits || salt.len() > 16 || !digest.bytes().all(is_digit) {
        return Err(UnfitHash::Form);
    }
    if rounds < 1000 {
        return Err(UnfitHash::Form);
    }
    if rounds > MOST_ROUNDS { Err(UnfitHash::Cost) } else { Ok(Form::Sha2 { text: text.into(), rounds }) }
}

/// The digest, and the salt behind it.
fn of_sha1(encoded: &str) -> Option<([u8; SHA1_OUTPUT_LEN], Box<[u8]>)> {
    let bytes = STANDARD.decode(encoded).ok()?;
    let (digest, salt) = bytes.split_first_chunk()?;
    Some((*digest, salt.into()))
}

fn sha1((digest, salt): ([u8; SHA1_OUTPUT_LEN], Box<[u8]>)) -> Form {
    Form::Sha1 { digest, salt }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Form::Bcrypt { .. } => "PasswordHash(bcrypt)",
            Form::Md5 { .. } => "PasswordHash(md5)",
            Form::Sha2 { .. } => "PasswordHash(sha-crypt)",
            Form::Sha1 { .. } => "PasswordHash(sha1)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by Apache's `htpasswd` and `openssl passwd`, for the password `password`.
    const OF_TOOLS: [&str; 8] = [
        "$2y$05$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu",
        "$apr1$zAbOclVq$1DnEDWuFnIIUEX/MF4UrH0",
        "$1$ab$oKsM6dtDD2L1bKowOBX.7.",
        "$5$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC.",
        "$6$saltsaltsaltsalt$bcXJ8qxwY5sQ4v8MTl.0B1jeZ0z0JlA9jjmbUoCJZ.1wYXiLTU.q2ILyrDJLm890lyfuF7sWAeli0yjOyFPkf0",
        "$6$rounds=10000$abcdefgh$kF57o18Xuu8qWSW2h0YBILpIeW/KEpcSse9BHaTTStgl9j7nCGzty1xRBjmP7wDA01Idc.ivBCoIRvlUbkXmQ/",
        "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "{SSHA}yI6cZwQadOA1e+/f+T+H3eCQQhRzYWx0",
    ];

    #[test]
    fn every_form_that_tools_write_is_verified() {
        for text in OF_TOOLS {
            let hash: PasswordHash = text.parse().unwrap();
            assert!(hash.verify(b"password"), "{text}");
            for wrong in [&b"passwore"[..], b"", b"Password", b"password ", b"password\0x"] {
                assert!(!hash.verify(wrong) || text.starts_with("$2y$") && wrong.contains(&0), "{text} {wrong:?}");
            }
            assert!(!format!("{hash:?}").contains(&text[text.len() - 8..]));
        }
    }

    #[test]
    fn what_is_of_no_known_form_or_too_costly_is_refused() {
        for text in [
            "",
            "secret",
            "rqXexS6ZhobKA",
            "{PLAIN}x",
            "$apr1$salt",
            "$apr1$a$b",
            "{SHA}x",
            "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "$5$salt$short",
            "$6$rounds=x$salt$x",
            "$2y$05$short",
            "$1$$$",
        ] {
            assert_eq!(text.parse::<PasswordHash>(), Err(UnfitHash::Form), "{text}");
        }
        let costly = "$2y$16$L6Bc/AlTQHyd9liGgGEZyOFLPHNgyxeEPfgYfBCVxJ7JIlwxyVU3u";
        assert_eq!(costly.parse::<PasswordHash>(), Err(UnfitHash::Cost));
        let many =
            OF_TOOLS.iter().find(|text| text.starts_with("$5$")).unwrap().replacen("$5$", "$5$rounds=2000000$", 1);
        assert_eq!(many.parse::<PasswordHash>(), Err(UnfitHash::Cost));
    }

    #[test]
    fn costs_are_in_the_order_of_the_time_they_take() {
        let cost = |text: &str| text.parse::<PasswordHash>().unwrap().cost();
        let of = |magic: &str| cost(OF_TOOLS.iter().find(|text| text.starts_with(magic)).unwrap());
        assert!(of("{SHA}") < of("$apr1$") && of("$apr1$") < of("$6$"));
    }
}
