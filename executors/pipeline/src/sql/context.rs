//! The names DataFusion's planner may resolve: the table `input` and the pure scalar functions.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion_common::{
    DFSchema, Result, TableReference, config::ConfigOptions, datatype::DataTypeExt, not_impl_err, plan_err,
};
use datafusion_expr::{
    AggregateUDF, Expr, GetFieldAccess, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
    expr::ScalarFunction,
    lit,
    logical_plan::builder::LogicalTableSource,
    planner::{ContextProvider, ExprPlanner, PlannerResult, RawFieldAccessExpr, TypePlanner},
};
use datafusion_functions::{
    core::planner::CoreFunctionPlanner, datetime::planner::DatetimeFunctionPlanner,
    unicode::planner::UnicodeFunctionPlanner,
};
use datafusion_sql::sqlparser::ast;

use super::{
    functions::Functions,
    input::{INPUT, Input},
};

/// What the planner asks for names.
pub(crate) struct Context {
    input: Arc<LogicalTableSource>,
    functions: Functions,
    planners: Vec<Arc<dyn ExprPlanner>>,
    types: Arc<dyn TypePlanner>,
    config: Arc<ConfigOptions>,
}

impl Context {
    pub(crate) fn new(input: &Input) -> Self {
        let mut config = ConfigOptions::default();
        // Views would be one more layout of text and bytes for the encoders to know.
        config.optimizer.expand_views_at_output = true;
        Context {
            input: Arc::new(LogicalTableSource::new(Arc::clone(input.schema()))),
            functions: Functions::new(),
            planners: vec![
                Arc::new(FieldAccessPlanner),
                Arc::new(CoreFunctionPlanner::default()),
                Arc::new(DatetimeFunctionPlanner),
                Arc::new(UnicodeFunctionPlanner),
            ],
            types: Arc::new(CqlTypeNames),
            config: Arc::new(config),
        }
    }

    pub(crate) fn config(&self) -> &ConfigOptions {
        &self.config
    }

    pub(crate) fn config_shared(&self) -> Arc<ConfigOptions> {
        Arc::clone(&self.config)
    }
}

impl ContextProvider for Context {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        if name.table() == INPUT && name.schema().is_none() {
            Ok(Arc::clone(&self.input) as _)
        } else {
            plan_err!("table `{name}` is not known")
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.get(name)
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        vec![]
    }

    fn udaf_names(&self) -> Vec<String> {
        vec![]
    }

    fn udwf_names(&self) -> Vec<String> {
        vec![]
    }
}

/// `column['field']` of structs and maps.
#[derive(Debug)]
struct FieldAccessPlanner;

impl ExprPlanner for FieldAccessPlanner {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        match access.field_access {
            GetFieldAccess::NamedStructField { name } => Ok(PlannerResult::Planned(Expr::ScalarFunction(
                ScalarFunction::new_udf(datafusion_functions::core::get_field(), vec![access.expr, lit(name)]),
            ))),
            GetFieldAccess::ListIndex { .. } | GetFieldAccess::ListRange { .. } => {
                not_impl_err!("items of a list cannot be taken by number; declare a source column for the item wanted")
            }
        }
    }
}

/// Type names of CQL that SQL does not know, or knows otherwise.
#[derive(Debug)]
struct CqlTypeNames;

impl TypePlanner for CqlTypeNames {
    fn plan_type_field(&self, ty: &ast::DataType) -> Result<Option<FieldRef>> {
        Ok(match ty {
            ast::DataType::Blob(None) => Some(DataType::Binary.into_nullable_field_ref()),
            // What CQL holds, and the years to 9999 with it; DataFusion's nanoseconds end in 2262.
            ast::DataType::Timestamp(None, ast::TimezoneInfo::None | ast::TimezoneInfo::WithoutTimeZone)
            | ast::DataType::Datetime(None) => {
                Some(DataType::Timestamp(TimeUnit::Millisecond, None).into_nullable_field_ref())
            }
            _ => None,
        })
    }
}
