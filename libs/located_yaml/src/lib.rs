//! Reads YAML configuration files into serde types and reports *every* error of a file, each with its place, what was found, what
//! was wanted, and the nearest known name. Opens no file and reads no environment: text and variables are given in.
//!
//! ```
//! use located_yaml::{Located, Reader};
//! use serde::Deserialize;
//!
//! #[derive(Debug, Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     listen: Located<std::net::SocketAddr>,
//!     #[serde(default)]
//!     workers: u8,
//! }
//!
//! let variable = |name: &str| (name == "PORT").then(|| "3000".to_owned());
//! let reader = Reader::new(&variable);
//! let document = reader.read::<Config>("a.yaml", "listen: 127.0.0.1:${PORT}\nworkers: 2\n", |_, _| {}).unwrap();
//! assert_eq!(document.value.listen.port(), 3000);
//! assert_eq!((document.value.listen.at.line, document.value.listen.at.column), (1, 9));
//!
//! // two mistakes, both reported
//! let errors = reader.read::<Config>("a.yaml", "listen: nowhere\nworker: 2\n", |_, _| {}).unwrap_err();
//! assert_eq!(
//!     errors.to_string(),
//!     "a.yaml:1:9: listen: found text `nowhere`, wanted an IP address and a port, such as `127.0.0.1:3000`\n  \
//!        |\n\
//!      1 | listen: nowhere\n  \
//!        |         ^^^^^^^\n\n\
//!      a.yaml:2:1: top level: unknown key `worker`; did you mean `workers`? known are `listen`, `workers`\n  \
//!        |\n\
//!      2 | worker: 2\n  \
//!        | ^^^^^^"
//! );
//! ```
//!
//! # How it reads
//!
//! 1. [`parse`](Node): text → a tree of values, each with its line and column. Features of YAML that a configuration has no
//!    use for (tags, merge keys, several documents, keys twice) are errors.
//! 2. `variables`: `${NAME}`, `${NAME:-default}` and `${file:PATH}` in values are filled in. What they hold never becomes
//!    structure.
//! 3. `include`: the files that the text includes, read in the same way, are merged into the tree. Every place knows its file.
//! 4. `decode`: the tree is a serde `Deserializer`. At an error the value is left out, or a placeholder takes the place of a
//!    missing one, and the type is read again, until there are no further errors.
//! 5. The caller's checks hold the parts against each other and add their errors to the same [`Report`].
//!
//! Secrets (by the names of their keys, in URLs, by the shapes of common tokens) and the contents of variables appear in no
//! error and in no line shown with one.

mod decode;
mod decode_error;
mod error;
mod include;
mod located;
mod names;
mod node;
mod parse;
mod placeholder;
mod reader;
mod recover;
mod recovery;
mod report;
mod schema;
mod secrets;
mod source;
mod variables;

pub use error::{ConfigErrors, Diagnostic};
pub use include::{Include, IncludedFile};
pub use located::{Located, Location};
pub use names::{list, nearest, unknown};
pub use node::{Entry, Id, Key, Kind, Mark, Node, Problem, Scalar, Value};
pub use reader::{Document, Reader, RenamedKey};
pub use report::{Report, redact};
pub use schema::schema_for;
pub use secrets::Secrets;
pub use variables::ReadFile;
