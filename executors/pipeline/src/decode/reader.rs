//! One record's JSON into one slot per source column.

use std::fmt;

use millstream_spec::SourceColumn;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    fields::Fields,
    value::{self, Slot},
};
use crate::record::{BadReason, Fault};

/// Reads records, one after the other.
pub(crate) struct Reader<'f> {
    fields: &'f Fields,
    columns: &'f [SourceColumn],
    /// The record in which each node of the tree was last seen, to find fields that occur twice.
    seen: Vec<u64>,
    record: u64,
    /// The failure behind the error that travels through serde.
    fault: Option<Fault>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(fields: &'f Fields, columns: &'f [SourceColumn]) -> Self {
        Reader { fields, columns, seen: vec![0; fields.len()], record: 0, fault: None }
    }

    /// Reads one record. When it fails, `slots` holds nothing of use.
    pub(crate) fn read<'de>(&mut self, json: &'de [u8], slots: &mut Vec<Slot<'de>>) -> Result<(), Fault> {
        self.record += 1;
        slots.clear();
        slots.resize_with(self.columns.len(), || Slot::Null);
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let object = ObjectSeed { reader: self, slots, node: 0 };
        let read = object.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        if let Err(error) = read {
            return Err(self.fault.take().unwrap_or_else(|| {
                // What is JSON and an object can only disappoint below: an object was wanted there.
                let is_object = json.trim_ascii_start().first() == Some(&b'{');
                let mismatch = error.is_data() && is_object;
                let reason = if mismatch { BadReason::TypeMismatch } else { BadReason::InvalidJson };
                Fault::new(reason, registry_frame(json).unwrap_or_else(|| error.to_string()))
            }));
        }
        for (column, slot) in self.columns.iter().zip(slots.iter()) {
            if column.required && matches!(slot, Slot::Null) {
                let path = column.path.join(".");
                return Err(Fault::new(BadReason::MissingField, format!("required field `{path}` is missing or null")));
            }
        }
        Ok(())
    }

    /// Takes the value of a node for all columns that want it.
    fn take<'de>(&mut self, node: usize, json: &'de str, slots: &mut [Slot<'de>]) -> Result<(), Fault> {
        for column in &self.fields.node(node).columns {
            let SourceColumn { data_type, path, precision, .. } = &self.columns[*column];
            slots[*column] = value::read(json, data_type, *precision).map_err(|mismatch| mismatch.in_field(path))?;
        }
        Ok(())
    }

    fn fail<E: serde::de::Error>(&mut self, fault: Fault) -> E {
        let error = E::custom(&fault.detail);
        self.fault = Some(fault);
        error
    }
}

/// What a value is that begins as a schema registry's serializers begin theirs: a zero, and the number of its schema.
fn registry_frame(value: &[u8]) -> Option<String> {
    let (&[0, a, b, c, d], rest) = value.split_first_chunk()? else { return None };
    let schema = u32::from_be_bytes([a, b, c, d]);
    let written = if rest.trim_ascii_start().first() == Some(&b'{') { "JSON behind it" } else { "Avro or Protobuf" };
    Some(format!(
        "not JSON: the value begins with the magic byte 0x00 and schema id {schema} of a schema registry ({written}); \
         write plain JSON to the topic, with a serializer that needs no registry"
    ))
}

/// Reads an object of the tree.
struct ObjectSeed<'r, 'f, 's, 'de> {
    reader: &'r mut Reader<'f>,
    slots: &'s mut Vec<Slot<'de>>,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_, '_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_, '_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let fields = self.reader.fields;
        let mut hint = 0;
        while let Some(child) = map.next_key_seed(KeySeed { node: fields.node(self.node), hint: &mut hint })? {
            let Some(child) = child else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if std::mem::replace(&mut self.reader.seen[child], self.reader.record) == self.reader.record {
                let detail = format!("field `{}` occurs twice", fields.node(child).path);
                return Err(self.reader.fail(Fault::new(BadReason::InvalidJson, detail)));
            }
            let node = fields.node(child);
            if node.columns.is_empty() {
                map.next_value_seed(NestedSeed { reader: &mut *self.reader, slots: &mut *self.slots, node: child })?;
                continue;
            }
            let json = map.next_value::<&'de RawValue>()?.get();
            self.reader.take(child, json, self.slots).map_err(|fault| self.reader.fail(fault))?;
            if node.has_children() {
                let nested = NestedSeed { reader: &mut *self.reader, slots: &mut *self.slots, node: child };
                nested.deserialize(&mut serde_json::Deserializer::from_str(json)).map_err(A::Error::custom)?;
            }
        }
        Ok(())
    }
}

/// Reads an object below the record; null counts as an object without fields.
struct NestedSeed<'r, 'f, 's, 'de> {
    reader: &'r mut Reader<'f>,
    slots: &'s mut Vec<Slot<'de>>,
    node: usize,
}

impl<'de> DeserializeSeed<'de> for NestedSeed<'_, '_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for NestedSeed<'_, '_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object or null")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        ObjectSeed { reader: self.reader, slots: self.slots, node: self.node }.deserialize(deserializer)
    }
}

/// Looks an object key up without keeping it.
struct KeySeed<'n> {
    node: &'n super::fields::Node,
    hint: &'n mut usize,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.node.child(key, self.hint))
    }
}
