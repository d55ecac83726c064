//! `plumbline incident`: what is broken, and what people do about it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::table::{instant, table};
use super::{ConfigFile, Exit, Failure};
use crate::alert::teller::Teller;
use crate::alert::view::{amount, budget, duration};
use crate::audit::auditor::stored_state;
use crate::config::{Config, parse_duration};
use crate::incident::{Contributors, Happened, Incident, Refused, Step};
use crate::model::Moment;
use crate::state::{Changed, HeldIncident, IncidentChange, StateStore, Tell};

/// What to do with incidents.
#[derive(Debug, clap::Subcommand)]
pub enum IncidentCommand {
    /// List the incidents that are not resolved; exit 1 if there are any.
    List(ListArgs),
    /// Show one with its figures, records and timeline.
    Show(OneArgs),
    /// Say that you look at it.
    Ack(OneArgs),
    /// Put somebody in charge.
    Assign(AssignArgs),
    /// Keep quiet about it for a while; that it worsens or ends is told all the same.
    Snooze(SnoozeArgs),
    /// Write something down.
    Note(NoteArgs),
    /// End it by hand; what still breaks promises comes back at the next evaluation.
    Resolve(OneArgs),
}

/// Which incidents.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Resolved ones, too.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    file: ConfigFile,
}

/// Which incident, and who asks.
#[derive(Debug, clap::Args)]
pub struct OneArgs {
    /// Its id, or the beginning or the end of it.
    #[arg(value_name = "ID")]
    id: String,
    /// Who does it; kept with what is done.
    #[arg(long, value_name = "NAME", default_value = "somebody with access to the config")]
    by: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Who is in charge.
#[derive(Debug, clap::Args)]
pub struct AssignArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Who is in charge from now on.
    #[arg(long, value_name = "NAME")]
    to: String,
}

/// For how long.
#[derive(Debug, clap::Args)]
pub struct SnoozeArgs {
    #[command(flatten)]
    one: OneArgs,
    /// For how long: `2h`.
    #[arg(long, value_name = "DURATION")]
    r#for: String,
}

/// What is written down.
#[derive(Debug, clap::Args)]
pub struct NoteArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The text.
    #[arg(value_name = "TEXT")]
    text: String,
}

