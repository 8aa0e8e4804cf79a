//! bytes to RecordBatch to SQL to rows with CQL types
