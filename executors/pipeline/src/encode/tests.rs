//! Golden bytes of every CQL type, after the native protocol specification v5, section 6, and what is refused.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationSecondArray, Float32Array,
        Float64Array, Int8Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, MapBuilder, NullArray,
        StringArray, StringBuilder, StructArray, Time32MillisecondArray, Time64NanosecondArray,
        TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
        UInt64Array,
    },
    datatypes::{DataType, Field, Float64Type, Int32Type, IntervalMonthDayNano},
};

use super::{Encoder, Unsuited};
use crate::{
    BadReason,
    cql::{CqlType, Udts},
};

fn cql(text: &str) -> CqlType {
    let address = vec![("street".to_owned(), "text".to_owned()), ("zip".to_owned(), "frozen<list<int>>".to_owned())];
    let types = [("address".to_owned(), address)].into();
    CqlType::parse(text, &Udts { keyspace: "demo".to_owned(), types }).unwrap()
}

/// The bytes of row 0, as hex.
fn written(array: impl Into<ArrayRef>, ty: &str) -> Result<String, BadReason> {
    let array = array.into();
    let column = Encoder::compile(array.data_type(), &cql(ty)).unwrap().attach(&array);
    let mut out = vec![];
    match column.write(0, &mut out) {
        Ok(()) => Ok(out.iter().map(|byte| format!("{byte:02x}")).collect()),
        Err(fault) => Err(fault.reason),
    }
}

fn hex(array: impl Into<ArrayRef>, ty: &str) -> String {
    written(array, ty).unwrap()
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn int(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

fn double(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

fn decimal(unscaled: i128, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(vec![unscaled]).with_precision_and_scale(38, scale).unwrap())
}

fn array(array: impl arrow::array::Array + 'static) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn native_types_have_the_bytes_of_the_specification() {
    for (value, ty, bytes) in [
        (text("az"), "ascii", "617a"),
        (int(1), "bigint", "0000000000000001"),
        (int(i64::MIN), "bigint", "8000000000000000"),
        (array(BinaryArray::from(vec![&[0u8, 255][..]])), "blob", "00ff"),
        (array(BooleanArray::from(vec![true])), "boolean", "01"),
        (array(BooleanArray::from(vec![false])), "boolean", "00"),
        (array(Date32Array::from(vec![0])), "date", "80000000"),
        (array(Date32Array::from(vec![-1])), "date", "7fffffff"),
        (text("1970-01-02"), "date", "80000001"),
        (decimal(-1050, 2), "decimal", "00000002fbe6"),
        (int(128), "decimal", "000000000080"),
        (text("1e3"), "decimal", "fffffffd01"),
        (text("-0.5"), "decimal", "00000001fb"),
        (double(1.5), "double", "3ff8000000000000"),
        (decimal(1, 1), "double", "3fb999999999999a"),
        (int(3), "double", "4008000000000000"),
        (text("P1M2DT3S"), "duration", "0204f165a0bc00"),
        (array(Float32Array::from(vec![0.1])), "float", "3dcccccd"),
        (double(0.1), "float", "3dcccccd"),
        (text("127.0.0.1"), "inet", "7f000001"),
        (text("::1"), "inet", "00000000000000000000000000000001"),
        (array(Int32Array::from(vec![-2])), "int", "fffffffe"),
        (double(7.0), "int", "00000007"),
        (decimal(700, 2), "int", "00000007"),
        (int(-32768), "smallint", "8000"),
        (text("é"), "text", "c3a9"),
        (text(""), "text", ""),
        (text("é"), "varchar", "c3a9"),
        (array(Time64NanosecondArray::from(vec![1])), "time", "0000000000000001"),
        (array(Time32MillisecondArray::from(vec![1])), "time", "00000000000f4240"),
        (text("00:00:00.000000001"), "time", "0000000000000001"),
        (array(TimestampMillisecondArray::from(vec![-1])), "timestamp", "ffffffffffffffff"),
        (array(TimestampSecondArray::from(vec![1])), "timestamp", "00000000000003e8"),
        (array(TimestampMicrosecondArray::from(vec![1000])), "timestamp", "0000000000000001"),
        (array(TimestampNanosecondArray::from(vec![-1_000_000])), "timestamp", "ffffffffffffffff"),
        (array(Date32Array::from(vec![1])), "timestamp", "0000000005265c00"),
        (text("1970-01-01T00:00:00.001Z"), "timestamp", "0000000000000001"),
        (text("2b20a470-0de8-11e4-9191-0800200c9a66"), "timeuuid", "2b20a4700de811e491910800200c9a66"),
        (array(Int8Array::from(vec![-1])), "tinyint", "ff"),
        (text("550E8400-e29b-41d4-a716-446655440000"), "uuid", "550e8400e29b41d4a716446655440000"),
        (array(BinaryArray::from(vec![&[7u8; 16][..]])), "uuid", "07070707070707070707070707070707"),
        (int(-129), "varint", "ff7f"),
        (array(UInt64Array::from(vec![u64::MAX])), "varint", "00ffffffffffffffff"),
        (text("128"), "varint", "0080"),
    ] {
        assert_eq!(hex(value, ty), bytes, "{ty}");
    }
}

#[test]
fn durations_are_months_days_and_nanoseconds() {
    let interval = |months, days, nanos| {
        array(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(months, days, nanos)]))
    };
    assert_eq!(hex(interval(1, 2, 3), "duration"), "020406");
    assert_eq!(hex(interval(-1, 0, -3), "duration"), "010005");
    assert_eq!(written(interval(1, -1, 0), "duration"), Err(BadReason::OutOfRange));
    assert_eq!(hex(array(DurationSecondArray::from(vec![0])), "duration"), "000000");
    assert_eq!(written(array(DurationSecondArray::from(vec![i64::MAX])), "duration"), Err(BadReason::OutOfRange));
    assert_eq!(hex(text("P1Y2M1W1D"), "duration"), "1c1000");
    assert_eq!(hex(text("-P1M"), "duration"), "010000");
    assert_eq!(hex(text("PT0.000000003S"), "duration"), "000006");
    for bad in ["", "P", "PT", "1M", "P1", "PM", "P1D1M", "P1.5D", "PT1H2", "P1DT", "PT0.0000000001S", "P9999999999Y"] {
        assert_eq!(written(text(bad), "duration"), Err(BadReason::InvalidText), "{bad}");
    }
}

