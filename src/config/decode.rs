//! Tree → types, through serde. Every fault carries the value it is about.

use std::collections::{HashMap, HashSet};

use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::fault::{Fault, Place, What, unknown_choice, wrong_choice};
use super::missing::Assumed;
use super::node::{Entry, Id, Kind, Node, Scalar, Value};
use crate::located::LOCATED;

/// What is not taken from the tree, because it was found to be wrong or missing.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// Values that count as not there.
    pub unknown: HashSet<Id>,
    /// Keys that count as there, of the mapping with this number.
    pub assumed: HashMap<Id, Vec<&'static str>>,
}

/// Makes a type of a value.
#[derive(Clone, Copy)]
pub(super) struct Decoder<'de> {
    pub node: &'de Node,
    pub gaps: &'de Gaps,
}

impl<'de> Decoder<'de> {
    /// Makes what the seed stands for; a fault without a place is this value's.
    fn make<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        seed.deserialize(self).map_err(|fault| fault.at(Place::Value(self.node.id)))
    }

    fn of(self, node: &'de Node) -> Self {
        Self { node, ..self }
    }

    fn scalar(self, expected: &dyn Expected) -> Result<&'de Scalar, Fault> {
        self.node.scalar().ok_or_else(|| Fault::wrong(expected))
    }

    /// Entries of a mapping. Where nothing stands, its keys may be meant to be commented out: an empty one.
    fn mapping<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if !matches!(self.node.kind, Kind::Mapping(_)) && !self.node.is_nothing() {
            return Err(Fault::wrong(&visitor));
        }
        let assumed = self.gaps.assumed.get(&self.node.id).map_or(&[][..], Vec::as_slice);
        visitor.visit_map(Entries { decoder: self, entries: self.node.entries().iter(), assumed, value: None })
    }

    /// Items of a list; an empty one where nothing stands.
    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if !matches!(self.node.kind, Kind::List(_)) && !self.node.is_nothing() {
            return Err(Fault::wrong(&visitor));
        }
        visitor.visit_seq(Items { decoder: self, items: self.node.items().iter() })
    }
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.kind {
            Kind::List(_) => self.list(visitor),
            Kind::Mapping(_) => self.mapping(visitor),
            Kind::Scalar(scalar) => match scalar.lenient_value() {
                Value::Nothing => visitor.visit_unit(),
                Value::Bool(value) => visitor.visit_bool(value),
                Value::Unsigned(value) => visitor.visit_u64(value),
                Value::Signed(value) => visitor.visit_i64(value),
                Value::Float(value) => visitor.visit_f64(value),
                Value::Text(text) => visitor.visit_borrowed_str(text),
            },
        }
    }

    /// Text is whatever is written: a size of `512` needs no quotes.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let scalar = self.scalar(&visitor)?;
        if scalar.value() == Value::Nothing {
            return Err(Fault::wrong(&visitor));
        }
        let wrong = Fault::wrong(&visitor);
        visitor.visit_borrowed_str(&scalar.text).map_err(|fault: Fault| match &fault.what {
            // the standard library's types do not say what they found
            What::Said(said) if !said.contains('`') => wrong,
            _ => fault,
        })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.node.is_nothing() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        if name == LOCATED {
            return visitor.visit_seq(Located { decoder: self, part: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.mapping(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.mapping(visitor)
    }

    /// A name alone, or a mapping of one name to what belongs to it.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        noun: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let is_known = |name: &str| names.contains(&name);
        match &self.node.kind {
            Kind::Scalar(scalar) if scalar.value() == Value::Nothing => Err(wrong_choice(names)),
            Kind::Scalar(scalar) if !is_known(&scalar.text) => Err(unknown_choice("value", scalar, names)),
            Kind::Scalar(scalar) => visitor.visit_enum(Choice { decoder: self, name: &scalar.text, settings: None }),
            Kind::List(_) => Err(wrong_choice(names)),
            Kind::Mapping(entries) => match entries.as_slice() {
                [Entry { value, .. }] if self.gaps.unknown.contains(&value.id) => Err(Fault::consequence()),
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
                    let found = super::report::listed(&keys);
                    Err(Fault::said(format!("found {} keys, {found}; wanted the name of one {noun}", keys.len())))
                }
            },
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Entries<'de> {
    decoder: Decoder<'de>,
    entries: std::slice::Iter<'de, Entry>,
    assumed: &'de [&'static str],
    /// The value of the key that was last read; none for an assumed one.
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let gaps = self.decoder.gaps;
        if let Some(entry) = self.entries.find(|entry| !gaps.unknown.contains(&entry.value.id)) {
            self.value = Some(&entry.value);
            let key: StrDeserializer<'_, Fault> = entry.key.text.as_str().into_deserializer();
            return seed.deserialize(key).map(Some).map_err(|fault| fault.at(Place::Key(entry.value.id)));
        }
        let Some((key, rest)) = self.assumed.split_first() else { return Ok(None) };
        (self.assumed, self.value) = (rest, None);
        let key: StrDeserializer<'_, Fault> = (*key).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        match self.value {
            Some(value) => self.decoder.of(value).make(seed),
            None => seed.deserialize(Assumed).map_err(|_| Fault::consequence()),
        }
    }
}

struct Items<'de> {
    decoder: Decoder<'de>,
    items: std::slice::Iter<'de, Node>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let gaps = self.decoder.gaps;
        match self.items.find(|item| !gaps.unknown.contains(&item.id)) {
            Some(item) => self.decoder.of(item).make(seed).map(Some),
            None => Ok(None),
        }
    }
}

/// Line, column and value.
struct Located<'de> {
    decoder: Decoder<'de>,
    part: u8,
}

impl<'de> SeqAccess<'de> for Located<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let at = self.decoder.node.mark.at;
        let place = |number: usize| -> UsizeDeserializer<Fault> { number.into_deserializer() };
        self.part += 1;
        match self.part {
            1 => seed.deserialize(place(at.line)).map(Some),
            2 => seed.deserialize(place(at.column)).map(Some),
            3 => self.decoder.make(seed).map(Some),
            _ => Ok(None),
        }
    }
}

/// One of an enum's names, with what belongs to it.
struct Choice<'de> {
    decoder: Decoder<'de>,
    name: &'de str,
    settings: Option<&'de Node>,
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let name: StrDeserializer<'_, Fault> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.settings {
            None => Ok(()),
            Some(_) => Err(Fault::said(format!("`{0}` has no settings; write `{0}` alone", self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let lacking = || Fault::said(format!("`{0}` needs settings; write `{0}: {{ … }}`", self.name));
        self.decoder.of(self.settings.ok_or_else(lacking)?).make(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        Err(Fault::wrong(&visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        let lacking = || Fault::said(format!("`{0}` needs settings; write `{0}: {{ … }}`", self.name));
        let settings = self.decoder.of(self.settings.ok_or_else(lacking)?);
        settings.mapping(visitor).map_err(|fault| fault.at(Place::Value(settings.node.id)))
    }
}
