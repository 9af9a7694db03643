//! A record as a list of fields: each a key, a length and a value. A reader passes over a field whose number it does not know, so
//! that neither an old nor a new field makes a record unreadable.
//!
//! | part | what |
//! |---|---|
//! | key | a varint: the number of the field times two; plus one where a reader that does not know the number must not pass over it |
//! | length | a varint: the bytes of the value |
//! | value | an integer as a zigzag varint, a text or bytes as they are, a list as one field per element, a struct as its fields |
//!
//! A value that is nothing (`None`, 0, an empty text, an empty list) is not written.

mod values;

/// The longest varint.
const VARINT: usize = 10;
/// A varint of the length of a struct, which is known only once the struct is written: always as long as the longest.
const PADDED: usize = 5;

/// A struct as fields.
pub(crate) trait Fields: Default {
    /// Appends every field that is something.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Takes the value of a field; `Some(false)` if it has no such field, `None` if the value is none of this field.
    fn set(&mut self, number: u64, value: &[u8]) -> Option<bool>;
}

/// A value of a field.
pub(crate) trait Coded: Sized {
    /// Whether it need not be written.
    fn is_nothing(&self) -> bool;

    /// Appends a field with this value.
    fn write(&self, number: u64, bytes: &mut Vec<u8>);

    /// The value; `None` if the bytes are none of this type.
    fn read(value: &[u8]) -> Option<Self>;

    /// Takes the value of one more field.
    fn merge(&mut self, value: &[u8]) -> Option<()> {
        *self = Self::read(value)?;
        Some(())
    }
}

/// Appends a field, unless it is nothing.
pub(crate) fn put<T: Coded>(value: &T, number: u64, bytes: &mut Vec<u8>) {
    if !value.is_nothing() {
        value.write(number, bytes);
    }
}

/// Reads a struct. `None` if the bytes are no fields, or one of them must not be passed over and is not known.
pub(crate) fn read<T: Fields>(mut bytes: &[u8]) -> Option<T> {
    let mut read = T::default();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let length = usize::try_from(varint(&mut bytes)?).ok()?;
        let (value, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        if !read.set(key >> 1, value)? && key & 1 == 1 {
            return None;
        }
    }
    Some(read)
}

/// Whether these fields have one with this number.
pub(crate) fn has(mut bytes: &[u8], number: u64) -> bool {
    while let Some(key) = varint(&mut bytes) {
        if key >> 1 == number {
            return true;
        }
        let length = varint(&mut bytes).and_then(|length| usize::try_from(length).ok());
        let Some((_, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else { return false };
        bytes = rest;
    }
    false
}

/// Implements [`Fields`] from the numbers of a struct's fields. A number is never given to another field.
macro_rules! fields {
    ($type:ty { $($number:literal = $($part:ident).+;)* }) => {
        impl $crate::encoding::fields::Fields for $type {
            fn write(&self, bytes: &mut Vec<u8>) {
                $($crate::encoding::fields::put(&self.$($part).+, $number, bytes);)*
            }

            fn set(&mut self, number: u64, value: &[u8]) -> Option<bool> {
                match number {
                    $($number => $crate::encoding::fields::Coded::merge(&mut self.$($part).+, value)?,)*
                    _ => return Some(false),
                }
                Some(true)
            }
        }
    };
}
pub(crate) use fields;

#[inline]
fn append_varint(number: u64, bytes: &mut Vec<u8>) {
    if number < 0x80 {
        bytes.push(low_bits(number));
    } else {
        append_long_varint(number, bytes);
    }
}

fn append_long_varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    bytes.push(low_bits(number));
}

fn low_bits(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}

/// Takes a varint from the beginning.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(VARINT) {
        let bits = u64::from(byte & 0x7f);
        let shift = u32::try_from(at * 7).ok()?;
        number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

fn append_sized(value: &[u8], number: u64, bytes: &mut Vec<u8>) {
    append_varint(number << 1, bytes);
    append_varint(value.len() as u64, bytes);
    bytes.extend_from_slice(value);
}

fn append_struct<T: Fields>(value: &T, number: u64, bytes: &mut Vec<u8>) {
    append_varint(number << 1, bytes);
    let at = bytes.len();
    bytes.extend_from_slice(&[0; PADDED]);
    value.write(bytes);
    let mut length = (bytes.len() - at - PADDED) as u64;
    for (index, byte) in bytes[at..at + PADDED].iter_mut().enumerate() {
        *byte = low_bits(length) | if index + 1 < PADDED { 0x80 } else { 0 };
        length >>= 7;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Old {
        number: i64,
    }

    fields! { Old { 3 = number; } }

    #[test]
    fn a_field_that_is_not_known_is_passed_over_unless_it_must_not_be() {
        let mut bytes = Vec::new();
        put(&5_i64, 3, &mut bytes);
        put(&String::from("of a later release"), 4, &mut bytes);
        assert_eq!(read::<Old>(&bytes), Some(Old { number: 5 }));
        append_varint(4 << 1 | 1, &mut bytes);
        bytes.push(0);
        assert_eq!(read::<Old>(&bytes), None);
        assert_eq!(read::<Old>(&[]), Some(Old { number: 0 }));
    }

    #[test]
    fn a_field_is_found_without_reading_the_others() {
        let mut bytes = Vec::new();
        put(&5_i64, 3, &mut bytes);
        put(&String::from("text"), 4, &mut bytes);
        put(&1_i64, 76, &mut bytes);
        assert_eq!([3, 4, 76].map(|number| has(&bytes, number)), [true; 3]);
        assert_eq!([1, 5, 77].map(|number| has(&bytes, number)), [false; 3]);
        assert!(!has(&[], 3) && !has(&bytes[..bytes.len() - 3], 76));
    }

    proptest! {
        #[test]
        fn a_number_comes_back(number: i64, unsigned: u64) {
            let mut bytes = Vec::new();
            number.write(1, &mut bytes);
            prop_assert_eq!(usize::from(bytes[1]), bytes.len() - 2);
            prop_assert_eq!(i64::read(&bytes[2..]), Some(number));
            bytes.clear();
            append_varint(unsigned, &mut bytes);
            prop_assert_eq!(varint(&mut &*bytes), Some(unsigned));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<Old>(&bytes);
            let _ = read::<crate::Row>(&bytes);
            let _ = read::<crate::BatchRow>(&bytes);
            let _ = has(&bytes, 76);
        }
    }
}
