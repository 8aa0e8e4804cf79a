//! The types of CQL.

use std::{collections::BTreeMap, fmt};

/// A CQL type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CqlType {
    /// `ascii`
    Ascii,
    /// `bigint`
    Bigint,
    /// `blob`
    Blob,
    /// `boolean`
    Boolean,
    /// `counter`: never written (delivery.md, "Refused")
    Counter,
    /// `date`
    Date,
    /// `decimal`
    Decimal,
    /// `double`
    Double,
    /// `duration`
    Duration,
    /// `float`
    Float,
    /// `inet`
    Inet,
    /// `int`
    Int,
    /// `smallint`
    Smallint,
    /// `text`, also called `varchar`
    Text,
    /// `time`
    Time,
    /// `timestamp`
    Timestamp,
    /// `timeuuid`
    Timeuuid,
    /// `tinyint`
    Tinyint,
    /// `uuid`
    Uuid,
    /// `varint`
    Varint,
    /// `list<T>`
    List(Box<CqlType>),
    /// `set<T>`
    Set(Box<CqlType>),
    /// `map<K, V>`
    Map(Box<CqlType>, Box<CqlType>),
    /// `tuple<A, B, …>`
    Tuple(Vec<CqlType>),
    /// A user-defined type.
    Udt {
        /// Keyspace of the type.
        keyspace: String,
        /// Its name.
        name: String,
        /// Its fields in order.
        fields: Vec<(String, CqlType)>,
    },
    /// `vector<T, n>`
    Vector(Box<CqlType>, u16),
    /// `frozen<T>`: written and compared as one value.
    Frozen(Box<CqlType>),
    /// A type implemented by a class of the server (`'org.example.T'`): never written.
    Custom(String),
}

impl CqlType {
    /// Whether its text means the same in every statement: no type of a keyspace's own is in it.
    pub fn is_plain(&self) -> bool {
        match self {
            CqlType::Udt { .. } | CqlType::Custom(_) => false,
            CqlType::List(item) | CqlType::Set(item) | CqlType::Vector(item, _) | CqlType::Frozen(item) => {
                item.is_plain()
            }
            CqlType::Map(key, value) => key.is_plain() && value.is_plain(),
            CqlType::Tuple(items) => items.iter().all(CqlType::is_plain),
            _ => true,
        }
    }

    /// The type without an outer `frozen<…>`.
    pub fn thawed(&self) -> &CqlType {
        match self {
            CqlType::Frozen(inner) => inner.thawed(),
            other => other,
        }
    }
}

impl fmt::Display for CqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            CqlType::Ascii => "ascii",
            CqlType::Bigint => "bigint",
            CqlType::Blob => "blob",
            CqlType::Boolean => "boolean",
            CqlType::Counter => "counter",
            CqlType::Date => "date",
            CqlType::Decimal => "decimal",
            CqlType::Double => "double",
            CqlType::Duration => "duration",
            CqlType::Float => "float",
            CqlType::Inet => "inet",
            CqlType::Int => "int",
            CqlType::Smallint => "smallint",
            CqlType::Text => "text",
            CqlType::Time => "time",
            CqlType::Timestamp => "timestamp",
            CqlType::Timeuuid => "timeuuid",
            CqlType::Tinyint => "tinyint",
            CqlType::Uuid => "uuid",
            CqlType::Varint => "varint",
            CqlType::List(item) => return write!(f, "list<{item}>"),
            CqlType::Set(item) => return write!(f, "set<{item}>"),
            CqlType::Map(key, value) => return write!(f, "map<{key}, {value}>"),
            CqlType::Tuple(items) => {
                f.write_str("tuple<")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                return f.write_str(">");
            }
            CqlType::Udt { name, .. } => name,
            CqlType::Vector(item, dimension) => return write!(f, "vector<{item}, {dimension}>"),
            CqlType::Frozen(inner) => return write!(f, "frozen<{inner}>"),
            CqlType::Custom(class) => return write!(f, "'{class}'"),
        };
        f.write_str(name)
    }
}

/// The user-defined types of a keyspace, as `system_schema.types` lists them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Udts {
    /// The keyspace.
    pub keyspace: String,
    /// Type name → its fields in order: name and type text.
    pub types: BTreeMap<String, Vec<(String, String)>>,
}
