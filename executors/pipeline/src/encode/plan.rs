//! Which Arrow types suit which CQL types, and the remedy when they do not.

use arrow::datatypes::{DataType, TimeUnit};

use crate::{cql::CqlType, sql::type_name};

/// Why a column of an Arrow type cannot be written to a column of a CQL type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsuited {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// How values are converted. Named after the source; the target says what is written.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// The source is always NULL.
    Null,
    Boolean,
    Int(NumberTarget),
    Float(NumberTarget),
    Decimal {
        scale: i8,
        target: NumberTarget,
    },
    Text(TextTarget),
    Bytes(BytesTarget),
    Timestamp(TimeUnit),
    Date(DateTarget),
    /// Source values times this are nanoseconds.
    Time {
        unit_ns: i64,
    },
    /// Source values times this are nanoseconds.
    Elapsed {
        unit_ns: i64,
    },
    Interval,
    List(Box<Plan>),
    /// A list of exactly this many values, written without counts and lengths.
    Vector(Box<Plan>, usize),
    Map(Box<Plan>, Box<Plan>),
    /// For each field of a tuple or UDT, the struct's field and how it is written; none for one that is always NULL.
    Fields(Vec<Option<(usize, Plan)>>),
}

/// What a number is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberTarget {
    Tinyint,
    Smallint,
    Int,
    Bigint,
    Varint,
    Decimal,
    Float,
    Double,
}

/// What a text is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextTarget {
    Text,
    Ascii,
    Uuid,
    Timeuuid,
    Inet,
    Timestamp,
    Date,
    Time,
    Decimal,
    Varint,
    Duration,
}

/// What bytes are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BytesTarget {
    Blob,
    Uuid,
    Timeuuid,
    Inet,
}

/// What a date is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateTarget {
    Date,
    /// Its first millisecond.
    Timestamp,
}

impl Plan {
    pub(crate) fn new(source: &DataType, target: &CqlType) -> Result<Plan, Unsuited> {
        if *source == DataType::Null {
            return Ok(Plan::Null);
        }
        match target {
            CqlType::Frozen(inner) => Plan::new(source, inner),
            CqlType::List(item) | CqlType::Set(item) => match source {
                DataType::List(field) => Ok(Plan::List(Box::new(Plan::new(field.data_type(), item)?))),
                _ => Err(unsuited(source, target)),
            },
            CqlType::Vector(item, dimension) => vector(source, item, *dimension, target),
            CqlType::Map(key, value) => match map_types(source) {
                Some((from_key, from_value)) => {
                    Ok(Plan::Map(Box::new(Plan::new(from_key, key)?), Box::new(Plan::new(from_value, value)?)))
                }
                None => Err(unsuited(source, target)),
            },
            CqlType::Tuple(items) => tuple(source, items, target),
            CqlType::Udt { fields, .. } => udt(source, fields, target),
            native => native_plan(source, native).ok_or_else(|| unsuited(source, target)),
        }
    }
}

fn native_plan(source: &DataType, target: &CqlType) -> Option<Plan> {
    match source {
        DataType::Boolean => (*target == CqlType::Boolean).then_some(Plan::Boolean),
        // More than a bigint, so that it is handled as a decimal.
        DataType::UInt64 => Some(Plan::Decimal { scale: 0, target: number_target(target)? }),
        ty if ty.is_integer() => Some(Plan::Int(number_target(target)?)),
        DataType::Float32 | DataType::Float64 => match number_target(target)? {
            // 0.1 as a float is not 0.1: the person must say how many digits are meant.
            NumberTarget::Decimal | NumberTarget::Varint => None,
            target => Some(Plan::Float(target)),
        },
        DataType::Decimal128(_, scale) => Some(Plan::Decimal { scale: *scale, target: number_target(target)? }),
        DataType::Utf8 => Some(Plan::Text(match target {
            CqlType::Text => TextTarget::Text,
            CqlType::Ascii => TextTarget::Ascii,
            CqlType::Uuid => TextTarget::Uuid,
            CqlType::Timeuuid => TextTarget::Timeuuid,
            CqlType::Inet => TextTarget::Inet,
            CqlType::Timestamp => TextTarget::Timestamp,
            CqlType::Date => TextTarget::Date,
            CqlType::Time => TextTarget::Time,
            CqlType::Decimal => TextTarget::Decimal,
            CqlType::Varint => TextTarget::Varint,
            CqlType::Duration => TextTarget::Duration,
            _ => return None,
        })),
        DataType::Binary => Some(Plan::Bytes(match target {
            CqlType::Blob => BytesTarget::Blob,
            CqlType::Uuid => BytesTarget::Uuid,
            CqlType::Timeuuid => BytesTarget::Timeuuid,
            CqlType::Inet => BytesTarget::Inet,
            _ => return None,
        })),
        DataType::Timestamp(unit, _) => (*target == CqlType::Timestamp).then_some(Plan::Timestamp(*unit)),
        DataType::Date32 => match target {
            CqlType::Date => Some(Plan::Date(DateTarget::Date)),
            CqlType::Timestamp => Some(Plan::Date(DateTarget::Timestamp)),
            _ => None,
        },
        DataType::Time32(unit) | DataType::Time64(unit) => {
            (*target == CqlType::Time).then_some(Plan::Time { unit_ns: unit_ns(*unit) })
        }
        DataType::Duration(unit) => (*target == CqlType::Duration).then_some(Plan::Elapsed { unit_ns: unit_ns(*unit) }),
        DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => {
            (*target == CqlType::Duration).then_some(Plan::Interval)
        }
        _ => None,
    }
}