/// Lists, shows or changes incidents.
///
/// # Errors
/// A config with problems, an incident that there is not, a wish that makes no sense, or a state that does not answer.
pub async fn run(command: &IncidentCommand) -> Result<Exit, Failure> {
    match command {
        IncidentCommand::List(args) => list(args).await,
        IncidentCommand::Show(args) => show(args).await,
        IncidentCommand::Ack(args) => change(args, |incident, now| incident.acknowledge(&args.by, now)).await,
        IncidentCommand::Assign(args) => {
            change(&args.one, |incident, now| incident.assign(&args.to, &args.one.by, now).map(Some)).await
        }
        IncidentCommand::Snooze(args) => {
            let length = parse_duration(&args.r#for)
                .ok_or_else(|| Failure::usage(anyhow!("`{}` is not a duration such as `2h`", args.r#for)))?;
            change(&args.one, |incident, now| incident.snooze(now + length, &args.one.by, now).map(Some)).await
        }
        IncidentCommand::Note(args) => {
            change(&args.one, |incident, now| Ok(Some(incident.note(&args.text, &args.one.by, now)))).await
        }
        IncidentCommand::Resolve(args) => change(args, |incident, now| incident.resolve(&args.by, now).map(Some)).await,
    }
}

/// More than anybody reads.
const MOST: usize = 1_000;

async fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let Some(state) = stored_state(&config).await? else {
        println!("no auditor has run with this config yet");
        return Ok(Exit::Good);
    };
    let found = state.incidents(&config.plumbline.tenant, !args.all, MOST).await.context("incidents cannot be read")?;
    state.close().await;
    if found.is_empty() {
        println!("no incident");
        return Ok(Exit::Good);
    }
    let rows: Vec<Vec<String>> = found.iter().map(|held| row(&held.incident)).collect();
    print!("{}", table(&["id", "state", "severity", "since", "about", "breaks", "wrong", "in charge"], &rows, &[6]));
    Ok(if found.iter().any(|held| held.incident.is_open()) { Exit::Bad } else { Exit::Good })
}

fn row(incident: &Incident) -> Vec<String> {
    let broken: Vec<&str> = incident.broken.iter().map(|slo| slo.name.as_str()).collect();
    vec![
        short(incident),
        incident.state.as_str().to_owned(),
        incident.severity.as_str().to_owned(),
        instant(incident.opened_at),
        incident.cause.to_string(),
        broken.join(", "),
        incident.evidence.wrong.to_string(),
        incident.assignee.clone().unwrap_or_default(),
    ]
}

/// The end of an id: ids that are made one after the other begin alike.
fn short(incident: &Incident) -> String {
    let id = incident.id.to_string();
    id[id.len() - 12..].to_owned()
}

async fn show(args: &OneArgs) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let state = existing(&config).await?;
    let held = find(&state, &config, &args.id).await?;
    let steps = state.incident_steps(held.incident.id).await.context("the timeline cannot be read")?;
    state.close().await;
    print!("{}", render(&held.incident, &steps));
    Ok(Exit::Good)
}

async fn existing(config: &Config) -> Result<StateStore, Failure> {
    let state = stored_state(config).await?;
    state.ok_or_else(|| Failure::usage(anyhow!("no auditor has run with this config yet: there are no incidents")))
}

/// The one incident whose id begins or ends like this.
async fn find(state: &StateStore, config: &Config, id: &str) -> Result<HeldIncident, Failure> {
    let all = state.incidents(&config.plumbline.tenant, false, MOST).await.context("incidents cannot be read")?;
    let wanted = id.to_ascii_lowercase();
    let is_meant = |held: &HeldIncident| {
        let id = held.incident.id.to_string();
        id.starts_with(&wanted) || id.ends_with(&wanted)
    };
    let mut meant: Vec<HeldIncident> = all.into_iter().filter(is_meant).collect();
    match (meant.len(), wanted.is_empty()) {
        (1, false) => Ok(meant.remove(0)),
        (0, _) | (_, true) => {
            Err(Failure::usage(anyhow!("there is no incident `{id}`; `plumbline incident list --all`")))
        }
        (count, _) => Err(Failure::usage(anyhow!("`{id}` fits {count} incidents; write more of the id"))),
    }
}

/// How often a change is tried that somebody else gets ahead of.
const TRIES: usize = 5;

async fn change(
    args: &OneArgs,
    make: impl Fn(&mut Incident, Moment) -> Result<Option<Step>, Refused>,
) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let state = existing(&config).await?;
    let teller = teller(&config);
    for _ in 0..TRIES {
        let HeldIncident { mut incident, version } = find(&state, &config, &args.id).await?;
        let now = state.now().await.context("the state's clock")?;
        let step = make(&mut incident, now).map_err(|refused| Failure::usage(anyhow!("{refused}")))?;
        let Some(step) = step else {
            println!("{}: it is already", short(&incident));
            return Ok(Exit::Good);
        };
        let told = format!("{}: {}", short(&incident), step.happened.as_str());
        let change = IncidentChange { incident, version: Some(version), steps: vec![step] };
        let changed =
            state.change_incident(&change, None, teller.as_ref()).await.context("the incident stays as it is")?;
        if changed == Changed::Done {
            state.close().await;
            println!("{told}");
            return Ok(Exit::Good);
        }
    }
    Err(anyhow!("the incident changes faster than it can be changed; try again").into())
}

/// Who writes what people are told of a change by hand.
fn teller(config: &Config) -> Arc<dyn Tell> {
    Arc::new(Teller::new(Arc::clone(&config.alerting)))
}

fn render(incident: &Incident, steps: &[Step]) -> String {
    let mut text = format!(
        "{}  {} ({})\nabout   {}\nsince   {}\n",
        incident.id,
        incident.state.as_str(),
        incident.severity.as_str(),
        incident.cause,
        instant(incident.opened_at)
    );
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("{name:<8}{value}\n"));
        }
    };
    line("ended", incident.resolved_at.map(instant));
    line("blame", incident.blame.as_ref().map(|blame| format!("{}: {}", blame.system, blame.because)));
    line("charge", incident.assignee.clone());
    line("quiet", incident.snoozed_until.map(|until| format!("until {}", instant(until))));
    for slo in &incident.broken {
        let figures = format!(
            "{}: {} (burns at {:.1}x, {}; error budget {})",
            slo.name,
            slo.promise,
            slo.burn,
            slo.tier,
            budget(slo.budget_left)
        );
        line("breaks", Some(figures));
    }
    let evidence = &incident.evidence;
    line("wrong", Some(format!("{} of {} records, {} overdue", evidence.wrong, evidence.checked, evidence.overdue)));
    let lag = evidence.lag_p99_us.map(Duration::from_micros);
    line("lag", lag.map(|lag| format!("99 in 100 changes within {}", duration(lag))));
    let money: Vec<String> = evidence.money_at_risk.iter().map(amount).collect();
    line("money", (!money.is_empty()).then(|| money.join(", ")));
    for record in &evidence.samples {
        line("record", Some(format!("{}: {}", record.key, record.verdict)));
        let fields = record.fields.iter().zip(record.owner_values.iter().zip(&record.target_values));
        for (field, (owner, target)) in fields {
            line("", Some(format!("  {field}: {owner} (right) / {target} (there)")));
        }
        line("", record.link.clone());
    }
    let Contributors { keys, hours, targets } = &evidence.contributors;
    let named = |what: &str, counts: Vec<(String, u64)>| {
        let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        (!each.is_empty()).then(|| format!("{what}: {}", each.join(", ")))
    };
    line("worst", named("records", keys.clone()));
    line("", named("hours", hours.iter().map(|(hour, bad)| (instant(*hour), *bad)).collect()));
    line("", named("targets", targets.clone()));
    text.push('\n');
    for step in steps {
        text.push_str(&format!("{}  {}\n", instant(step.at), in_words(&step.happened)));
    }
    text
}

