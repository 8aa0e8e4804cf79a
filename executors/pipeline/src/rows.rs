//! What comes out: rows whose cells are already in CQL wire format.
//!
//! Cells are kept column by column in contiguous buffers, as they were encoded; a row is a view over them. No cell is
//! allocated by itself.

/// Largest row that is sent, in bytes: Cassandra's default `max_mutation_size` (half a commit-log segment). A larger one
/// would be refused for ever and stall its partition.
pub const MAX_ROW_BYTES: usize = 16 * 1024 * 1024;

/// Rows in record order.
#[derive(Debug, Default)]
pub struct Rows {
    pub(crate) rows: Vec<RowMeta>,
    /// In bind order: primary-key columns first.
    pub(crate) columns: Vec<CellColumn>,
    /// The primary key of each row: partition key, clustering values, then the lengths of these (which make it
    /// unambiguous).
    pub(crate) keys: Vec<u8>,
    /// How many of `columns` are primary-key columns.
    pub(crate) key_columns: usize,
    /// NULL of a regular column leaves the cell as it is.
    pub(crate) unset_nulls: bool,
}

/// Where a row's parts lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowMeta {
    pub(crate) record: u32,
    /// Its place in every [`CellColumn`].
    pub(crate) slot: u32,
    pub(crate) kind: RowKind,
    pub(crate) ttl_secs: Option<i32>,
    /// `keys[start..split]` is the partition key, `keys[start..end]` the primary key.
    pub(crate) key_start: usize,
    pub(crate) key_split: usize,
    pub(crate) key_end: usize,
    /// Bytes of all cells that are sent.
    pub(crate) cell_bytes: u32,
}

/// What is to be done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Write it ([`Binding::upsert_cql`](crate::Binding::upsert_cql)).
    Upsert,
    /// Delete it ([`Binding::delete_cql`](crate::Binding::delete_cql)).
    Delete,
}

/// One bound value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Deletes the cell.
    Null,
    /// Leaves the cell as it is.
    Unset,
    /// The value in CQL wire format, without its length.
    Value(&'a [u8]),
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row at `index`, in record order. Panics when there is none, like a slice.
    pub fn row(&self, index: usize) -> Row<'_> {
        Row { rows: self, meta: &self.rows[index] }
    }

    /// All rows in record order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.rows.iter().map(|meta| Row { rows: self, meta })
    }

    /// Bytes these rows hold in memory.
    pub fn memory_bytes(&self) -> usize {
        let columns: usize =
            self.columns.iter().map(|c| c.bytes.capacity() + c.ends.capacity() * size_of::<u64>()).sum();
        columns + self.keys.capacity() + self.rows.capacity() * size_of::<RowMeta>()
    }
}

/// A view of one row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    rows: &'a Rows,
    meta: &'a RowMeta,
}

impl<'a> Row<'a> {
    /// Index of its record among those processed.
    pub fn record_index(&self) -> usize {
        self.meta.record as usize
    }

    /// Upsert or delete.
    pub fn kind(&self) -> RowKind {
        self.meta.kind
    }

    /// The partition key as Cassandra serialises it for routing: the bytes of a single column, or for each of several
    /// their length (u16), bytes and a zero.
    pub fn partition_key(&self) -> &'a [u8] {
        &self.rows.keys[self.meta.key_start..self.meta.key_split]
    }

    /// Bytes that are equal for two rows exactly when all their primary-key values are.
    pub fn primary_key(&self) -> &'a [u8] {
        &self.rows.keys[self.meta.key_start..self.meta.key_end]
    }

    /// The values to bind: all columns of [`Binding::columns`](crate::Binding::columns) for an upsert, only the
    /// primary-key columns (the first of these) for a delete.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = Cell<'a>> + use<'a> {
        let columns = match self.meta.kind {
            RowKind::Upsert => &self.rows.columns[..],
            RowKind::Delete => &self.rows.columns[..self.rows.key_columns],
        };
        let (slot, unset_nulls) = (self.meta.slot as usize, self.rows.unset_nulls);
        columns.iter().map(move |column| match column.get(slot) {
            Some(bytes) => Cell::Value(bytes),
            None if unset_nulls => Cell::Unset,
            None => Cell::Null,
        })
    }

    /// Time to live to bind, in seconds; none when the row has none (or the job gives none).
    pub fn ttl_secs(&self) -> Option<i32> {
        self.meta.ttl_secs
    }

    /// Bytes of its bound values with their lengths: about what it takes in a request.
    pub fn size_bytes(&self) -> usize {
        self.meta.cell_bytes as usize
    }
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row")
            .field("record_index", &self.record_index())
            .field("kind", &self.kind())
            .field("partition_key", &self.partition_key())
            .field("cells", &self.cells().collect::<Vec<_>>())
            .field("ttl_secs", &self.ttl_secs())
            .finish()
    }
}

/// The encoded values of one column, one after the other.
#[derive(Debug, Default)]
pub(crate) struct CellColumn {
    bytes: Vec<u8>,
    /// Where each value ends; NULLs are marked with [`NULL`].
    ends: Vec<u64>,
}

/// Marks the end of a NULL. No buffer is long enough to use this bit.
const NULL: u64 = 1 << 63;

impl CellColumn {
    pub(crate) fn with_capacity(rows: usize, bytes: usize) -> Self {
        CellColumn { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(rows) }
    }

    /// Appends what `write` writes as one value; NULL (and nothing kept) when it fails.
    pub(crate) fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        let written = write(&mut self.bytes);
        if written.is_ok() {
            self.ends.push(self.bytes.len() as u64);
        } else {
            self.bytes.truncate(start);
            self.push_null();
        }
        written
    }

    pub(crate) fn push_null(&mut self) {
        self.ends.push(self.bytes.len() as u64 | NULL);
    }

    /// The value in `slot`, none for NULL.
    pub(crate) fn get(&self, slot: usize) -> Option<&[u8]> {
        let end = self.ends[slot];
        let start = if slot == 0 { 0 } else { self.ends[slot - 1] & !NULL };
        (end & NULL == 0).then(|| &self.bytes[start as usize..end as usize])
    }
}
