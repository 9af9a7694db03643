//! Which headers of a request are left out on the way upstream by their names, as nginx leaves them out: names that CGI and its successors
//! cannot tell from others, and names that are odd.

use http::HeaderName;

/// Which names pass although they are unusual.
#[derive(Clone, Debug, Default)]
pub struct HeaderNames {
    /// Those with underscores.
    pub underscores: bool,
    /// All others.
    pub invalid: bool,
    /// These, whatever they look like.
    pub known: Vec<HeaderName>,
}

impl HeaderNames {
    /// Whether a header of this name goes upstream. As in nginx, names with underscores pass with all the others, too.
    #[must_use]
    pub fn pass(&self, name: &HeaderName) -> bool {
        is_plain(name.as_str())
            || self.invalid
            || self.underscores && name.as_str().bytes().all(|byte| is_plain_byte(byte) || byte == b'_')
            || self.known.contains(name)
    }
}

/// Whether a name has letters, digits and hyphens only.
#[must_use]
#[inline]
pub fn is_plain(name: &str) -> bool {
    name.bytes().all(is_plain_byte)
}

#[inline]
fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_passes_as_nginx_lets_it_pass() {
        let known = vec![HeaderName::from_static("session_id")];
        let names = |underscores, invalid| HeaderNames { underscores, invalid, known: known.clone() };
        for (name, by_default, underscores, invalid) in [
            ("x-real-ip", true, true, true),
            ("x_real_ip", false, true, true),
            ("x.dot", false, false, true),
            ("x_a.b", false, false, true),
            ("session_id", true, true, true),
        ] {
            let name = HeaderName::from_static(name);
            let passes = [names(false, false), names(true, false), names(false, true)].map(|names| names.pass(&name));
            assert_eq!(passes, [by_default, underscores, invalid], "{name}");
        }
    }
}
