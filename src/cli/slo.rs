//! `plumbline slo`: how the promises stand, and what would have been told of the past.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate};

use super::table::{counted, instant, table};
use super::{ConfigFile, Exit, Failure};
use crate::alert::view::amount;
use crate::audit::auditor::{Options, read_ledger, stored_state};
use crate::audit::promises::{Line, Past, Status, UNIT, all_maintenance, past};
use crate::clock::{AnchoredClock, Clock};
use crate::config::{self, Config};
use crate::incident::{Contributors, Incident};
use crate::ledger::Ledger;
use crate::model::Moment;
use crate::slo::Minute;

/// Open incidents that are looked at.
const MOST: usize = 1_000;

/// What to know of the promises.
#[derive(Debug, clap::Subcommand)]
pub enum SloCommand {
    /// How each promise stands, as of the last evaluation; exit 1 if one is burning, overdrawn or without data.
    Status(StatusArgs),
    /// When somebody would have been told with this config, from the ledger; exit 1 if ever.
    Backtest(BacktestArgs),
}

/// Which promises.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Only this SLO, with what uses up most of its budget.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

/// Which past.
#[derive(Debug, clap::Args)]
pub struct BacktestArgs {
    /// From: `2026-11-01`, `2026-11-01T08:00:00Z`, or so long ago: `7d`.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    from: String,
    /// To, in the same forms; now unless given.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

/// Tells how promises stand or stood.
///
/// # Errors
/// A config with problems, or state or ledger that do not answer.
pub async fn run(command: &SloCommand) -> Result<Exit, Failure> {
    match command {
        SloCommand::Status(args) => status(args).await,
        SloCommand::Backtest(args) => run_backtest(args).await,
    }
}

async fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    if config.slos.is_empty() {
        println!("the config promises nothing: there is no `[[slo]]`");
        return Ok(Exit::Good);
    }
    let Some(state) = stored_state(&config).await? else {
        println!("no auditor has run with this config yet");
        return Ok(Exit::Good);
    };
    if let Some(name) = args.name.as_ref().filter(|name| config.slos.iter().all(|slo| slo.name() != *name)) {
        let known: Vec<&str> = config.slos.iter().map(|slo| slo.name()).collect();
        return Err(Failure::usage(anyhow::anyhow!(
            "`{name}` is no SLO of the config; there are `{}`",
            known.join("`, `")
        )));
    }
    let stored = state.position(UNIT).await.context("how promises stand cannot be read")?;
    let open = state.incidents(&config.plumbline.tenant, true, MOST).await.context("incidents cannot be read")?;
    state.close().await;
    let Some(mut status) = stored.and_then(|stored| Status::from_stored(&stored)) else {
        println!("the promises have not been evaluated yet");
        return Ok(Exit::Good);
    };
    status.lines.retain(|line| args.name.as_ref().is_none_or(|name| line.slo == *name));
    let head = ["slo", "flow", "state", "good", "promised", "burn", "budget left", "used up in", "overdue", "seen"];
    let rows: Vec<Vec<String>> = status.lines.iter().map(|line| row(line, &config)).collect();
    print!("{}", table(&head, &rows, &[3, 4, 5, 6, 7, 8, 9]));
    if args.name.is_some() {
        let open: Vec<Incident> = open.into_iter().map(|held| held.incident).collect();
        status.lines.iter().for_each(|line| print!("{}", detail(line, &open)));
    }
    println!("as of {}", instant(Minute(status.minute).start()));
    let is_kept = |line: &Line| matches!(line.state.as_str(), "kept" | "holding");
    Ok(if status.lines.iter().all(is_kept) { Exit::Good } else { Exit::Bad })
}

/// The flow or queue, in words.
fn about(line: &Line) -> String {
    match line.entity.as_str() {
        "" => format!("{} of {}", line.target, line.owner),
        entity => format!("{entity}: {} -> {}", line.owner, line.target),
    }
}

fn row(line: &Line, config: &Config) -> Vec<String> {
    let objective = config.slos.iter().find(|slo| slo.name() == line.slo).map(|slo| slo.promise.objective);
    vec![
        line.slo.clone(),
        about(line),
        line.state.clone(),
        shares(line.sli),
        objective.map_or_else(String::new, |objective| objective.to_string()),
        format!("{:.1}x", line.burn),
        percent(line.budget_left),
        line.exhausted_in.map_or_else(|| "never".to_owned(), minutes),
        line.overdue.to_string(),
        percent(line.coverage),
    ]
}

