//! Readers on real databases: the same expectations on PostgreSQL, MariaDB and SQLite where they make sense.

mod bed;
mod changes;
mod children;
mod failures;
mod findings;
mod key_index;
mod keys;
mod ranges;
mod values;
