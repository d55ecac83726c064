//! A message that its receiver took is told once, even when the state database cannot note that at first.

use sqlx::{AssertSqlSafe, Row};

use super::bench::Bench;
use super::receiver::Receiver;
use crate::support::postgres;
use std::time::Duration;

/// How often the database refuses to note that a message was delivered. A sequence goes on when a transaction is undone.
const REFUSALS: i64 = 3;

#[tokio::test]
async fn what_was_taken_is_noted_by_and_by_and_not_sent_again() {
    let database = postgres().await.database().await;
    let hook = Receiver::start([]).await;
    let channel = "[channel.hook]\nkind = \"webhook\"\nurl = \"env:HOOK\"\nkey = \"env:KEY\"";
    let bench = Bench::over(&database.url(), channel, &[("HOOK", &hook.url)]).await;
    for text in [
        "CREATE SEQUENCE notings".to_owned(),
        format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('notings') <= {REFUSALS} THEN RAISE EXCEPTION 'busy'; END IF; RETURN NEW; END $$"
        ),
        "CREATE TRIGGER refuse BEFORE UPDATE ON outbox FOR EACH ROW \
         WHEN (NEW.status = 'delivered') EXECUTE FUNCTION refuse()"
            .to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(text)).execute(&database.pool()).await.unwrap();
    }
    bench.opens(&bench.incident(1, Duration::ZERO).await).await;
    let _sending = bench.start();
    hook.has(1).await;
    bench.quiet().await;
    let noted = sqlx::query("SELECT last_value, (SELECT attempts FROM outbox WHERE status = 'delivered') FROM notings");
    let noted = noted.fetch_one(&database.pool()).await.unwrap();
    assert_eq!(
        (noted.get::<i64, _>(0), noted.get::<i64, _>(1)),
        (REFUSALS + 1, 1),
        "one try, noted at the fourth time"
    );
    assert_eq!(hook.requests().len(), 1);
}