#[test]
fn values_out_of_range_or_lossy_are_refused() {
    use BadReason::{InvalidText, Lossy, OutOfRange};
    for (value, ty, reason) in [
        (int(128), "tinyint", OutOfRange),
        (int(-32769), "smallint", OutOfRange),
        (int(1 << 31), "int", OutOfRange),
        (int((1 << 53) + 1), "double", Lossy),
        (int((1 << 24) + 1), "float", Lossy),
        (double(0.5), "int", Lossy),
        (double(9.3e18), "bigint", OutOfRange),
        (double(300.0), "tinyint", OutOfRange),
        (double(1e39), "float", OutOfRange),
        (double(f64::NAN), "double", OutOfRange),
        (double(f64::INFINITY), "double", OutOfRange),
        (decimal(15, 1), "int", Lossy),
        (decimal(15, 1), "varint", Lossy),
        (decimal(i128::MAX / 10, 0), "bigint", OutOfRange),
        (array(UInt64Array::from(vec![u64::MAX])), "bigint", OutOfRange),
        (text("é"), "ascii", InvalidText),
        (text("550e8400e29b41d4a716446655440000"), "uuid", InvalidText),
        (text("550e8400-e29b-41d4-a716-44665544000g"), "uuid", InvalidText),
        (text("550e8400-e29b-41d4-a716-446655440000"), "timeuuid", InvalidText),
        (text("127.0.0"), "inet", InvalidText),
        (text("2013-02-29"), "date", InvalidText),
        (text("2013-01-01"), "timestamp", InvalidText),
        (text("1970-01-01T00:00:00.0001Z"), "timestamp", Lossy),
        (text("24:00:00"), "time", InvalidText),
        (text("1.5"), "varint", InvalidText),
        (text("NaN"), "decimal", InvalidText),
        (array(TimestampMicrosecondArray::from(vec![1])), "timestamp", Lossy),
        (array(TimestampSecondArray::from(vec![i64::MAX])), "timestamp", OutOfRange),
        (array(Time64NanosecondArray::from(vec![86_400_000_000_000])), "time", OutOfRange),
        (array(BinaryArray::from(vec![&[7u8; 15][..]])), "uuid", OutOfRange),
        (array(BinaryArray::from(vec![&[7u8; 5][..]])), "inet", OutOfRange),
    ] {
        assert_eq!(written(value, ty), Err(reason), "{ty}");
    }
}

