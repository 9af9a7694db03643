//! The types of fields, each as bytes and back.

use std::net::IpAddr;

use uuid::Uuid;

use super::{Coded, append_sized, append_struct, append_varint, read, varint};
use crate::conversation::caller::Aside;
use crate::{Cost, Timestamp, UsageSource};

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
as_other!(Aside as i64, |value| value.code(), Self::from_code);

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
as_bytes!(crate::RowText, |text| text.is_empty(), |text| text.as_bytes(), |value| {
    std::str::from_utf8(value).ok().map(crate::RowText::new)
});
as_bytes!(Vec<u8>, Vec::is_empty, |bytes| bytes, |value| Some(value.to_vec()));
as_bytes!([u8; 32], |_| false, |hash| hash, |value| value.try_into().ok());
as_bytes!([u8; 16], |_| false, |digest| digest, |value| value.try_into().ok());
as_bytes!([u8; 8], |_| false, |id| id, |value| value.try_into().ok());
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

impl<T: Coded> Coded for Box<T> {
    fn is_nothing(&self) -> bool {
        T::is_nothing(self)
    }

    fn write(&self, number: u64, bytes: &mut Vec<u8>) {
        T::write(self, number, bytes);
    }

    fn read(value: &[u8]) -> Option<Self> {
        T::read(value).map(Self::new)
    }
}

/// A type that a record has any number of, each in a field of its own.
macro_rules! listed {
    ($($type:ty),*) => {$(
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

listed!([u8; 16], crate::Piece, crate::Billed, crate::row::RowAttempt, plugin_api::WindowCount);

/// A struct within a record.
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
    )*};
}

nested!(
    crate::Place,
    crate::Body,
    crate::Piece,
    crate::Billed,
    crate::row::RowSpans,
    crate::row::RowAttempt,
    plugin_api::WindowCount
);
