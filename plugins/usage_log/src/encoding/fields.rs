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

use std::borrow::Cow;
use std::net::IpAddr;

use uuid::Uuid;

use crate::{Cost, Timestamp, UsageSource};

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

fn append_varint(mut number: u64, bytes: &mut Vec<u8>) {
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

impl Coded for i64 {
    fn is_nothing(&self) -> bool {
        *self == 0
    }

    fn write(&self, number: u64, bytes: &mut Vec<u8>) {
        let zigzag = ((self << 1) ^ (self >> 63)).cast_unsigned();
        append_varint(number << 1, bytes);
        let length = (64 - (zigzag | 1).leading_zeros()).div_ceil(7);
        bytes.push(length.to_le_bytes()[0]);
        append_varint(zigzag, bytes);
    }

    fn read(mut value: &[u8]) -> Option<Self> {
        let zigzag = varint(&mut value)?;
        value.is_empty().then_some((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
    }
}

/// Implements [`Coded`] for a type that is another one in the journal.
macro_rules! as_other {
    ($type:ty as $other:ty, $to:expr, $from:expr) => {
        impl Coded for $type {
            fn is_nothing(&self) -> bool {
                let to: fn(&$type) -> $other = $to;
                to(self).is_nothing()
            }

            fn write(&self, number: u64, bytes: &mut Vec<u8>) {
                let to: fn(&$type) -> $other = $to;
                Coded::write(&to(self), number, bytes);
            }

            fn read(value: &[u8]) -> Option<Self> {
                let from: fn($other) -> Option<$type> = $from;
                from(Coded::read(value)?)
            }
        }
    };
}

as_other!(i32 as i64, |value| i64::from(*value), |value| value.try_into().ok());
as_other!(i16 as i64, |value| i64::from(*value), |value| value.try_into().ok());
as_other!(bool as i64, |value| i64::from(*value), |value| (value >> 1 == 0).then_some(value == 1));
as_other!(Timestamp as i64, |value| value.micros(), |value| Some(Self::from_micros(value)));
as_other!(Cost as i64, |value| value.picos(), |value| Some(Self::from_picos(value.into())));
as_other!(UsageSource as i64, |value| value.code(), Self::from_code);

/// Implements [`Coded`] for a type that is bytes.
macro_rules! as_bytes {
    ($type:ty, $nothing:expr, $to:expr, $from:expr) => {
        impl Coded for $type {
            fn is_nothing(&self) -> bool {
                let nothing: fn(&$type) -> bool = $nothing;
                nothing(self)
            }

            fn write(&self, number: u64, bytes: &mut Vec<u8>) {
                let to: for<'a> fn(&'a $type) -> &'a [u8] = $to;
                append_sized(to(self), number, bytes);
            }

            fn read(value: &[u8]) -> Option<Self> {
                let from: fn(&[u8]) -> Option<$type> = $from;
                from(value)
            }
        }
    };
}

as_bytes!(String, |text| text.is_empty(), |text| text.as_bytes(), |value| String::from_utf8(value.into()).ok());
as_bytes!(Cow<'static, str>, |text| text.is_empty(), |text| text.as_bytes(), |value| {
    String::from_utf8(value.into()).ok().map(Cow::Owned)
});
as_bytes!(Vec<u8>, Vec::is_empty, |bytes| bytes, |value| Some(value.to_vec()));
as_bytes!([u8; 32], |_| false, |hash| hash, |value| value.try_into().ok());
as_bytes!(Uuid, |id| id.is_nil(), |id| id.as_bytes(), |value| Self::from_slice(value).ok());

impl Coded for IpAddr {
    fn is_nothing(&self) -> bool {
        false
    }

    fn write(&self, number: u64, bytes: &mut Vec<u8>) {
        match self {
            Self::V4(address) => append_sized(&address.octets(), number, bytes),
            Self::V6(address) => append_sized(&address.octets(), number, bytes),
        }
    }

    fn read(value: &[u8]) -> Option<Self> {
        let v4 = <[u8; 4]>::try_from(value).map(Self::from);
        v4.or_else(|_| <[u8; 16]>::try_from(value).map(Self::from)).ok()
    }
}

impl<T: Coded> Coded for Option<T> {
    fn is_nothing(&self) -> bool {
        self.is_none()
    }

    fn write(&self, number: u64, bytes: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write(number, bytes);
        }
    }

    fn read(value: &[u8]) -> Option<Self> {
        T::read(value).map(Some)
    }
}

/// A struct within a record, optional or in a list.
macro_rules! nested {
    ($($type:ty),*) => {$(
        impl Coded for $type {
            fn is_nothing(&self) -> bool {
                false
            }

            fn write(&self, number: u64, bytes: &mut Vec<u8>) {
                append_struct(self, number, bytes);
            }

            fn read(value: &[u8]) -> Option<Self> {
                read(value)
            }
        }

        impl Coded for Vec<$type> {
            fn is_nothing(&self) -> bool {
                self.is_empty()
            }

            fn write(&self, number: u64, bytes: &mut Vec<u8>) {
                self.iter().for_each(|one| Coded::write(one, number, bytes));
            }

            fn read(value: &[u8]) -> Option<Self> {
                Coded::read(value).map(|one| vec![one])
            }

            fn merge(&mut self, value: &[u8]) -> Option<()> {
                self.push(Coded::read(value)?);
                Some(())
            }
        }
    )*};
}

nested!(crate::Body, crate::Piece, crate::Billed);

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
        }
    }
}