fn number_target(target: &CqlType) -> Option<NumberTarget> {
    Some(match target {
        CqlType::Tinyint => NumberTarget::Tinyint,
        CqlType::Smallint => NumberTarget::Smallint,
        CqlType::Int => NumberTarget::Int,
        CqlType::Bigint => NumberTarget::Bigint,
        CqlType::Varint => NumberTarget::Varint,
        CqlType::Decimal => NumberTarget::Decimal,
        CqlType::Float => NumberTarget::Float,
        CqlType::Double => NumberTarget::Double,
        _ => return None,
    })
}

fn unit_ns(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Types whose values have one length in a vector; others would need lengths inside it.
fn vector(source: &DataType, item: &CqlType, dimension: u16, target: &CqlType) -> Result<Plan, Unsuited> {
    match (source, item) {
        (DataType::List(field), CqlType::Float | CqlType::Double | CqlType::Int | CqlType::Bigint) => {
            Ok(Plan::Vector(Box::new(Plan::new(field.data_type(), item)?), dimension.into()))
        }
        _ => Err(unsuited(source, target)),
    }
}

fn map_types(source: &DataType) -> Option<(&DataType, &DataType)> {
    match source {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => Some((pair[0].data_type(), pair[1].data_type())),
            _ => None,
        },
        _ => None,
    }
}

fn tuple(source: &DataType, items: &[CqlType], target: &CqlType) -> Result<Plan, Unsuited> {
    match source {
        DataType::Struct(fields) if fields.len() == items.len() => {
            let plans = fields.iter().zip(items).enumerate();
            let plans = plans.map(|(i, (field, item))| Ok(Some((i, Plan::new(field.data_type(), item)?))));
            Ok(Plan::Fields(plans.collect::<Result<_, _>>()?))
        }
        _ => Err(unsuited(source, target)),
    }
}

fn udt(source: &DataType, fields: &[(String, CqlType)], target: &CqlType) -> Result<Plan, Unsuited> {
    let DataType::Struct(from) = source else { return Err(unsuited(source, target)) };
    if let Some(unknown) = from.iter().find(|field| !fields.iter().any(|(name, _)| name == field.name())) {
        return Err(Unsuited {
            message: format!("the transform's struct has a field `{}` that the type lacks", unknown.name()),
            help: Some("name the struct's fields like the type's".to_owned()),
        });
    }
    let plans = fields.iter().map(|(name, ty)| {
        let Some((index, field)) = from.find(name) else { return Ok(None) };
        Ok(Some((index, Plan::new(field.data_type(), ty)?)))
    });
    Ok(Plan::Fields(plans.collect::<Result<_, _>>()?))
}

fn unsuited(source: &DataType, target: &CqlType) -> Unsuited {
    Unsuited { message: format!("the transform gives {}", type_name(source)), help: Some(remedy(source, target)) }
}

fn remedy(source: &DataType, target: &CqlType) -> String {
    match target.thawed() {
        CqlType::Custom(_) => "leave the column out: values of custom types cannot be written".to_owned(),
        CqlType::Text | CqlType::Ascii => "write CAST(… AS TEXT)".to_owned(),
        CqlType::Timestamp if source.is_integer() => {
            "write to_timestamp_millis(…) or to_timestamp_seconds(…), whichever it counts".to_owned()
        }
        CqlType::Date => "write CAST(… AS DATE)".to_owned(),
        CqlType::Time => "write CAST(… AS TIME)".to_owned(),
        CqlType::Decimal if source.is_floating() => {
            "write CAST(… AS DECIMAL(38, s)) with the digits wanted, or declare the source column decimal(p, s)"
                .to_owned()
        }
        CqlType::Varint if source.is_floating() => "write CAST(… AS BIGINT)".to_owned(),
        CqlType::Blob if *source == DataType::Utf8 => {
            "write decode(…, 'base64') or decode(…, 'hex'), or arrow_cast(…, 'Binary') for the text's own bytes"
                .to_owned()
        }
        CqlType::Uuid | CqlType::Timeuuid | CqlType::Inet | CqlType::Duration => "give it as text".to_owned(),
        CqlType::Udt { fields, .. } => {
            let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
            format!("give it a struct with the fields {}", names.join(", "))
        }
        CqlType::Tuple(items) => format!("give it a struct with {} fields", items.len()),
        CqlType::Vector(..) => "give it a list; vectors of float, double, int and bigint can be written".to_owned(),
        CqlType::List(_) | CqlType::Set(_) => "declare the source column list<…>".to_owned(),
        CqlType::Map(..) => "declare the source column map<text, …>".to_owned(),
        other => format!("write CAST(… AS {})", other.to_string().to_uppercase()),
    }
}
