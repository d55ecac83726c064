//! The demo company's databases, on SQLite, PostgreSQL and MariaDB.

mod bed;
mod outbox;
mod reading;
mod writers;
mod writing;
