//! Limits: time, differences, memory, and what a failure says.

use std::time::Duration;

use plumbline::audit::sweep::Ended;
use plumbline::model::Verdict;
use plumbline::sweep::Strategy;

use super::bed::{Way, config, run, sweep};
use crate::verdicts::pair::{Pair, Product};

async fn numbers(owner: Product, target: Product, rows: usize) -> Pair {
    let pair = Pair::empty(owner, target).await;
    for side in [&pair.owner, &pair.target] {
        let series = match side.product() {
            Product::Postgres => format!("SELECT n, n FROM generate_series(1, {rows}) AS s(n)"),
            _ => format!("SELECT seq, seq FROM seq_1_to_{rows}"),
        };
        run(side, &["CREATE TABLE item (id bigint PRIMARY KEY, qty bigint)", &format!("INSERT INTO item {series}")])
            .await;
    }
    pair
}

const QTY: [(&str, &str); 1] = [("qty", "type = \"integer\"")];

#[tokio::test(flavor = "multi_thread")]
async fn everything_different_is_found_completely_and_changes_the_way() {
    let pair = numbers(Product::Postgres, Product::Postgres, 20_000).await;
    pair.target.run("UPDATE item SET qty = qty + 1").await;
    let config = config(&pair, "integer", &QTY, "");
    let swept = sweep(&config, &pair, Way::default()).await;
    let (mismatch, stale) = (swept.report.of(Verdict::Mismatch), swept.report.of(Verdict::Stale));
    assert_eq!((swept.found.len(), mismatch + stale), (20_000, 20_000));
    let choice = swept.report.choice.unwrap();
    assert_eq!(choice.strategy, Strategy::Stream, "{}", choice.reason);
    assert!(choice.reason.contains("rows differ"), "{}", choice.reason);
    assert_eq!(swept.report.about, None, "nobody has counted the rows");
    // Where the database knows how many rows there are, a first look at some of them tells.
    for side in [&pair.owner, &pair.target] {
        side.run("ANALYZE item").await;
    }
    let swept = sweep(&config, &pair, Way::default()).await;
    assert_eq!((swept.found.len(), swept.report.about), (20_000, Some(20_000)));
    assert_eq!(swept.report.choice.unwrap().reason, "100 % of the rows looked at first differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_side_costs_is_measured_and_said() {
    let pair = numbers(Product::Postgres, Product::Postgres, 200_000).await;
    for side in [&pair.owner, &pair.target] {
        side.run("ANALYZE item").await;
    }
    pair.target.run("UPDATE item SET qty = -1 WHERE id IN (3, 150000)").await;
    let config = config(&pair, "integer", &QTY, "");
    let swept = sweep(&config, &pair, Way::default()).await;
    swept.is(&["150000 mismatch qty", "3 mismatch qty"]);
    let reason = swept.report.choice.unwrap().reason;
    let figures: Vec<u64> =
        reason.split(|letter: char| !letter.is_ascii_digit()).filter_map(|figure| figure.parse().ok()).collect();
    assert!(reason.starts_with("measured first: `erp` hashes ") && reason.contains("`store` hashes "), "{reason}");
    assert!(figures.len() == 4 && figures.iter().all(|figure| *figure > 0), "{reason}");
    // Nobody measures what is not to be chosen.
    let asked = sweep(&config, &pair, Way::by(Strategy::Stream)).await;
    assert_eq!(asked.report.choice.unwrap().reason, "as asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_end_a_sweep_and_are_said() {
    let pair = numbers(Product::Postgres, Product::Mariadb, 30_000).await;
    pair.target.run("UPDATE item SET qty = qty + 1").await;
    let config = config(&pair, "integer", &QTY, "");
    let few = sweep(&config, &pair, Way { most_differences: Some(1_000), ..Way::default() }).await;
    assert_eq!((few.report.ended.clone(), few.report.verified_through), (Ended::EnoughFound, None));
    assert!((1_000..30_000).contains(&few.found.len()), "{}", few.found.len());
    let short = sweep(&config, &pair, Way { most_time: Some(Duration::ZERO), ..Way::default() }).await;
    assert_eq!((short.report.ended.clone(), short.report.verified_through), (Ended::TimeOver, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_no_difference() {
    let pair = numbers(Product::Postgres, Product::Mariadb, 1_000).await;
    pair.target.run("DROP TABLE item").await;
    let config = config(&pair, "integer", &QTY, "");
    let swept = sweep(&config, &pair, Way::default()).await;
    let Ended::Failed(reason) = &swept.report.ended else { panic!("{:?}", swept.report.ended) };
    assert!(reason.contains("`store`"), "{reason}");
    assert_eq!((swept.found.len(), swept.report.verified_through), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_that_cannot_be_had_are_refused_when_asked_for() {
    let pair = numbers(Product::Postgres, Product::Mariadb, 10).await;
    let swept = sweep(&config(&pair, "integer", &QTY, ""), &pair, Way::by(Strategy::Digest)).await;
    let expect = "`--strategy digest` is not possible: `store` computes no digests".to_owned();
    assert_eq!(swept.report.ended, Ended::Failed(expect));
}
