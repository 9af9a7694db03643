//! The serde `Deserializer` over a tree of values. Every error carries the value it is about.

mod choice;

use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::decode_error::{DecodeError, ErrorKind, Place, unknown_choice, wrong_choice};
use crate::located::LOCATED;
use crate::node::{Entry, Kind, Node, Scalar, Value};
use crate::placeholder::Placeholder;
use crate::recovery::Recovery;

use choice::{Choice, Name};

/// Reads a type from a value.
#[derive(Clone, Copy)]
pub(crate) struct Decoder<'de> {
    pub node: &'de Node,
    pub recovery: &'de Recovery<'de>,
}

impl<'de> Decoder<'de> {
    /// Reads the type of the seed. An error without a place is this value's.
    fn read<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.placed(seed.deserialize(self))
    }

    fn placed<T>(self, read: Result<T, DecodeError>) -> Result<T, DecodeError> {
        read.map_err(|error| self.recovery.placed(error, Place::Value(self.node.id)))
    }

    fn of(self, node: &'de Node) -> Self {
        Self { node, ..self }
    }

    fn scalar(self, expected: &dyn Expected) -> Result<&'de Scalar, DecodeError> {
        self.node.scalar().ok_or_else(|| DecodeError::wrong(expected))
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let scalar = self.scalar(&visitor)?;
        if scalar.value() == Value::Nothing {
            return Err(DecodeError::wrong(&visitor));
        }
        let wrong = DecodeError::wrong(&visitor);
        visitor.visit_borrowed_str(&scalar.text).map_err(|error: DecodeError| match &error.kind {
            // the standard library's types do not say what they found
            ErrorKind::Custom(message) if !message.contains('`') => wrong,
            _ => error,
        })
    }

    /// Entries of a mapping. Where nothing stands, its keys may be meant to be commented out: an empty one.
    fn mapping<V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if !matches!(self.node.kind, Kind::Mapping(_)) && !self.node.is_nothing() {
            return Err(DecodeError::wrong(&visitor));
        }
        let placeholders = self.recovery.placeholders.get(&self.node.id).map_or(&[][..], Vec::as_slice);
        let entries = self.node.entries().iter();
        visitor.visit_map(Entries { decoder: self, fields, entries, placeholders, value: None })
    }

    /// Items of a list; an empty one where nothing stands.
    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if !matches!(self.node.kind, Kind::List(_)) && !self.node.is_nothing() {
            return Err(DecodeError::wrong(&visitor));
        }
        visitor.visit_seq(Items { decoder: self, items: self.node.items().iter() })
    }
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.placed(match &self.node.kind {
            Kind::List(_) => self.list(visitor),
            // what decides by the kind of value reads its settings from here, such as `off` or a mapping
            Kind::Mapping(_) => self.mapping(None, visitor),
            Kind::Scalar(scalar) => match scalar.lenient_value() {
                Value::Nothing => visitor.visit_unit(),
                Value::Bool(value) => visitor.visit_bool(value),
                Value::Unsigned(value) => visitor.visit_u64(value),
                Value::Signed(value) => visitor.visit_i64(value),
                Value::Float(value) => visitor.visit_f64(value),
                Value::Text(text) => visitor.visit_borrowed_str(text),
            },
        })
    }

    /// Text is whatever is written: a size of `512` needs no quotes.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.placed(self.text(visitor))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.placed(if self.node.is_nothing() { visitor.visit_none() } else { visitor.visit_some(self) })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == LOCATED {
            return self.placed(visitor.visit_seq(Located { decoder: self, part: 0 }));
        }
        self.placed(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.placed(self.list(visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.placed(self.mapping(Some(&[]), visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.placed(self.mapping(Some(fields), visitor))
    }

    /// A name alone, or a mapping of one name to what belongs to it.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        noun: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let is_known = |name: &str| names.contains(&name);
        self.placed(match &self.node.kind {
            Kind::Scalar(scalar) if scalar.value() == Value::Nothing => Err(wrong_choice(names)),
            Kind::Scalar(scalar) if !is_known(&scalar.text) => Err(unknown_choice("value", scalar, names)),
            Kind::Scalar(scalar) => visitor.visit_enum(Choice { decoder: self, name: &scalar.text, settings: None }),
            Kind::List(_) => Err(wrong_choice(names)),
            Kind::Mapping(entries) => match entries.as_slice() {
                [Entry { value, .. }] if self.recovery.excluded.contains(&value.id) => Err(DecodeError::suppressed()),
                [Entry { key, value }] if is_known(&key.text) => {
                    visitor.visit_enum(Choice { decoder: self, name: &key.text, settings: Some(value) })
                }
                [Entry { key, value }] => {
                    let name = Scalar { text: key.text.clone(), written: None, plain: true };
                    Err(unknown_choice(noun, &name, names).at(Place::Key(value.id)))
                }
                [] => Err(wrong_choice(names)),
                entries => {
                    let keys: Vec<&str> = entries.iter().map(|entry| entry.key.text.as_str()).collect();
                    let found = crate::names::list(&keys);
                    Err(DecodeError::message(format!(
                        "found {} keys, {found}; wanted the name of one {noun}",
                        keys.len()
                    )))
                }
            },
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Entries<'de> {
    decoder: Decoder<'de>,
    fields: Option<&'static [&'static str]>,
    entries: std::slice::Iter<'de, Entry>,
    placeholders: &'de [&'static str],
    /// The value of the key that was last read; none for a placeholder.
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let recovery = self.decoder.recovery;
        if let Some(entry) = self.entries.find(|entry| !recovery.excluded.contains(&entry.value.id)) {
            self.value = Some(&entry.value);
            recovery.note_old_name(entry.value.id, &entry.key.text, self.fields);
            let key = Name { text: &entry.key.text, place: Place::Key(entry.value.id), recovery };
            return key.read(seed).map(Some);
        }
        let Some((key, rest)) = self.placeholders.split_first() else { return Ok(None) };
        (self.placeholders, self.value) = (rest, None);
        let key: StrDeserializer<'_, DecodeError> = (*key).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Some(value) => self.decoder.of(value).read(seed),
            None => self.decoder.placed(seed.deserialize(Placeholder).map_err(|_| DecodeError::suppressed())),
        }
    }
}

struct Items<'de> {
    decoder: Decoder<'de>,
    items: std::slice::Iter<'de, Node>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let recovery = self.decoder.recovery;
        match self.items.find(|item| !recovery.excluded.contains(&item.id)) {
            Some(item) => self.decoder.of(item).read(seed).map(Some),
            None => Ok(None),
        }
    }
}

/// File, line, column and value.
struct Located<'de> {
    decoder: Decoder<'de>,
    part: u8,
}

impl<'de> SeqAccess<'de> for Located<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DecodeError> {
        let at = self.decoder.node.mark.at;
        let place = |number: usize| -> UsizeDeserializer<DecodeError> { number.into_deserializer() };
        self.part += 1;
        match self.part {
            1 => seed.deserialize(place(at.file)).map(Some),
            2 => seed.deserialize(place(at.line)).map(Some),
            3 => seed.deserialize(place(at.column)).map(Some),
            4 => self.decoder.read(seed).map(Some),
            _ => Ok(None),
        }
    }
}
