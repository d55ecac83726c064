//! The small mutable part: cursors, in-flight work, discrepancies, baselines, leases. SQLite or PostgreSQL.

pub mod change;
