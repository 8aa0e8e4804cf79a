//! The scalar functions a transform may call: DataFusion's, without those that are not a pure function of their
//! arguments.

use std::{collections::HashMap, sync::Arc};

use datafusion_expr::{ScalarUDF, Volatility};

/// Immutable by declaration, but about DataFusion instead of the record.
const ABOUT_DATAFUSION: [&str; 6] =
    ["version", "arrow_metadata", "with_metadata", "arrow_field", "cast_to_type", "try_cast_to_type"];

/// Names of DataFusion's and common SQL's aggregates, to say what they are when one is called.
const AGGREGATES: [&str; 38] = [
    "any_value",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "first_value",
    "grouping",
    "last_value",
    "max",
    "mean",
    "median",
    "min",
    "mode",
    "nth_value",
    "percentile_cont",
    "quantile_cont",
    "regr_slope",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_samp",
    "every",
    "listagg",
];

/// Names of window functions.
const WINDOW_FUNCTIONS: [&str; 8] =
    ["cume_dist", "dense_rank", "lag", "lead", "ntile", "percent_rank", "rank", "row_number"];

/// Other names of what reads the clock or makes random values.
const IMPURE_NAMES: [&str; 8] =
    ["localtime", "localtimestamp", "gen_random_uuid", "newid", "rand", "sysdate", "getdate", "today"];

/// What a function name stands for.
pub(crate) enum Named {
    Pure,
    /// Its result depends on the time or on chance.
    Impure,
    Aggregate,
    Window,
    Unknown,
}

/// The functions by name and alias.
#[derive(Debug)]
pub(crate) struct Functions {
    pure: HashMap<String, Arc<ScalarUDF>>,
    impure: Vec<String>,
}

impl Functions {
    pub(crate) fn new() -> Self {
        let mut functions = Functions { pure: HashMap::new(), impure: IMPURE_NAMES.map(str::to_owned).to_vec() };
        for function in datafusion_functions::all_default_functions() {
            let names = std::iter::once(function.name().to_owned()).chain(function.aliases().iter().cloned());
            if function.signature().volatility != Volatility::Immutable {
                functions.impure.extend(names);
            } else if !ABOUT_DATAFUSION.contains(&function.name()) {
                functions.pure.extend(names.map(|name| (name, Arc::clone(&function))));
            }
        }
        functions
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.pure.get(name).cloned()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pure.keys().map(String::as_str)
    }

    pub(crate) fn classify(&self, name: &str) -> Named {
        if self.pure.contains_key(name) {
            Named::Pure
        } else if self.impure.iter().any(|impure| impure == name) {
            Named::Impure
        } else if AGGREGATES.contains(&name) {
            Named::Aggregate
        } else if WINDOW_FUNCTIONS.contains(&name) {
            Named::Window
        } else {
            Named::Unknown
        }
    }
}
