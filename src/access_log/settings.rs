//! The settings of the access log.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::format::AccessLogFormat;

/// The log of requests, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogSettings {
    /// Where lines go: `stdout`, `stderr`, `off`, or a file that is appended to, and opened anew on reload and by `USR1`. Relative
    /// paths are relative to the YAML file.
    pub path: AccessLogPath,
    /// How a request is written: `json`; `combined`, as nginx does, in local time; or a text with variables. Headers with credentials cannot be
    /// logged.
    pub format: AccessLogFormat,
    /// Whether the answers of every route are read, so that JSON lines and metrics have their tokens. Where a plugin needs them or `format`
    /// names them, they are read anyway.
    pub usage: bool,
}

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum AccessLogPath {
    /// To standard output.
    #[default]
    Stdout,
    /// To standard error.
    Stderr,
    /// Nowhere: nothing is logged.
    Off,
    /// To a file.
    File(PathBuf),
}

impl TryFrom<String> for AccessLogPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        match path.as_str() {
            "" => Err("the path is empty; write `stdout`, `stderr`, `off` or a file".into()),
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            "off" => Ok(Self::Off),
            _ => Ok(Self::File(path.into())),
        }
    }
}

impl From<AccessLogPath> for String {
    fn from(path: AccessLogPath) -> Self {
        match path {
            AccessLogPath::Stdout => "stdout".into(),
            AccessLogPath::Stderr => "stderr".into(),
            AccessLogPath::Off => "off".into(),
            AccessLogPath::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_word_or_a_file() {
        let read = |json: &str| serde_json::from_str::<AccessLogSettings>(json);
        assert_eq!(read("{}").unwrap().path, AccessLogPath::Stdout);
        for (written, path) in [
            ("stderr", AccessLogPath::Stderr),
            ("off", AccessLogPath::Off),
            ("logs/access.log", AccessLogPath::File("logs/access.log".into())),
        ] {
            let settings = read(&format!(r#"{{"path":"{written}"}}"#)).unwrap();
            assert_eq!(settings.path, path);
            assert_eq!(String::from(settings.path), written);
        }
        for wrong in [r#"{"path":""}"#, r#"{"file":"x"}"#, r#"{"format":"common"}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
