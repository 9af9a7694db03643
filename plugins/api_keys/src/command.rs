//! `tollgate key new NAME`: a new key, and the line by which a gateway knows it. Writes no file.

use std::io::Write;
use std::process::ExitCode;

use clap::{ArgMatches, Args, FromArgMatches};
use plugin_api::{Command, CommandContext, CommandError};

use crate::digest::Digest;
use crate::settings::{Config, Label};
use crate::{Expiry, secret};

/// What `tollgate key` may be told.
#[derive(Clone, Debug, clap::Args)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Make a key: prints it, this once, and below it the line for the file of keys, which has only its SHA-256.
    New(NewKey),
}

#[derive(Clone, Debug, clap::Args)]
struct NewKey {
    /// What rows, logs and limits call its holder.
    name: String,
    /// The tenant that its calls count for.
    #[arg(long)]
    tenant: Option<String>,
    /// A model that it may ask for, perhaps as a pattern (`claude-*`); several with commas.
    #[arg(long, value_delimiter = ',', value_name = "MODEL")]
    models: Vec<String>,
    /// A route that it may use, by its name; several with commas.
    #[arg(long, value_delimiter = ',', value_name = "ROUTE")]
    routes: Vec<String>,
    /// From when on it is refused: `2027-01-01`, or `2027-01-01T12:00:00Z`.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
}

/// `tollgate key`.
pub(crate) fn key() -> Command<Config> {
    let command = Arguments::augment_args(clap::Command::new("key"));
    Command { clap: command.about("Make API keys for callers of the gateway"), run }
}

fn run(matches: &ArgMatches, _: &CommandContext<'_, Config>) -> Result<ExitCode, CommandError> {
    let Action::New(new) = Arguments::from_arg_matches(matches)?.action;
    let key = secret::generate().map_err(|_| CommandError::new("the system has no random numbers"))?;
    let line = new.line(&Digest::of(key.as_bytes())).map_err(CommandError::new)?;
    writeln!(std::io::stdout(), "{key}\n{line}")?;
    Ok(ExitCode::SUCCESS)
}

impl NewKey {
    /// The line for the file of keys.
    fn line(&self, digest: &Digest) -> Result<String, String> {
        let text = |what: &str, text: &str| {
            let label = Label::try_from(text.to_owned()).map_err(|error| format!("{what} `{text}`: {error}"))?;
            Ok::<_, String>(scalar(label.as_str()))
        };
        let list = |what: &str, texts: &[String]| {
            let texts = texts.iter().map(|item| text(what, item)).collect::<Result<Vec<_>, _>>();
            texts.map(|texts| texts.join(", "))
        };
        let mut line = format!("- {{ name: {}, sha256: {digest}", text("name", &self.name)?);
        if let Some(tenant) = &self.tenant {
            line += &format!(", tenant: {}", text("tenant", tenant)?);
        }
        for (key, texts) in [("models", &self.models), ("routes", &self.routes)] {
            if !texts.is_empty() {
                line += &format!(", {key}: [{}]", list(key, texts)?);
            }
        }
        if let Some(expires) = &self.expires {
            line += &format!(", expires: {}", scalar(&Expiry::try_from(expires.clone())?.to_string()));
        }
        Ok(line + " }")
    }
}

/// A text as a scalar of YAML: plain where nobody could take it for anything else.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let is_word = ["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(is_plain) && !is_word {
        return text.to_owned();
    }
    // JSON is YAML, but for the variables
    serde_json::Value::from(text).to_string().replace("${", "$${")
}

#[cfg(test)]
mod tests {
    use located_yaml::Reader;

    use super::*;
    use crate::settings::KeySettings;

    #[test]
    fn the_command_is_sound_and_explains_itself() {
        let command = key().clap;
        assert!(command.get_about().is_some());
        command.debug_assert();
    }

    #[test]
    fn the_line_says_what_was_asked_for_however_it_is_spelled() {
        let texts = ["alice", "off", "5", "a b", "ä: {x}, # \"'", "${HOME}", "- a", "claude-*"];
        for name in texts {
            let new = NewKey {
                name: name.to_owned(),
                tenant: Some(name.to_owned()),
                models: texts.map(str::to_owned).to_vec(),
                routes: vec![name.to_owned()],
                expires: Some("2027-01-01".to_owned()),
            };
            let line = new.line(&Digest::of(b"key")).unwrap();
            let read = Reader::new(&|_| None).read::<Vec<KeySettings>>("keys.yaml", &line, |_, _| {});
            let [key] = &read.unwrap_or_else(|errors| panic!("{errors}")).value[..] else { panic!("{line}") };
            assert_eq!((key.name.as_str(), key.tenant.as_ref().unwrap().as_str()), (name, name), "{line}");
            assert_eq!(key.models.as_ref().unwrap().iter().collect::<Vec<_>>(), texts, "{line}");
            assert_eq!(key.sha256.iter().collect::<Vec<_>>(), [&Digest::of(b"key")]);
            assert_eq!(key.expires.as_ref().unwrap().to_string(), "2027-01-01");
        }
    }

    #[test]
    fn what_makes_no_key_is_told() {
        let new = |name: &str, expires: Option<&str>| NewKey {
            name: name.to_owned(),
            tenant: None,
            models: Vec::new(),
            routes: Vec::new(),
            expires: expires.map(str::to_owned),
        };
        let line = |new: NewKey| new.line(&Digest::of(b"key"));
        assert!(line(new(" ", None)).unwrap_err().contains("is empty"));
        assert!(line(new("a", Some("soon"))).unwrap_err().contains("`soon` is neither"));
        let plain = line(new("alice", None)).unwrap();
        assert_eq!(plain, format!("- {{ name: alice, sha256: {} }}", Digest::of(b"key")));
    }
}
