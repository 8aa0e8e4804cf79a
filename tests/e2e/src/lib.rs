//! The real stack under test
