//! The attributes of a span, or of what makes spans.

use super::protobuf::Message;

/// Writes attributes into a field of a message.
pub(super) struct Attributes<'a> {
    message: &'a mut Message,
    field: u32,
}

/// The fields of `KeyValue`, `AnyValue` and `ArrayValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE: u32 = 4;
const ARRAY: u32 = 5;
const VALUES: u32 = 1;

impl<'a> Attributes<'a> {
    pub(super) fn new(message: &'a mut Message, field: u32) -> Self {
        Self { message, field }
    }

    /// A text, unless it is not known.
    pub(super) fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(key, |any| any.bytes(STRING, value.as_bytes()));
        }
    }

    /// A whole number, unless it is not known.
    pub(super) fn int(&mut self, key: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.put(key, |any| any.varint(INT, value.cast_unsigned()));
        }
    }

    /// A number, unless it is not known.
    pub(super) fn double(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.put(key, |any| any.fixed64(DOUBLE, value.to_bits()));
        }
    }

    /// Yes or no, unless it is not known.
    pub(super) fn bool(&mut self, key: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.put(key, |any| any.varint(BOOL, value.into()));
        }
    }

    /// A list of one text, unless it is not known.
    pub(super) fn list(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(key, |any| {
                any.message(ARRAY, |array| array.message(VALUES, |any| any.bytes(STRING, value.as_bytes())));
            });
        }
    }

    fn put(&mut self, key: &str, value: impl FnOnce(&mut Message)) {
        self.message.message(self.field, |pair| {
            pair.bytes(KEY, key.as_bytes());
            pair.message(VALUE, value);
        });
    }
}
