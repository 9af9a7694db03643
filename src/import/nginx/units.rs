//! nginx's times and sizes → ours.

/// A span of time: `60`, `60s`, `1h30m`, `500ms`; `None` where it is none. What a variable of the environment holds stays its business.
pub(super) fn period(text: &str) -> Option<String> {
    if let Some((variable, unit)) = environment(text) {
        let unit = match unit {
            "" => "",
            "s" | "m" | "h" | "d" | "ms" => unit,
            _ => return None,
        };
        return Some(format!("{variable}{unit}"));
    }
    let milliseconds = milliseconds(text)?;
    Some(match milliseconds {
        0 => "0s".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    })
}

/// The milliseconds of a span of time.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let mut sum: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().ok()?;
        let behind = &rest[digits..];
        let (factor, length) = match behind.as_bytes() {
            [b'm', b's', ..] => (1, 2),
            [] => (1000, 0),
            [b's', ..] => (1000, 1),
            [b'm', ..] => (60_000, 1),
            [b'h', ..] => (3_600_000, 1),
            [b'd', ..] => (86_400_000, 1),
            [b'w', ..] => (7 * 86_400_000, 1),
            [b'M', ..] => (30 * 86_400_000, 1),
            [b'y', ..] => (365 * 86_400_000, 1),
            [b' ', ..] => (1000, 1),
            _ => return None,
        };
        sum = sum.checked_add(number.checked_mul(factor)?)?;
        rest = behind[length..].trim_start();
    }
    Some(sum)
}

/// A size: `20m`, `8k`, `1G`, `512`; `None` where it is none.
pub(super) fn size(text: &str) -> Option<String> {
    if let Some((variable, unit)) = environment(text) {
        let unit = match unit {
            "" => "",
            "k" | "K" => "KiB",
            "m" | "M" => "MiB",
            "g" | "G" => "GiB",
            _ => return None,
        };
        return Some(format!("{variable}{unit}"));
    }
    let bytes = bytes(text)?;
    Some(match bytes {
        0 => "0".to_owned(),
        n if n % (1 << 30) == 0 => format!("{}GiB", n >> 30),
        n if n % (1 << 20) == 0 => format!("{}MiB", n >> 20),
        n if n % (1 << 10) == 0 => format!("{}KiB", n >> 10),
        n => n.to_string(),
    })
}

/// The bytes of a size.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// A variable of the environment and the unit behind it.
fn environment(text: &str) -> Option<(&str, &str)> {
    text.starts_with("${").then(|| text.split_at(text.find('}').map_or(text.len(), |at| at + 1)))
}

/// Whether a value is a variable of the environment, whose own unit may be nginx's.
pub(super) fn is_of_environment(value: &str) -> bool {
    value.starts_with("${") && value.ends_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_nginx_reads_them() {
        for (text, expected) in [
            ("60", Some("1m")),
            ("75s", Some("75s")),
            ("1h30m", Some("90m")),
            ("1h 30m", Some("90m")),
            ("500ms", Some("500ms")),
            ("0", Some("0s")),
            ("${T}s", Some("${T}s")),
            ("${T}", Some("${T}")),
            ("${T}y", None),
            ("x", None),
            ("", None),
            ("5x", None),
        ] {
            assert_eq!(period(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_nginx_reads_them() {
        for (text, expected) in [
            ("20m", Some("20MiB")),
            ("1024M", Some("1GiB")),
            ("8k", Some("8KiB")),
            ("1000", Some("1000")),
            ("0", Some("0")),
            ("5G", Some("5GiB")),
            ("${S}", Some("${S}")),
            ("${S}m", Some("${S}MiB")),
            ("x", None),
            ("-1", None),
        ] {
            assert_eq!(size(text).as_deref(), expected, "{text}");
        }
    }
}
