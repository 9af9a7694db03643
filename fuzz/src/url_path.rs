//! The normal form of a path, against nginx's own state machine (`ngx_http_parse_complex_uri` with `merge_slashes on`), written
//! down from its documented states.

use url_path::normalize;

/// Checks one path.
pub fn check(input: &[u8]) {
    // a query is cut off before, and a request line has no control characters
    let is_path = |text: &&str| !text.contains(|c: char| c == '?' || c.is_ascii_control());
    let Some(path) = std::str::from_utf8(input).ok().filter(is_path) else { return };
    let ours = normalize(path);
    if !path.starts_with('/') {
        assert_eq!(ours.as_deref(), Ok(path), "what is no path is left alone");
        return;
    }
    let nginx = by_nginx(path.as_bytes()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(ours.as_deref().ok(), nginx.as_deref(), "{path:?}");
    if let Ok(normal) = &ours {
        assert!(normal.starts_with('/') && !normal.contains("//"), "{normal:?}");
        assert!(normal.split('/').all(|segment| segment != "." && segment != ".."), "{normal:?}");
        let escaped = normal.replace('%', "%25").replace('#', "%23");
        assert_eq!(normalize(&escaped).as_deref(), Ok(normal.as_ref()), "a normal form is its own");
    }
}

#[derive(Clone, Copy)]
enum State {
    Usual,
    Slash,
    Dot,
    DotDot,
}

/// The path as nginx's `$uri` has it; `None` where it answers 400.
pub fn by_nginx(path: &[u8]) -> Option<Vec<u8>> {
    let mut uri: Vec<u8> = Vec::new();
    let mut state = State::Usual;
    let mut rest = path.iter().copied().peekable();
    while let Some(raw) = rest.next() {
        let (byte, is_quoted) = match raw {
            b'#' => break,
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let byte = (digit(rest.next())? * 16 + digit(rest.next())?) as u8;
                (byte, true)
            }
            byte => (byte, false),
        };
        if byte == 0 {
            return None;
        }
        // a decoded `%`, `#` or `?` goes into the name, whatever came before
        if is_quoted && matches!(byte, b'%' | b'#' | b'?') {
            uri.push(byte);
            state = State::Usual;
            continue;
        }
        state = match (state, byte) {
            (State::Usual, b'/') => {
                uri.push(byte);
                State::Slash
            }
            (State::Slash, b'/') => State::Slash,
            (State::Slash, b'.') => {
                uri.push(byte);
                State::Dot
            }
            (State::Dot, b'/') => {
                uri.pop();
                State::Slash
            }
            (State::Dot, b'.') => {
                uri.push(byte);
                State::DotDot
            }
            (State::DotDot, b'/') => {
                leave(&mut uri)?;
                State::Slash
            }
            _ => {
                uri.push(byte);
                State::Usual
            }
        };
    }
    match state {
        State::Dot => drop(uri.pop()),
        State::DotDot => leave(&mut uri)?,
        State::Usual | State::Slash => {}
    }
    Some(uri)
}

/// Steps back over `/..` and the name before it; fails where there is none.
fn leave(uri: &mut Vec<u8>) -> Option<()> {
    let mut at = uri.len().checked_sub(4)?;
    while uri[at] != b'/' {
        at = at.checked_sub(1)?;
    }
    uri.truncate(at + 1);
    Some(())
}
