//! The local time as nginx writes it. The system's time zone is asked once a second, not for every line.

use std::cell::RefCell;
use std::time::SystemTime;

use chrono::{DateTime, Local};

thread_local! {
    static LAST: RefCell<Second> = const { RefCell::new(Second { unix: i64::MIN, common: String::new(), iso8601: String::new() }) };
}

/// A second, as text.
#[derive(Debug)]
struct Second {
    unix: i64,
    common: String,
    iso8601: String,
}

/// Appends a moment as `31/Jan/2026:23:59:59 +0100`.
pub(super) fn append_common(out: &mut Vec<u8>, time: SystemTime) {
    with(time, |second| out.extend_from_slice(second.common.as_bytes()));
}

/// Appends a moment as `2026-01-31T23:59:59+01:00`.
pub(super) fn append_iso8601(out: &mut Vec<u8>, time: SystemTime) {
    with(time, |second| out.extend_from_slice(second.iso8601.as_bytes()));
}

fn with(time: SystemTime, read: impl FnOnce(&Second)) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let unix = i64::try_from(since.as_secs()).unwrap_or_default();
    LAST.with_borrow_mut(|last| {
        if last.unix != unix {
            let local: DateTime<Local> = DateTime::from_timestamp(unix, 0).unwrap_or_default().into();
            *last = Second {
                unix,
                common: local.format("%d/%b/%Y:%H:%M:%S %z").to_string(),
                iso8601: local.format("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            };
        }
        read(last);
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_written_as_nginx_does() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let local: DateTime<Local> = time.into();
        let (mut common, mut iso8601) = (Vec::new(), Vec::new());
        append_common(&mut common, time);
        append_iso8601(&mut iso8601, time);
        assert_eq!(String::from_utf8(common).unwrap(), local.format("%d/%b/%Y:%T %z").to_string());
        assert_eq!(String::from_utf8(iso8601).unwrap(), local.to_rfc3339());
    }
}
