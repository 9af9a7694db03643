//! Names as serde reads them: the keys of mappings, and those of an enum's variants with what belongs to them.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::Decoder;
use crate::decode_error::{DecodeError, Place};
use crate::node::Node;
use crate::recovery::Recovery;

/// A key, or the name of a choice.
pub(super) struct Name<'de> {
    pub text: &'de str,
    pub place: Place,
    pub recovery: &'de Recovery<'de>,
}

impl<'de> Name<'de> {
    pub fn read<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        let Self { place, recovery, .. } = self;
        seed.deserialize(self).map_err(|error| recovery.placed(error, place))
    }
}

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_borrowed_str(self.text).map_err(|error| self.recovery.placed(error, self.place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let name: StrDeserializer<'_, DecodeError> = self.text.into_deserializer();
        visitor.visit_enum(name).map_err(|error| self.recovery.placed(error, self.place))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// One of an enum's names, with what belongs to it.
#[derive(Clone, Copy)]
pub(super) struct Choice<'de> {
    pub decoder: Decoder<'de>,
    pub name: &'de str,
    pub settings: Option<&'de Node>,
}

impl<'de> Choice<'de> {
    /// What belongs to the name.
    fn settings(self) -> Result<Decoder<'de>, DecodeError> {
        let lacking = || DecodeError::message(format!("`{0}` needs settings; write `{0}: {{ … }}`", self.name));
        let settings = self.decoder.placed(self.settings.ok_or_else(lacking))?;
        Ok(self.decoder.of(settings))
    }
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let Decoder { node, recovery } = self.decoder;
        Ok((Name { text: self.name, place: Place::Value(node.id), recovery }.read(seed)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        match self.settings {
            None => Ok(()),
            Some(_) => {
                let message = format!("`{0}` has no settings; write `{0}` alone", self.name);
                self.decoder.placed(Err(DecodeError::message(message)))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DecodeError> {
        self.settings()?.read(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        self.decoder.placed(Err(DecodeError::wrong(&visitor)))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let settings = self.settings()?;
        settings.placed(settings.mapping(Some(fields), visitor))
    }
}
