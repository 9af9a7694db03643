//! What of a text counts: all but the reminders that Claude Code puts into it.

use std::borrow::Cow;
use std::sync::LazyLock;

use json_tape::Str;
use memchr::memmem::{self, Finder};

use super::Unread;

/// What of a text counts.
pub(super) struct Counts {
    /// The text without the reminders in it; `None` where it has none.
    pub(super) part: Option<String>,
    /// Whether that is nothing but white space.
    pub(super) is_blank: bool,
}

impl Counts {
    pub(super) fn of(string: Str<'_>) -> Result<Self, Unread> {
        // the normal spelling of a reminder is as it stands here, and nothing else is spelled so
        let is_plain = |text: &&[u8]| matches!(text, [b'!'..=b'[' | b']'..=b'~', ..]) && BEGIN.find(text).is_none();
        if string.normal().filter(is_plain).is_some() {
            return Ok(Self { part: None, is_blank: false });
        }
        let decoded = string.decoded()?;
        let said = std::str::from_utf8(&decoded).map_err(|_| Unread::AsWritten)?;
        let text = without_reminders(said);
        let is_blank = text.trim().is_empty();
        let is_whole = text.len() == said.len();
        Ok(Self { part: (!is_whole).then(|| text.into_owned()), is_blank })
    }
}

/// What reminders begin with.
static BEGIN: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new("<system-reminder>"));

/// A text without the reminders in it, and the white space before them.
fn without_reminders(text: &str) -> Cow<'_, str> {
    const END: &str = "</system-reminder>";
    let mut rest = text;
    let mut kept = String::new();
    while let Some(begin) = BEGIN.find(rest.as_bytes()) {
        let Some(end) = memmem::find(&rest.as_bytes()[begin..], END.as_bytes()) else { break };
        kept.push_str(rest[..begin].trim_end());
        rest = &rest[begin + end + END.len()..];
    }
    if kept.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}
