//! What bit the frameworks before this one: one test for each, named after the report.

mod data;
mod offers;
mod placement;
mod tasks;
