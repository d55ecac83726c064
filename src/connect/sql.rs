//! Readers for SQL databases: PostgreSQL, MySQL and MariaDB, SQLite.
