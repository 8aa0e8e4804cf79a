//! The transform: one SELECT over `input`, compiled once, evaluated batch by batch.
//!
//! Map: [`input`] the table `input` · [`refuse`] what is not a pure row-by-row SELECT, refused with its place in the
//! text · [`context`] names DataFusion's planner may resolve · [`fold`] the plan, CTEs and sub-selects substituted, as
//! one list of filters and outputs · [`physical`] these as physical expressions that fail instead of wrapping round ·
//! [`checked`] the checks DataFusion lacks · [`exact_cast`] casts that never round · [`call`], [`pairwise`], [`amplify`],
//! [`effort`] and [`arg`] results and steps bounded before they are made · [`budget`] the same for constants · [`weight`] and
//! [`stack`] bounds on the planning · [`narrow`] timestamps compared in milliseconds · [`reserved`] words to quote · [`evaluate`] a batch through them, bad rows found by bisection ·
//! [`error`] planner errors as [`CompileError`]s.

mod amplify;
mod arg;
mod budget;
mod call;
mod checked;
mod context;
mod effort;
mod error;
mod evaluate;
mod exact_cast;
mod fold;
mod functions;
mod inner;
pub(crate) mod input;
mod narrow;
mod pairwise;
mod physical;
mod refuse;
mod reserved;
mod stack;
#[cfg(test)]
mod tests;
mod weight;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_optimizer::analyzer::{AnalyzerRule, type_coercion::TypeCoercion};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_sql::planner::{ParserOptions, SqlToRel};
use millstream_spec::SourceColumn;

use budget::Budget;
pub use error::CompileError;
pub(crate) use evaluate::Evaluated;
use input::{Input, InputColumn};

/// A compiled SELECT. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Transform {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The columns of `input` that are read, in the order of the batch.
    reads: Vec<InputColumn>,
    batch_schema: SchemaRef,
    /// Each on the rows its predecessors left.
    filters: Vec<Arc<dyn PhysicalExpr>>,
    outputs: Vec<Arc<dyn PhysicalExpr>>,
    output_schema: SchemaRef,
}

impl Transform {
    /// Compiles `sql` over the table `input` of `columns` and the record's metadata columns.
    pub fn compile(columns: &[SourceColumn], sql: &str) -> Result<Self, CompileError> {
        stack::deep(|| {
            let budget = Budget::default();
            let compiled = Self::compile_text(columns, sql, &budget)
                .map_err(|error| reserved::explain(error, columns, sql, &budget))?;
            reserved::check_literals(columns, sql).map(|()| compiled)
        })
        .map_err(CompileError::cut)
    }

    fn compile_text(columns: &[SourceColumn], sql: &str, budget: &Budget) -> Result<Self, CompileError> {
        let input = Input::new(columns);
        let statement = refuse::parse(sql, &input)?;
        let to_error = |error| CompileError::from_planner(error, sql);

        let context = context::Context::new(&input);
        let options = ParserOptions::new().with_collect_spans(true).with_map_string_types_to_utf8view(false);
        let plan = SqlToRel::new_with_options(&context, options).sql_statement_to_plan(statement).map_err(to_error)?;
        let plan = TypeCoercion::new().analyze(plan, context.config()).map_err(to_error)?;
        let names: Vec<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        let folded = fold::fold(plan).map_err(to_error)?;

        let reads = input.reads(folded.filters.iter().chain(&folded.outputs));
        let batch_schema = input.schema_of(&reads);
        let compiler = physical::Compiler::new(&batch_schema, context.config_shared(), budget).map_err(to_error)?;
        let filters =
            folded.filters.into_iter().map(|e| compiler.compile(e)).collect::<Result<_, _>>().map_err(to_error)?;
        let outputs: Vec<_> = folded
            .outputs
            .into_iter()
            .map(|e| compiler.compile_output(e))
            .collect::<Result<_, _>>()
            .map_err(to_error)?;
        let fields = names
            .into_iter()
            .zip(&outputs)
            .map(|(name, output)| Ok(Arc::new(Field::new(name, output.data_type(&batch_schema)?, true))))
            .collect::<Result<Vec<FieldRef>, _>>()
            .map_err(to_error)?;
        let output_schema = Arc::new(Schema::new(fields));
        Ok(Transform { inner: Arc::new(Inner { reads, batch_schema, filters, outputs, output_schema }) })
    }

    /// Names and types of the columns that come out. All of them may be NULL.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.inner.output_schema
    }

    /// Whether the SQL reads `_headers`; when not, [`Record::headers`](crate::Record::headers) need not be filled.
    pub fn uses_headers(&self) -> bool {
        self.inner.reads.contains(&InputColumn::Meta(input::Meta::Headers))
    }

    pub(crate) fn reads(&self) -> &[InputColumn] {
        &self.inner.reads
    }

    pub(crate) fn batch_schema(&self) -> &SchemaRef {
        &self.inner.batch_schema
    }
}

/// A type as a person would write it in SQL.
pub(crate) fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Utf8 => "text".to_owned(),
        DataType::Binary => "blob".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::List(item) => format!("list<{}>", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map<{}, {}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()))
            }
            _ => ty.to_string(),
        },
        DataType::Null => "always NULL".to_owned(),
        other => other.to_string(),
    }
}
