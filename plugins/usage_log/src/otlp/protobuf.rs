//! Writes the wire format of protocol buffers: what the messages of OTLP need of it.

/// Appends a message to a buffer, field by field.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// How a value is on the wire.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Sized = 2,
    Fixed32 = 5,
}

impl Message {
    /// Its bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number of a type that is a varint: `int64`, `uint32`, an enum, a bool.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.key(field, Wire::Varint);
        self.append_varint(value);
    }

    /// `fixed64`.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, Wire::Fixed64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `fixed32`.
    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, Wire::Fixed32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `string` or `bytes`.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, Wire::Sized);
        self.append_varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.key(field, Wire::Sized);
        let at = self.0.len();
        // nearly all lengths take one byte
        self.0.push(0);
        write(self);
        let mut length = self.0.len() - at - 1;
        if length <= 0x7f {
            self.0[at] = low_bits(length as u64);
            return;
        }
        let mut varint = [0; 10];
        let mut digits = 0;
        loop {
            varint[digits] = low_bits(length as u64) | if length > 0x7f { 0x80 } else { 0 };
            digits += 1;
            length >>= 7;
            if length == 0 {
                break;
            }
        }
        self.0.splice(at..=at, varint[..digits].iter().copied());
    }

    fn key(&mut self, field: u32, wire: Wire) {
        self.append_varint(u64::from(field << 3 | wire as u32));
    }

    fn append_varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(low_bits(value) | 0x80);
            value >>= 7;
        }
        self.0.push(low_bits(value));
    }
}

fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// The fields of a message, each with its number: those that are varints, and those that have a length. `None` for what is no message.
pub(super) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Varint(take_varint(&mut bytes)?),
            1 => Field::Bytes(take(&mut bytes, 8)?),
            2 => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                Field::Bytes(take(&mut bytes, length)?)
            }
            5 => Field::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        fields.push((key >> 3, field));
    }
    Some(fields)
}

/// The value of a field.
#[derive(Debug, PartialEq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for digit in 0..10 {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << (7 * digit);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_as_the_documentation_has_it() {
        let mut message = Message::default();
        message.varint(1, 150);
        message.bytes(2, b"testing");
        message.message(3, |inner| inner.varint(1, 150));
        message.fixed64(6, 1);
        message.fixed32(16, 2);
        let expected = b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01\x31\x01\0\0\0\0\0\0\0\x85\x01\x02\0\0\0";
        assert_eq!(message.into_bytes(), expected);
    }

    proptest! {
        #[test]
        fn messages_of_any_length_come_back(number: u64, text in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let mut message = Message::default();
            message.message(1, |inner| {
                inner.bytes(2, &text);
                inner.varint(3, number);
            });
            let bytes = message.into_bytes();
            let outer = fields(&bytes).unwrap();
            let Field::Bytes(inner) = outer[0].1 else { panic!("{outer:?}") };
            prop_assert_eq!(fields(inner).unwrap(), [(2, Field::Bytes(&text)), (3, Field::Varint(number))]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = fields(&bytes);
        }
    }
}
