//! Rows as the driver wants them: cells are copied once, from the encoded columns into the request's frame.

use millstream_pipeline::{Cell, Row, RowKind};
use scylla::serialize::{
    SerializationError,
    batch::{BatchValues, BatchValuesIterator},
    row::{RowSerializationContext, SerializeRow},
    writers::RowWriter,
};

use super::work::Work;

/// The rows of one request.
pub(super) struct Values<'w> {
    pub(super) work: &'w Work,
    /// The upsert statement ends with a time to live.
    pub(super) has_ttl: bool,
}

impl Values<'_> {
    fn write(&self, index: u32, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        let batch = &self.work.batch;
        write_row(batch.rows.row(index as usize), batch.timestamps_us[index as usize], self.has_ttl, writer)
    }
}

/// A single row.
impl SerializeRow for Values<'_> {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        self.write(self.work.rows()[0], writer)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// All rows.
impl BatchValues for Values<'_> {
    type BatchValuesIter<'r>
        = Rows<'r>
    where
        Self: 'r;

    fn batch_values_iter(&self) -> Rows<'_> {
        Rows { values: self, rest: self.work.rows() }
    }
}

/// Iterator of [`Values`].
pub(super) struct Rows<'r> {
    values: &'r Values<'r>,
    rest: &'r [u32],
}

impl<'r> BatchValuesIterator<'r> for Rows<'r> {
    fn serialize_next(
        &mut self,
        _: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Option<Result<(), SerializationError>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(self.values.write(*first, writer))
    }

    fn is_empty_next(&mut self) -> Option<bool> {
        self.skip_next().map(|()| false)
    }

    fn skip_next(&mut self) -> Option<()> {
        self.rest = self.rest.split_first()?.1;
        Some(())
    }

    fn count(self) -> usize {
        self.rest.len()
    }
}

/// Binds in the order of the statements: `… VALUES (cells) USING TIMESTAMP ? AND TTL ?`, and
/// `USING TIMESTAMP ? WHERE cells`.
fn write_row(
    row: Row<'_>,
    timestamp_us: i64,
    has_ttl: bool,
    writer: &mut RowWriter<'_>,
) -> Result<(), SerializationError> {
    if row.kind() == RowKind::Delete {
        write_value(&timestamp_us.to_be_bytes(), writer)?;
    }
    for cell in row.cells() {
        match cell {
            Cell::Null => {
                writer.make_cell_writer().set_null();
            }
            Cell::Unset => {
                writer.make_cell_writer().set_unset();
            }
            Cell::Value(bytes) => write_value(bytes, writer)?,
        }
    }
    if row.kind() == RowKind::Upsert {
        write_value(&timestamp_us.to_be_bytes(), writer)?;
        if has_ttl {
            match row.ttl_secs() {
                Some(secs) => write_value(&secs.to_be_bytes(), writer)?,
                None => {
                    writer.make_cell_writer().set_unset();
                }
            }
        }
    }
    Ok(())
}

fn write_value(bytes: &[u8], writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
    writer.make_cell_writer().set_value(bytes).map(|_| ()).map_err(SerializationError::new)
}
