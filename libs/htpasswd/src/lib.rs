//! Password files as Apache's `htpasswd` and `openssl passwd` write them: names, each with a hash of its password. Keeps no password.
//!
//! ```
//! let users = htpasswd::parse(b"# team\nalice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n").unwrap();
//! assert!(users.hash("alice").is_some_and(|hash| hash.verify(b"password")));
//! assert!(!users.hash("alice").is_some_and(|hash| hash.verify(b"other")));
//! assert!(users.hash("bob").is_none());
//! ```

mod hash;
mod md5_crypt;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;

pub use hash::{PasswordHash, UnfitHash};

/// The longest name, in bytes.
const LONGEST_NAME: usize = 255;

/// The users of a file.
#[derive(Debug, Default)]
pub struct Users {
    by_name: HashMap<Box<str>, PasswordHash>,
    costliest: Option<Box<str>>,
}

impl Users {
    /// The hash of a user's password; `None` if there is no such user.
    #[must_use]
    pub fn hash(&self, name: &str) -> Option<&PasswordHash> {
        self.by_name.get(name)
    }

    /// The hash that takes longest to verify, for whoever does not want to show by the time it takes that a user does not exist. `None`
    /// where there are no users.
    #[must_use]
    pub fn costliest(&self) -> Option<&PasswordHash> {
        self.by_name.get(self.costliest.as_ref()?)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// What is wrong with a line. It shows no hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What may be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not UTF-8.
    Encoding,
    /// It is no name, a colon and a hash.
    Form,
    /// The name stands on an earlier line, too.
    Twice(Box<str>),
    /// Its hash cannot be used.
    Hash(Box<str>, UnfitHash),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Encoding => f.write_str("is not UTF-8"),
            Problem::Form => f.write_str("is no `NAME:HASH`, as `htpasswd` writes it"),
            Problem::Twice(name) => write!(f, "the user `{name}` stands on an earlier line, too"),
            Problem::Hash(name, unfit) => write!(f, "the password of `{name}` {unfit}"),
        }
    }
}

impl Error for LineError {}

/// Reads a file: a user on each line, as `NAME:HASH`, with anything behind another colon. Empty lines and those that begin with `#` say
/// nothing.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(bytes: &[u8]) -> Result<Users, LineError> {
    let mut users = Users::default();
    let mut most = 0;
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let wrong = |problem| LineError { line: at + 1, problem };
        let line = std::str::from_utf8(line).map_err(|_| wrong(Problem::Encoding))?.trim_end_matches('\r');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fields = line.split(':');
        let (Some(name), Some(hash)) = (fields.next(), fields.next()) else { return Err(wrong(Problem::Form)) };
        if name.is_empty() || name.len() > LONGEST_NAME || hash.is_empty() {
            return Err(wrong(Problem::Form));
        }
        let hash: PasswordHash = hash.trim_end().parse().map_err(|unfit| wrong(Problem::Hash(name.into(), unfit)))?;
        let cost = hash.cost();
        if users.by_name.insert(name.into(), hash).is_some() {
            return Err(wrong(Problem::Twice(name.into())));
        }
        if cost >= most {
            most = cost;
            users.costliest = Some(name.into());
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str =
        "# team\n\nalice:$apr1$zAbOclVq$1DnEDWuFnIIUEX/MF4UrH0\r\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=:a note\n";

    #[test]
    fn each_line_is_a_user() {
        let users = parse(FILE.as_bytes()).unwrap();
        assert_eq!(users.len(), 2);
        assert!(users.hash("bob").unwrap().verify(b"password"));
        assert!(users.hash("# team").is_none());
        assert_eq!(users.costliest(), users.hash("alice"));
        assert!(parse(b"").unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_wrong_is_told_without_its_hash() {
        for (text, line, wanted) in [
            ("alice", 1, "is no `NAME:HASH`"),
            ("\n:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", 2, "is no `NAME:HASH`"),
            ("alice:", 1, "is no `NAME:HASH`"),
            ("alice:secret", 1, "the password of `alice` is not in a form"),
            ("a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\na:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", 2, "on an earlier line, too"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            let message = error.to_string();
            assert!(error.line == line && message.contains(wanted) && !message.contains("secret"), "{error}");
        }
        assert_eq!(parse(b"a:\xff").unwrap_err().problem, Problem::Encoding);
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_hash_is_read_or_refused(hash in "(\\$2y\\$|\\$apr1\\$|\\$5\\$|\\$6\\$rounds=|\\{SHA\\}|\\{SSHA\\}|)[./A-Za-z0-9$+=]{0,70}") {
            let _ = hash.parse::<PasswordHash>();
        }
    }
}
