//! Events that the receiver refuses while it takes others, in `cloudevents.rejected.jsonl` beside the journal: one JSON object a line,
//! with the reason.

use std::io;
use std::path::Path;

use log::error;
use plugin_api::LogLimit;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::rejected;

const FILE: &str = "cloudevents.rejected.jsonl";

#[derive(Serialize)]
struct Line<'a> {
    why: &'a str,
    event: &'a RawValue,
}

/// Appends an event. Where there are too many already, it is lost.
///
/// # Errors
/// That it cannot be kept there now.
pub(super) fn append(folder: &Path, event: &[u8], why: &str) -> io::Result<()> {
    static REJECTED: LogLimit<&str> = LogLimit::new();
    let path = folder.join(FILE);
    let file = path.display();
    let mut line = serde_json::to_vec(&Line { why, event: serde_json::from_slice(event)? })?;
    line.push(b'\n');
    match rejected::append_line(&path, &line, rejected::MOST) {
        Ok(()) => {
            if let Some(suppressed) = REJECTED.pass("kept") {
                error!(why, file:%, suppressed; "the receiver of CloudEvents rejects an event; it is set aside");
            }
        }
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            if let Some(suppressed) = REJECTED.pass("lost") {
                error!(why, error:%, file:%, suppressed; "the receiver of CloudEvents rejects an event, and it is lost");
            }
        }
        Err(error) => return Err(io::Error::new(error.kind(), format!("{file}: {error}"))),
    }
    Ok(())
}