/// What uses up most of the budget of a promise about a flow, and the open incidents that it is part of.
fn detail(line: &Line, open: &[Incident]) -> String {
    let mut text = format!("{}\n", line.promise);
    let mut add = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            text.push_str(&format!("  {name:<15}{}\n", values.join(", ")));
        }
    };
    let Contributors { keys, hours, targets } = &line.contributors;
    let often = |times: u64| counted(usize::try_from(times).unwrap_or(usize::MAX), "time");
    add("worst records", keys.iter().map(|(key, times)| format!("{key} ({})", often(*times))).collect());
    add("worst hours", hours.iter().map(|(hour, bad)| format!("{} ({bad} bad)", instant(*hour))).collect());
    add("worst targets", targets.iter().map(|(target, bad)| format!("{target} ({bad} bad)")).collect());
    let is_about = |incident: &&Incident| {
        let breaks = incident.broken.iter().any(|slo| slo.name == line.slo && slo.promise == line.promise);
        breaks || incident.flow().is_some_and(|flow| flow.to_string() == about(line))
    };
    for incident in open.iter().filter(is_about) {
        let money: Vec<String> = incident.evidence.money_at_risk.iter().map(amount).collect();
        add("incident", vec![format!("{} ({}), {}", incident.id, incident.severity.as_str(), incident.cause)]);
        add("money at risk", money);
    }
    text
}

/// One share, or the best and the worst case where they differ.
fn shares((best, worst): (f64, f64)) -> String {
    if best - worst < 5e-5 { percent(best) } else { format!("{} to {}", percent(worst), percent(best)) }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn minutes(minutes: i64) -> String {
    let minutes = u64::try_from(minutes).unwrap_or(0);
    match minutes {
        0 => "used up".to_owned(),
        _ => crate::plan::duration(Duration::from_secs(minutes.saturating_mul(60))),
    }
}

async fn run_backtest(args: &BacktestArgs) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let now = AnchoredClock::from_machine().now();
    let (from, to) = span(args, now)?;
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let (engine, client) = read_ledger(&config, &Options { program }).await?;
    let ledger = Ledger::new(client, config.plumbline.tenant.clone());
    let state = stored_state(&config).await?;
    let maintenance = all_maintenance(&config, state.as_ref(), from).await.context("maintenance cannot be read")?;
    if let Some(state) = state {
        state.close().await;
    }
    let found = past(&config, &ledger, &maintenance, (from, to)).await.context("the ledger cannot be read");
    if let Some(engine) = engine.and_then(std::sync::Arc::into_inner) {
        engine.stop().await;
    }
    let found = found?;
    print!("{}", render(&found, (from, to)));
    Ok(if found.iter().all(|past| past.episodes.is_empty()) { Exit::Good } else { Exit::Bad })
}

/// The longest past that is replayed at once.
const LONGEST: i64 = 92 * 1440;

fn span(args: &BacktestArgs, now: Moment) -> Result<(Minute, Minute), Failure> {
    let from = Minute::of(time(&args.from, now)?);
    let to = args.to.as_deref().map_or(Ok(Minute::of(now)), |text| time(text, now).map(Minute::of))?;
    if from >= to {
        return Err(Failure::usage(anyhow::anyhow!("`--from` must be before `--to`")));
    }
    if to.0 - from.0 > LONGEST {
        return Err(Failure::usage(anyhow::anyhow!("at most 92 days can be replayed at once")));
    }
    Ok((from, to))
}

/// A day, a time, or so long ago.
pub(super) fn time(text: &str, now: Moment) -> Result<Moment, Failure> {
    if let Some(ago) = config::parse_duration(text) {
        return Ok(now - ago);
    }
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let day = || text.parse::<NaiveDate>().map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
    let found = time.or_else(|_| day());
    found.map(Moment::from).map_err(|_| {
        let message = "is not a time; write `2026-11-01`, `2026-11-01T08:00:00Z`, or `7d` for seven days ago";
        Failure::usage(anyhow::anyhow!("`{text}` {message}"))
    })
}

