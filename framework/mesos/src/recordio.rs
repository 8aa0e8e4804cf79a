use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// Longest record taken by default: an event far beyond what a master sends; a broken or hostile peer must not make us
/// allocate what it likes.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// Decimal digits a length may have: [`u64::MAX`] has 20.
const MAX_LENGTH_DIGITS: usize = 20;

/// RecordIO: a decimal length, `\n`, that many bytes; nothing between records.
#[derive(Debug)]
pub struct RecordIo {
    max_bytes: usize,
    /// Length of the record whose header has been read.
    pending: Option<usize>,
}

/// Why a stream cannot be cut into records any further.
#[derive(Debug, thiserror::Error)]
pub enum RecordIoError {
    /// The header is no number.
    #[error("record length is not a decimal number: {0:?}")]
    BadLength(String),
    /// The record is longer than the reader takes.
    #[error("record of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// What the header says.
        length: u64,
        /// What is taken.
        limit: usize,
    },
    /// The bytes stopped coming.
    #[error("record stream broke")]
    Io(#[from] std::io::Error),
}

impl Default for RecordIo {
    fn default() -> Self {
        Self::with_limit(MAX_RECORD_BYTES)
    }
}

impl RecordIo {
    /// Takes records up to `max_bytes`.
    pub fn with_limit(max_bytes: usize) -> Self {
        Self { max_bytes, pending: None }
    }

    /// Takes the header off `source`, if it is all there.
    fn header(&self, source: &mut BytesMut) -> Result<Option<usize>, RecordIoError> {
        let Some(end) = source.iter().take(MAX_LENGTH_DIGITS + 1).position(|byte| *byte == b'\n') else {
            let head = &source[..source.len().min(MAX_LENGTH_DIGITS + 1)];
            if head.len() > MAX_LENGTH_DIGITS || !head.iter().all(u8::is_ascii_digit) {
                return Err(RecordIoError::BadLength(String::from_utf8_lossy(head).into_owned()));
            }
            return Ok(None);
        };
        let digits = source.split_to(end);
        source.advance(1);
        let text = std::str::from_utf8(&digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let length: u64 = text
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| RecordIoError::BadLength(String::from_utf8_lossy(&digits).into_owned()))?;
        match usize::try_from(length) {
            Ok(length) if length <= self.max_bytes => Ok(Some(length)),
            _ => Err(RecordIoError::TooLong { length, limit: self.max_bytes }),
        }
    }
}

impl Decoder for RecordIo {
    type Item = Bytes;
    type Error = RecordIoError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Bytes>, RecordIoError> {
        let length = match self.pending {
            Some(length) => length,
            None => match self.header(source)? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        // No reserve(length): the buffer grows with what arrived, not with what a header promises.
        if source.len() < length {
            self.pending = Some(length);
            return Ok(None);
        }
        self.pending = None;
        Ok(Some(source.split_to(length).freeze()))
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Bytes>, RecordIoError> {
        match self.decode(source)? {
            Some(record) => Ok(Some(record)),
            None if source.is_empty() && self.pending.is_none() => Ok(None),
            None => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
        }
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for RecordIo {
    type Error = RecordIoError;

    fn encode(&mut self, record: T, target: &mut BytesMut) -> Result<(), RecordIoError> {
        let record = record.as_ref();
        if record.len() > self.max_bytes {
            return Err(RecordIoError::TooLong { length: record.len() as u64, limit: self.max_bytes });
        }
        target.extend_from_slice(record.len().to_string().as_bytes());
        target.put_u8(b'\n');
        target.extend_from_slice(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `bytes` in chunks and returns the records, or the first error.
    fn decode_in_chunks(bytes: &[u8], chunks: &[usize], limit: usize) -> Result<Vec<Bytes>, RecordIoError> {
        let (mut codec, mut buffer, mut records, mut at) = (RecordIo::with_limit(limit), BytesMut::new(), vec![], 0);
        let mut sizes = chunks.iter().copied().cycle();
        while at < bytes.len() {
            let size = sizes.next().unwrap_or(1).clamp(1, bytes.len() - at);
            buffer.extend_from_slice(&bytes[at..at + size]);
            at += size;
            while let Some(record) = codec.decode(&mut buffer)? {
                records.push(record);
            }
        }
        while let Some(record) = codec.decode_eof(&mut buffer)? {
            records.push(record);
        }
        Ok(records)
    }

    proptest! {
        #[test]
        fn any_records_survive_any_chunk_edges(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
            chunks in prop::collection::vec(1usize..50, 1..20),
        ) {
            let mut wire = BytesMut::new();
            for record in &records {
                RecordIo::default().encode(record, &mut wire).unwrap();
            }
            let decoded = decode_in_chunks(&wire, &chunks, MAX_RECORD_BYTES).unwrap();
            prop_assert_eq!(decoded.iter().map(|r| r.to_vec()).collect::<Vec<_>>(), records);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1usize..20) {
            let _ = decode_in_chunks(&bytes, &[chunk], 100);
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_bytes_arrive() {
        let error = RecordIo::default().decode(&mut BytesMut::from("16777217\n")).unwrap_err();
        assert!(matches!(error, RecordIoError::TooLong { length: 16_777_217, limit: MAX_RECORD_BYTES }), "{error}");
        let error = RecordIo::default().decode(&mut BytesMut::from("99999999999999999999\n")).unwrap_err();
        assert!(matches!(error, RecordIoError::BadLength(_)), "{error}");
    }

    #[test]
    fn a_length_that_is_no_number_is_refused_at_once() {
        for text in ["x", "-1\n", "+1\nx", " 1\n", "\n", "000000000000000000000", "<html>"] {
            let result = RecordIo::default().decode(&mut BytesMut::from(text));
            assert!(matches!(result, Err(RecordIoError::BadLength(_))), "{text:?}: {result:?}");
        }
    }

    #[test]
    fn a_stream_that_ends_inside_a_record_is_broken() {
        for text in ["5\nabc", "5\n", "5"] {
            let result = decode_in_chunks(text.as_bytes(), &[100], 100);
            assert!(matches!(result, Err(RecordIoError::Io(_))), "{text:?}: {result:?}");
        }
    }
}
