//! The pieces of a log line: JSON strings, numbers, points in time. Knows no line as a whole.

use std::cell::Cell;
use std::fmt;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::SystemTime;

/// Writes a JSON string, quotes included.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escaped(out, text);
    out.push(b'"');
}

/// The longest text in a line of the log, in bytes, before what of it is escaped.
const LONGEST: usize = 4096;

/// Writes what something displays as a JSON string, quotes included, cut where it is too long.
pub(crate) fn displayed(out: &mut Vec<u8>, value: impl fmt::Display) {
    out.push(b'"');
    bounded(value, |text| escaped(out, text));
    out.push(b'"');
}

/// Hands on what something displays, piece by piece, and no more than a line has room for.
pub(crate) fn bounded(value: impl fmt::Display, piece: impl FnMut(&str)) {
    // a value that fails to display itself is cut where it failed
    let _ = fmt::Write::write_fmt(&mut Bounded { piece, room: LONGEST }, format_args!("{value}"));
}

/// Writes an address as a JSON string, quotes included. IPv4 does without the formatting machinery, which costs ten times as much.
pub(crate) fn address(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(v4) = address else { return displayed(out, address) };
    let [a, b, c, d] = v4.octets();
    out.push(b'"');
    for (octet, behind) in [(a, b'.'), (b, b'.'), (c, b'.'), (d, b'"')] {
        number(out, octet.into());
        out.push(behind);
    }
}

/// Writes a whole number.
pub(crate) fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20]; // as many as the largest has
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The length of a point in time as text.
pub(crate) const TIME_LENGTH: usize = 24;

/// A point in time as RFC 3339 has it, in UTC, to the millisecond: `2026-01-31T23:59:59.999Z`. A clock that is before 1970
/// or past 9999 is wrong anyhow; it shows the first moment of 1970.
pub(crate) fn rfc3339(time: SystemTime) -> [u8; TIME_LENGTH] {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok().filter(|since| since.as_secs() < YEAR_10000);
    let since = since.unwrap_or_default();
    let (second, mut text) = SECOND.get();
    if second != since.as_secs() {
        // fits by the length of each of its parts
        let _ = write!(&mut text[..], "{}", humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since));
        SECOND.set((since.as_secs(), text));
    }
    for (at, unit) in [(20, 100), (21, 10), (22, 1)] {
        text[at] = b'0' + (since.subsec_millis() / unit % 10) as u8;
    }
    text
}

thread_local! {
    /// The second that was written last, and a point in time within it.
    static SECOND: Cell<(u64, [u8; TIME_LENGTH])> = const { Cell::new((u64::MAX, [0; TIME_LENGTH])) };
}

/// In seconds since 1970.
const YEAR_10000: u64 = 253_402_300_800;

/// Writes the inside of a JSON string (RFC 8259, section 7).
fn escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // nearly all need nothing, and this is one look at many bytes at once
    let clean = |clean: bool, byte: &u8| clean & (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\');
    if bytes.iter().fold(true, clean) {
        out.extend_from_slice(bytes);
        return;
    }
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(b"00");
            hex(out, *byte, b"0123456789abcdef");
        }
        plain_from = at + 1;
    }
    out.extend_from_slice(&bytes[plain_from..]);
}

/// Writes a byte as two digits.
pub(crate) fn hex(out: &mut Vec<u8>, byte: u8, digits: &[u8; 16]) {
    out.push(digits[usize::from(byte >> 4)]);
    out.push(digits[usize::from(byte & 15)]);
}

/// Hands on what is written to it until there is no more room.
struct Bounded<F> {
    piece: F,
    room: usize,
}

impl<F: FnMut(&str)> fmt::Write for Bounded<F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(room) = self.room.checked_sub(text.len()) else {
            (self.piece)(&text[..text.floor_char_boundary(self.room)]);
            (self.piece)("…");
            return Err(fmt::Error);
        };
        self.room = room;
        (self.piece)(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn any_text_survives_as_a_json_string() {
        let all: String = (0..0x300).filter_map(char::from_u32).chain("\u{2028}\u{feff}😀".chars()).collect();
        for text in ["", "plain", "\"\\\"", "\r\n\t\0", "end\u{1b}", &all] {
            let json = written(|out| string(out, text));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
            assert!(!json.contains('\n'), "{json}");
            assert_eq!(written(|out| displayed(out, text)), json);
        }
    }

    #[test]
    fn what_is_displayed_is_cut_between_characters_where_it_is_too_long() {
        let whole = "é".repeat(LONGEST / 2);
        assert_eq!(written(|out| displayed(out, &whole)), format!("\"{whole}\""));
        for long in [format!("{whole}a"), format!("a{whole}"), "\n".repeat(1 << 20)] {
            let json = written(|out| displayed(out, &long));
            assert!(json.len() <= 2 * LONGEST + 5);
            let text = serde_json::from_str::<String>(&json).unwrap();
            assert!(text.strip_suffix('…').is_some_and(|cut| long.starts_with(cut)));
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        for n in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(written(|out| number(out, n)), n.to_string());
        }
    }

    #[test]
    fn addresses_are_written_as_they_are_displayed() {
        for text in ["0.0.0.0", "127.0.0.1", "255.10.9.100", "::1", "2001:db8::7", "::ffff:192.0.2.1"] {
            let shown: IpAddr = text.parse().unwrap();
            assert_eq!(written(|out| address(out, shown)), format!("\"{shown}\""));
        }
    }

    #[test]
    fn a_point_in_time_is_written_in_utc_and_a_wrong_clock_does_no_harm() {
        let at = |offset: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(offset);
        assert_eq!(&rfc3339(at(1_700_000_000_007)), b"2023-11-14T22:13:20.007Z");
        assert_eq!(&rfc3339(at(1_700_000_000_999)), b"2023-11-14T22:13:20.999Z");
        assert_eq!(&rfc3339(at(1_700_000_001_000)), b"2023-11-14T22:13:21.000Z");
        assert_eq!(&rfc3339(at(0) - Duration::from_secs(1)), b"1970-01-01T00:00:00.000Z");
        assert_eq!(&rfc3339(at(300_000_000_000_000)), b"1970-01-01T00:00:00.000Z");
    }
}
