//! `expires`: how long a response may be kept.

use super::units;

const EPOCH: &str = "Thu, 01 Jan 1970 00:00:01 GMT";
const NEVER: &str = "Thu, 31 Dec 2037 23:55:55 GMT";

/// The headers that it makes; `None` as a value removes one. `None` where it depends on more than itself.
///
/// `Cache-Control: max-age` says all that `Expires` does; one that the upstream has sent would contradict it.
pub(super) fn headers(args: &[String]) -> Option<Vec<(&'static str, Option<String>)>> {
    let [value] = args else { return None };
    let fixed = |expires: &str, control: &str| {
        Some(vec![("Expires", Some(expires.to_owned())), ("Cache-Control", Some(control.to_owned()))])
    };
    match value.as_str() {
        "off" => Some(Vec::new()),
        "epoch" => fixed(EPOCH, "no-cache"),
        "max" => fixed(NEVER, "max-age=315360000"),
        value if value.starts_with('-') => units::milliseconds(&value[1..]).and_then(|_| fixed(EPOCH, "no-cache")),
        value => {
            let seconds = units::milliseconds(value)? / 1000;
            Some(vec![("Cache-Control", Some(format!("max-age={seconds}"))), ("Expires", None)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_becomes_cache_control() {
        let control = |value: &str| {
            let headers = headers(&[value.to_owned()])?;
            headers.into_iter().find(|(name, _)| *name == "Cache-Control").and_then(|(_, value)| value)
        };
        assert_eq!(control("7d").as_deref(), Some("max-age=604800"));
        assert_eq!(control("-1").as_deref(), Some("no-cache"));
        assert_eq!(control("max").as_deref(), Some("max-age=315360000"));
        assert_eq!(control("off"), None);
        assert!(headers(&["@15h30m".to_owned()]).is_none() && headers(&["$x".to_owned()]).is_none());
    }
}