fn in_words(happened: &Happened) -> String {
    let word = happened.as_str();
    match happened {
        Happened::Opened | Happened::Worsened | Happened::Reopened | Happened::Reminder => word.to_owned(),
        Happened::Acknowledged { by } => format!("{word} by {by}"),
        Happened::Assigned { to, by } => format!("{word} to {to} by {by}"),
        Happened::Note { by, text } => format!("{word} by {by}: {text}"),
        Happened::Snoozed { until, by } => format!("{word} until {} by {by}", instant(*until)),
        Happened::Escalated { level } => format!("{word}, step {level}"),
        Happened::Notified { channel, outcome } => format!("{word} through {channel}: {outcome}"),
        Happened::Resolved { by: Some(by) } => format!("{word} by {by}"),
        Happened::Resolved { by: None } => format!("{word}: the figures are clean"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::view::example_incident;

    #[test]
    fn an_incident_is_shown_with_its_records_and_its_timeline() {
        let incident = example_incident();
        let steps = [
            Step { at: incident.opened_at, happened: Happened::Opened },
            Step {
                at: incident.opened_at,
                happened: Happened::Notified { channel: "mail".to_owned(), outcome: "delivered".to_owned() },
            },
        ];
        insta::assert_snapshot!(render(&incident, &steps), @r"
        0192f0c4-7d3a-7000-8000-000000000001  open (page)
        about   flow price: erp -> store
        since   2026-11-23T09:59:00Z
        blame   store: 412 of 412 late records are stale there, and it answered every read
        breaks  prices-fresh: 99.5 % of price changes erp -> store within 5m over 30d (burns at 61.2x, 14.4x over 1h and 5m; error budget overdrawn by 258 %)
        wrong   412 of 18230 records, 388 overdue
        lag     99 in 100 changes within 39 min
        money   1,284.50 EUR, 96.00 GBP
        record  4711: stale
                  price: 19.90 EUR (right) / 17.90 EUR (there)
                https://shop.example.org/wp-admin/post.php?post=4711
        record  4712: stale
                  price: 5.00 EUR (right) / 4.50 EUR (there)
                https://shop.example.org/wp-admin/post.php?post=4712
        record  4790: stale
                  price: 129.00 GBP (right) / 119.00 GBP (there)
                https://shop.example.org/wp-admin/post.php?post=4790
        record  4791: stale
                  price: 1.00 EUR (right) / 0.90 EUR (there)
                https://shop.example.org/wp-admin/post.php?post=4791
        worst   records: 4711 (4), 4790 (2)
                hours: 2026-11-23T10:00:00Z (371), 2026-11-23T09:00:00Z (41)
                targets: store (412), warehouse (3)

        2026-11-23T09:59:00Z  opened
        2026-11-23T09:59:00Z  notified through mail: delivered
        ");
    }
}
