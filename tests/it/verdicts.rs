//! The hard cases of judging, through the whole engine on real systems: reader, mapping, judge, queue, discrepancies.
//!
//! Most cases run on three pairs (PostgreSQL to MariaDB, MariaDB to PostgreSQL, SQLite to SQLite), each a test of its
//! own; docs/hard-cases.md tells what each case is about.

/// Makes one test of each case and pair: `NAME::postgres_to_mariadb` and so on.
macro_rules! on_each_pair {
    ($($(#[$attribute:meta])* async fn $name:ident($pair:ident: Pair) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn case($pair: Pair) $body

            #[tokio::test]
            async fn postgres_to_mariadb() {
                case(Pair::new(Product::Postgres, Product::Mariadb).await).await;
            }

            #[tokio::test]
            async fn mariadb_to_postgres() {
                case(Pair::new(Product::Mariadb, Product::Postgres).await).await;
            }

            #[tokio::test]
            async fn sqlite_to_sqlite() {
                case(Pair::new(Product::Sqlite, Product::Sqlite).await).await;
            }
        }
    )*};
}

mod between;
mod children;
mod clocks;
mod company;
mod failing;
mod holding;
mod key_index;
mod keys;
mod leaving;
mod moving;
pub mod pair;
mod sampling;
mod schema;
mod three;
mod two_way;
mod xref;
