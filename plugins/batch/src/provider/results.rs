//! The results of a batch that is over: files of lines, each of one call. A line that cannot be read harms no other.

use bytes::Bytes;
use http::Method;

use super::{Ask, Line, Link, anthropic, openai};
use crate::call::{Api, Group};

/// What a batch that is over has left with the provider.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The paths of its results.
    pub(crate) results: Vec<String>,
    /// The paths of files that nobody needs once the results are on the disk.
    pub(crate) waste: Vec<String>,
}

/// What came of the calls of a batch.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) lines: Vec<Line>,
    /// Lines that cannot be read: whose they are is not known.
    pub(crate) unreadable: usize,
}

/// What a line says of a call; `None` for a call of somebody else.
pub(super) type LineOf = fn(&str) -> Option<Result<Line, String>>;

/// Reads results.
///
/// # Errors
/// Why they did not come.
pub(crate) async fn results(
    link: &dyn Link,
    group: &Group,
    upstream: &str,
    targets: &[String],
) -> Result<Results, String> {
    let line_of: LineOf = match group.api {
        Api::Messages => anthropic::line_of,
        Api::Chat | Api::Responses | Api::Embeddings => openai::line_of,
    };
    let mut results = Results::default();
    for target in targets {
        let ask = Ask { is_large: true, ..Ask::new(group, upstream, Method::GET, target.clone()) };
        match link.send(ask).await {
            Ok(got) if got.status == 200 => results.add(&got.body, line_of),
            Ok(got) => return Err(got.words()),
            Err(unsent) => return Err(unsent.words()),
        }
    }
    Ok(results)
}

/// Deletes files. One that stays costs nothing, and the provider forgets it some day.
pub(crate) async fn delete(link: &dyn Link, group: &Group, upstream: &str, targets: &[String]) {
    for target in targets {
        if let Err(unsent) = link.send(Ask::new(group, upstream, Method::DELETE, target.clone())).await {
            log::debug!(error:% = unsent.words(), upstream:%; "a file of a batch that is over is not deleted");
        }
    }
}

impl Results {
    fn add(&mut self, body: &Bytes, line_of: LineOf) {
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            match std::str::from_utf8(line).map_err(|error| error.to_string()).map(line_of) {
                Ok(Some(Ok(line))) => self.lines.push(line),
                Ok(None) => {}
                Ok(Some(Err(_))) | Err(_) => self.unreadable += 1,
            }
        }
    }
}
