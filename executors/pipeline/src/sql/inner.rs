//! What an expression that wraps another one says of itself.

/// Within `impl PhysicalExpr`: type, nullability, field and text are those of `self.inner`. Each asks the same of it: what
/// follows from `return_field` by default asks both, and doubles with every level.
macro_rules! as_inner {
    () => {
        fn data_type(
            &self,
            schema: &arrow::datatypes::Schema,
        ) -> datafusion_common::Result<arrow::datatypes::DataType> {
            self.inner.data_type(schema)
        }

        fn nullable(&self, schema: &arrow::datatypes::Schema) -> datafusion_common::Result<bool> {
            self.inner.nullable(schema)
        }

        fn return_field(
            &self,
            schema: &arrow::datatypes::Schema,
        ) -> datafusion_common::Result<arrow::datatypes::FieldRef> {
            self.inner.return_field(schema)
        }

        fn fmt_sql(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.inner.fmt_sql(f)
        }
    };
}

pub(super) use as_inner;
