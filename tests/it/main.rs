//! Tests against real servers: one binary, one module for each subject.

mod server;
mod support;
mod support_works;
