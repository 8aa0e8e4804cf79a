//! The framework's decisions: step(state, input, now) to records, calls and audit
