//! A line by a format with variables, with nginx's escapes: `-` where there is nothing, `\xXX` for what would let a client write lines of its
//! own.

use template::Piece;

use super::format::TextFormat;
use super::variable::{Entry, LogVariable, append_known, append_late};
use crate::logging::field;

/// Appends a line.
pub(super) fn write(out: &mut Vec<u8>, format: &TextFormat, of: Entry<'_>) {
    let mut value = Vec::new();
    let mut number = 0;
    for piece in format.pieces() {
        let variable = match piece {
            Piece::Text(text) => {
                out.extend_from_slice(text.as_bytes());
                continue;
            }
            Piece::Variable(variable) => variable,
        };
        value.clear();
        match variable {
            LogVariable::Captured(_) => {
                let found = of.captured.and_then(|captured| captured.get(number));
                number += 1;
                match found {
                    Some(found) => escaped(out, found),
                    None => out.push(b'-'),
                }
                continue;
            }
            LogVariable::Known(known) => append_known(&mut value, known, of),
            LogVariable::Late(late) => append_late(&mut value, *late, of),
        }
        if value.is_empty() { out.push(b'-') } else { escaped(out, &value) }
    }
    out.push(b'\n');
}

/// Escapes as nginx does: quotes, backslashes and everything that is not printable ASCII.
fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\' {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\x");
            field::hex(out, byte, b"0123456789ABCDEF");
        }
    }
}
