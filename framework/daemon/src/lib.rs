//! The scheduler process: state store, driver loop, HTTP API, metrics