fn render(found: &[Past], (from, to): (Minute, Minute)) -> String {
    let episodes = || found.iter().flat_map(|past| past.episodes.iter().map(move |episode| (past, episode)));
    let count = |word: &str| episodes().filter(|(_, episode)| episode.severity.as_str() == word).count();
    let mut text = format!(
        "from {} to {}: would have paged {} and opened {}\n",
        instant(from.start()),
        instant(to.start()),
        counted(count("page"), "time"),
        counted(count("ticket"), "ticket")
    );
    let rows: Vec<Vec<String>> = episodes()
        .map(|(past, episode)| {
            let end = episode.to.map_or_else(|| "still".to_owned(), |to| minutes(to.0 - episode.from.0));
            vec![
                instant(episode.from.start()),
                end,
                episode.severity.as_str().to_owned(),
                past.slo.clone(),
                past.about.clone(),
                format!("{} (up to {:.1}x)", episode.tier, episode.burn),
                episode.reopened.to_string(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&table(&["when", "for", "severity", "slo", "about", "why", "came back"], &rows, &[6]));
    }
    for ((slo, began), about) in unknown_before(found, from) {
        let since =
            began.map_or_else(|| "nothing".to_owned(), |began| format!("nothing before {}", instant(began.start())));
        let about = if about.len() > 3 { counted(about.len(), "flow") } else { about.join(", ") };
        text.push_str(&format!("note: the ledger knows {since} of `{slo}` for {about}\n"));
    }
    text
}

/// What the ledger does not know the begin of, of each SLO together.
fn unknown_before(found: &[Past], from: Minute) -> BTreeMap<(&str, Option<Minute>), Vec<&str>> {
    let mut unknown: BTreeMap<(&str, Option<Minute>), Vec<&str>> = BTreeMap::new();
    for past in found.iter().filter(|past| past.began.is_none_or(|began| began > from)) {
        unknown.entry((&past.slo, past.began)).or_default().push(&past.about);
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::Severity;
    use crate::slo::Episode;

    #[test]
    fn a_backtest_reads_like_a_log() {
        let at = |minute: i64| Minute(29_450_880 + minute);
        let past = Past {
            slo: "fresh".to_owned(),
            promise: String::new(),
            about: "stock: erp -> store".to_owned(),
            episodes: vec![Episode {
                from: at(60),
                to: Some(at(135)),
                severity: Severity::Page,
                tier: "14.4x over 1h and 5m".to_owned(),
                burn: 33.34,
                reopened: 1,
            }],
            began: Some(at(10)),
        };
        insta::assert_snapshot!(render(&[past], (at(0), at(1440))), @r"
        from 2025-12-30T00:00:00Z to 2025-12-31T00:00:00Z: would have paged 1 time and opened 0 tickets
        when                  for     severity  slo    about                why                                 came back
        2025-12-30T01:00:00Z  1h 15m  page      fresh  stock: erp -> store  14.4x over 1h and 5m (up to 33.3x)          1
        note: the ledger knows nothing before 2025-12-30T00:10:00Z of `fresh` for stock: erp -> store
        ");
    }

    #[test]
    fn the_detail_names_what_uses_up_the_budget() {
        let mut incident = crate::alert::view::example_incident();
        incident.broken[0].name = "fresh".to_owned();
        let hour = Minute(29_450_880).start();
        let line = Line {
            slo: "fresh".to_owned(),
            promise: incident.broken[0].promise.clone(),
            entity: "price".to_owned(),
            owner: "erp".to_owned(),
            target: "store".to_owned(),
            state: "burning".to_owned(),
            sli: (0.9, 0.9),
            raw: (0.9, 0.9),
            burn: 20.0,
            budget_left: -1.0,
            exhausted_in: Some(0),
            coverage: 1.0,
            overdue: 3,
            contributors: Contributors {
                keys: vec![("4711".to_owned(), 4)],
                hours: vec![(hour, 371)],
                targets: vec![("store".to_owned(), 412)],
            },
        };
        insta::assert_snapshot!(detail(&line, &[incident]), @r"
        99.5 % of price changes erp -> store within 5m over 30d
          worst records  4711 (4 times)
          worst hours    2025-12-30T00:00:00Z (371 bad)
          worst targets  store (412 bad)
          incident       0192f0c4-7d3a-7000-8000-000000000001 (page), flow price: erp -> store
          money at risk  1,284.50 EUR, 96.00 GBP
        ");
    }

    #[test]
    fn times_are_days_instants_or_durations() {
        let now = Moment::from_micros(1_000_000_000_000_000);
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(time(text, now).ok().map(|time| time.micros() / 1_000_000), expect, "{text}");
        };
        check("1h", Some(999_996_400));
        check("1970-01-02", Some(86_400));
        check("1970-01-02T00:00:00+01:00", Some(82_800));
        check("yesterday", None);
    }
}