#[test]
fn collections_count_their_items() {
    let ints = |items: Vec<Option<i32>>| array(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(items)]));
    assert_eq!(
        hex(ints(vec![Some(1), Some(2)]), "frozen<list<int>>"),
        "00000002 00000004 00000001 00000004 00000002".replace(' ', "")
    );
    assert_eq!(hex(ints(vec![Some(1)]), "set<smallint>"), "00000001000000020001");
    assert_eq!(hex(ints(vec![]), "set<int>"), "00000000");
    assert_eq!(written(ints(vec![None]), "set<int>"), Err(BadReason::NullElement));

    let floats = |items: Vec<f64>| {
        array(ListArray::from_iter_primitive::<Float64Type, _, _>([Some(
            items.into_iter().map(Some).collect::<Vec<_>>(),
        )]))
    };
    assert_eq!(hex(floats(vec![1.0, 0.5]), "vector<float, 2>"), "3f8000003f000000");
    assert_eq!(written(floats(vec![1.0]), "vector<float, 2>"), Err(BadReason::OutOfRange));

    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("a");
    map.values().append_value("7");
    map.append(true).unwrap();
    let expected = "00000001 00000001 61 00000005 0000000007".replace(' ', "");
    assert_eq!(hex(array(map.finish()), "map<text, decimal>"), expected);
}

#[test]
fn tuples_go_by_place_and_udts_by_name() {
    let zip = array(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(5)])]));
    let fields = vec![
        (Arc::new(Field::new("zip", zip.data_type().clone(), true)), zip),
        (Arc::new(Field::new("street", DataType::Utf8, true)), array(StringArray::from(vec![None::<&str>]))),
    ];
    let value = array(StructArray::from(fields));
    let zip = "0000000c 00000001 00000004 00000005".replace(' ', "");
    assert_eq!(hex(value.clone(), "frozen<address>"), format!("ffffffff{zip}"));
    assert_eq!(hex(value, "frozen<tuple<frozen<list<int>>, text>>"), format!("{zip}ffffffff"));

    let only_street = vec![(Arc::new(Field::new("street", DataType::Utf8, true)), text("x"))];
    assert_eq!(hex(array(StructArray::from(only_street)), "address"), "0000000178ffffffff");
}

#[test]
fn types_that_cannot_mean_each_other_are_refused_with_a_remedy() {
    let mut lines = String::new();
    for (source, target) in [
        (DataType::Int32, "text"),
        (DataType::Utf8, "int"),
        (DataType::Utf8, "blob"),
        (DataType::Int64, "timestamp"),
        (DataType::Float64, "decimal"),
        (DataType::Float64, "varint"),
        (DataType::Int64, "boolean"),
        (DataType::Boolean, "int"),
        (DataType::Binary, "text"),
        (DataType::Utf8, "set<int>"),
        (DataType::Utf8, "frozen<address>"),
        (DataType::Struct(vec![Field::new("city", DataType::Utf8, true)].into()), "address"),
        (DataType::Struct(vec![Field::new("a", DataType::Utf8, true)].into()), "tuple<text, text>"),
        (DataType::Utf8, "map<text, text>"),
        (DataType::Utf8, "vector<float, 3>"),
        (DataType::Int32, "uuid"),
        (DataType::Int32, "date"),
        (DataType::Utf8, "'org.example.Odd'"),
    ] {
        let Unsuited { message, help } = Encoder::compile(&source, &cql(target)).unwrap_err();
        lines += &format!("{source} to {target}: {message}; {}\n", help.unwrap());
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn an_untyped_null_suits_every_type() {
    let nulls = array(NullArray::new(1));
    for ty in ["int", "set<text>", "frozen<address>"] {
        assert!(Encoder::compile(nulls.data_type(), &cql(ty)).unwrap().attach(&nulls).is_null(0));
    }
}
