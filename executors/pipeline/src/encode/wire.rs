//! Byte forms of CQL values (native protocol v5, section 6).

/// Days from the smallest CQL date to 1970-01-01: a CQL date is unsigned, with the epoch in the middle.
const EPOCH_DAY: i64 = 1 << 31;

/// A varint: two's complement, big-endian, as few bytes as possible.
pub(super) fn varint(value: i128, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    // A leading byte may go when it only repeats the sign and the next byte still begins with it.
    let redundant = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0).count();
    out.extend_from_slice(&bytes[redundant..]);
}

/// A decimal: its scale, then its unscaled value as a varint.
pub(super) fn decimal(unscaled: i128, scale: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&scale.to_be_bytes());
    varint(unscaled, out);
}

/// A date from days since the epoch.
pub(super) fn date(days: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&((i64::from(days) + EPOCH_DAY) as u32).to_be_bytes());
}

/// A duration: three vints.
pub(super) fn duration(months: i32, days: i32, nanos: i64, out: &mut Vec<u8>) {
    for part in [i64::from(months), i64::from(days), nanos] {
        vint(part, out);
    }
}

/// A zigzag vint as Cassandra writes it: the number of leading ones in the first byte is the number of bytes after it.
fn vint(value: i64, out: &mut Vec<u8>) {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    let bits = 64 - (zigzag | 1).leading_zeros() as usize;
    // Each further byte costs one bit of the first: n bytes hold 7 n bits, nine hold all 64.
    let more = (bits - 1) / 7;
    if more >= 8 {
        out.push(0xff);
        out.extend_from_slice(&zigzag.to_be_bytes());
        return;
    }
    let bytes = zigzag.to_be_bytes();
    let first = out.len();
    out.extend_from_slice(&bytes[7 - more..]);
    out[first] |= !(0xffu16 >> more) as u8;
}

/// Writes a value after its length (a `[bytes]` of the protocol).
pub(super) fn with_length<E>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out)?;
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The NULL of a tuple or UDT field.
pub(super) fn null_item(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1i32).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = vec![];
        write(&mut out);
        out
    }

    #[test]
    fn varints_are_as_short_as_the_specification_shows() {
        // The table of the protocol specification, section 6.23.
        for (value, bytes) in [
            (0, &[0x00][..]),
            (1, &[0x01]),
            (127, &[0x7f]),
            (128, &[0x00, 0x80]),
            (129, &[0x00, 0x81]),
            (-1, &[0xff]),
            (-128, &[0x80]),
            (-129, &[0xff, 0x7f]),
        ] {
            assert_eq!(written(|out| varint(value, out)), bytes, "{value}");
        }
        assert_eq!(written(|out| varint(i128::MIN, out)), i128::MIN.to_be_bytes());
    }

    #[test]
    fn vints_carry_their_length_in_leading_ones() {
        for (value, bytes) in [
            (0, &[0x00][..]),
            (1, &[0x02]),
            (-1, &[0x01]),
            (63, &[0x7e]),
            (64, &[0x80, 0x80]),
            (-64, &[0x7f]),
            (8191, &[0xbf, 0xfe]),
            (8192, &[0xc0, 0x40, 0x00]),
            (i64::MIN, &[0xff; 9]),
            (i64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]),
            ((1 << 55) - 1, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]),
            (1 << 55, &[0xff, 0x01, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(written(|out| vint(value, out)), bytes, "{value}");
        }
    }
}
