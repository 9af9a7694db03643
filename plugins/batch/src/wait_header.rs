//! The header by which a call asks for a batch: how long its client waits at most.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use plugin_api::Period;

pub(crate) const NAME: HeaderName = HeaderName::from_static("x-tollgate-batch");

/// As long as providers take for a batch.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The longest wait that a request asks for, if it asks for a batch at all.
///
/// # Errors
/// What is wrong with it, for the client.
pub(crate) fn wait(headers: &HeaderMap) -> Result<Option<Duration>, String> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(format!("{NAME} is there twice"));
    }
    let text = value.to_str().map_err(|_| format!("{NAME} is not plain text"))?;
    let wait = text.trim().parse::<Period>().map_err(|error| format!("{NAME}: {error}"))?.get();
    if wait.is_zero() || wait > LONGEST {
        return Err(format!("{NAME} is `{text}`, and must be above 0 and at most 24h"));
    }
    Ok(Some(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_period_of_at_most_a_day() {
        let of = |values: &[&'static str]| {
            wait(&values.iter().map(|value| (NAME, http::HeaderValue::from_static(value))).collect())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["30m"]), Ok(Some(Duration::from_secs(1800))));
        assert_eq!(of(&[" 24h "]), Ok(Some(LONGEST)));
        for bad in [&["soon"][..], &["0s"], &["25h"], &["-1m"], &[""], &["1m", "2m"]] {
            let error = of(bad).unwrap_err();
            assert!(error.contains("x-tollgate-batch"), "{bad:?}: {error}");
        }
    }
}
