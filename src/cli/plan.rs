//! `plumbline plan`: what the config costs, how soon it sees a drift, what it never sees, and what to write instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use super::check::ConfigFile;
use super::table::table;
use super::{Exit, Failure};
use crate::clock::{AnchoredClock, Clock};
use crate::config::{Config, parse_duration};
use crate::connect::{self, count_keys};
use crate::model::{EntityId, SystemId};
use crate::plan::{
    self, FlowPlan, Keys, KeysOf, Plan, PointsPlan, Proposal, RUN_OF_BAD, SamplePlan, Wanted, duration, percent,
};

mod json;

/// What to foretell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Propose sample probes that see such a share of bad keys, for instance `0.1%`.
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "within")]
    detect: Option<f64>,
    /// Within this time, for instance `24h`, in 95 of 100 cases.
    #[arg(long, value_name = "TIME", value_parser = time, requires = "detect")]
    within: Option<Duration>,
    /// How many keys an entity has, as `ENTITY=NUMBER`, or a number for all; otherwise the owners are asked.
    #[arg(long, value_name = "NUMBER")]
    keys: Vec<String>,
    /// How to show it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    file: ConfigFile,
}

/// How to show a plan.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').map(|percent| percent.trim().parse::<f64>().map(|percent| percent / 100.0));
    let share = number.unwrap_or_else(|| text.parse()).map_err(|error| error.to_string())?;
    if share > 0.0 && share < 1.0 {
        Ok(share)
    } else {
        Err("write a share above 0 and below 1, such as `0.1%`".to_owned())
    }
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|time| !time.is_zero()).ok_or_else(|| "write a duration, such as `24h`".to_owned())
}

/// Prints the plan. Good unless a system cannot be asked for its keys.
///
/// # Errors
/// A config with problems, or `--keys` that names no entity.
pub async fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args.file.load()?;
    let given = given(&config, &args.keys)?;
    let (keys, is_blind) = count(&config, &given).await;
    let plan = plan::plan(&config, &keys);
    let wanted = args.detect.zip(args.within).map(|(share, within)| Wanted { share, within });
    let proposals = wanted.map(|wanted| (wanted, plan::propose(&config, &keys, wanted)));
    match args.format {
        Format::Text => print!("{}", text(&plan, proposals.as_ref())),
        Format::Json => {
            println!("{}", json::document(&plan, proposals.as_ref()).context("the plan cannot be written")?)
        }
    }
    Ok(if is_blind { Exit::CouldNotRead } else { Exit::Good })
}

/// What `--keys` says, by entity.
fn given(config: &Config, said: &[String]) -> Result<BTreeMap<EntityId, u64>, Failure> {
    let number = |text: &str| {
        let number = text.replace(['_', ','], "").parse::<u64>();
        number.map_err(|_| Failure::usage(anyhow::anyhow!("`--keys {text}`: `{text}` is not a number of keys")))
    };
    let mut keys = BTreeMap::new();
    for said in said {
        match said.split_once('=') {
            None => {
                let count = number(said)?;
                config.entities.keys().for_each(|entity| {
                    keys.entry(entity.clone()).or_insert(count);
                });
            }
            Some((name, count)) => {
                let entity = config.entities.keys().find(|entity| entity.as_str() == name);
                let unknown =
                    || Failure::usage(anyhow::anyhow!("`--keys {said}`: `{name}` is not an entity of the config"));
                keys.insert(entity.ok_or_else(unknown)?.clone(), number(count)?);
            }
        }
    }
    Ok(keys)
}

/// The keys of every entity and owner: as said, else as the owner counts. Says whether an owner could not be asked.
async fn count(config: &Config, given: &BTreeMap<EntityId, u64>) -> (KeysOf, bool) {
    let clock: Arc<dyn Clock> = Arc::new(AnchoredClock::from_machine());
    let mut keys = KeysOf::new();
    let mut is_blind = false;
    for flow in &config.flows {
        let of = (flow.id.entity.clone(), flow.id.owner.clone());
        if keys.contains_key(&of) {
            continue;
        }
        let counted = match given.get(&flow.id.entity) {
            Some(count) => Ok(Some(Keys::Given(*count))),
            None => ask(config, &of, &clock).await.map(|count| count.map(Keys::Counted)),
        };
        match counted {
            Ok(Some(count)) => {
                keys.insert(of, count);
            }
            Ok(None) => {}
            Err(error) => {
                is_blind = true;
                tracing::warn!("the keys of `{}` are not known, `--keys` can say it: {error:#}", flow.id.entity);
            }
        }
    }
    (keys, is_blind)
}

async fn ask(config: &Config, of: &(EntityId, SystemId), clock: &Arc<dyn Clock>) -> anyhow::Result<Option<u64>> {
    let (entity, owner) = of;
    let system = config.systems.get(owner).context("no such system")?;
    let mapping = config.entities.get(entity).and_then(|entity| entity.mappings.get(owner)).context("no mapping")?;
    let reader = connect::open(system, Arc::clone(clock))?;
    Ok(count_keys(reader.as_ref(), mapping).await?)
}

type Proposals = (Wanted, Vec<Proposal>);

fn text(plan: &Plan, proposals: Option<&Proposals>) -> String {
    let mut text: String = plan.flows.iter().map(|flow| format!("{}\n", flow_text(flow))).collect();
    text.push_str(&systems_text(plan));
    if let Some((wanted, proposals)) = proposals {
        let (share, within) = (percent(wanted.share), duration(wanted.within));
        // Writing to a string cannot fail, here and below.
        let _written = write!(text, "\nto see a drift of {share} within {within}, in 95 of 100 cases:\n");
        proposals.iter().for_each(|proposal| text.push_str(&proposal_text(proposal)));
    }
    text
}

fn flow_text(flow: &FlowPlan) -> String {
    let keys = keys_words(flow.keys);
    let mut text = format!("{}  ({keys}, deadline {})\n", flow.flow, duration(flow.deadline));
    let mut line = |name: &str, words: &str| {
        let _written = writeln!(text, "  {name:<10}{words}");
    };
    let changes =
        flow.changes.map_or("no changes probe".to_owned(), |every| format!("changes every {}", duration(every)));
    let sample = flow.sample.as_ref().map_or("no sample probe".to_owned(), sample_words);
    line("probes", &format!("{changes}; {sample}"));
    line("cost", &format!("{} statements and {} rows a day", grouped(flow.calls), grouped(flow.rows)));
    for (system, points) in &flow.points {
        line("points", &format!("of `{system}` up to {}", points_words(points)));
    }
    if let Some(sample) = &flow.sample {
        let walk = format!("at least once in {}; a walk takes {}", duration(sample.every_key), duration(sample.walk));
        line("every key", &walk);
    }
    for (number, seen) in flow.see.iter().enumerate() {
        let name = if number == 0 { "drift of" } else { "" };
        let time = |time: Option<Duration>| time.map_or("never".to_owned(), duration);
        let words = match seen.apart {
            None => format!("{:<8}less than one key", percent(seen.share)),
            Some(apart) => format!(
                "{:<8}{:>9} keys: seen in {} if they lie apart, in {} in runs of {RUN_OF_BAD}",
                percent(seen.share),
                grouped(seen.bad as f64),
                duration(apart),
                time(seen.together)
            ),
        };
        line(name, &words);
    }
    if let Some(sample) = &flow.sample {
        let vouched = match percent(sample.at_most_after_a_day) {
            _ if sample.at_most_after_a_day <= 0.0 => "a day looks at every key: nothing is left to chance".to_owned(),
            most => format!("after a day without a bad key: at most {most} are bad"),
        };
        line("vouches", &vouched);
    }
    flow.slos.iter().for_each(|slo| line("slo", slo));
    flow.blind.iter().for_each(|blind| line("blind", blind));
    text
}

fn points_words(points: &PointsPlan) -> String {
    let [a_day, given] = [points.a_day, points.given_a_day].map(grouped);
    format!("{a_day} a day, {} of the {given} that we may use", percent(points.share()))
}

fn keys_words(keys: Keys) -> String {
    let count = grouped(keys.count() as f64);
    match keys {
        Keys::Counted(_) => format!("{count} keys"),
        Keys::Given(_) => format!("{count} keys, as said"),
        Keys::Assumed(_) => format!("{count} keys assumed: nobody knows"),
    }
}

fn sample_words(sample: &SamplePlan) -> String {
    format!("sample of {} keys every {}", grouped(sample.keys_per_run as f64), duration(sample.interval))
}

fn systems_text(plan: &Plan) -> String {
    let rows: Vec<Vec<String>> = plan
        .systems
        .iter()
        .map(|system| {
            vec![
                system.system.to_string(),
                grouped(system.calls),
                grouped(system.rows),
                percent(system.share),
                duration(system.longest_run),
            ]
        })
        .collect();
    let head = ["system", "statements a day", "rows a day", "of its budget", "longest run"];
    let mut text = table(&head, &rows, &[1, 2, 3, 4]);
    for (system, points) in plan.systems.iter().filter_map(|system| Some((system, system.points.as_ref()?))) {
        let _written = writeln!(text, "points of `{}`: up to {}", system.system, points_words(points));
    }
    for system in &plan.systems {
        for too_much in &system.too_much {
            let _written = writeln!(text, "too much for `{}`: {too_much}", system.system);
        }
    }
    text
}

fn proposal_text(proposal: &Proposal) -> String {
    let head = format!("{} in {} ({})", proposal.entity, proposal.owner, keys_words(proposal.keys));
    match &proposal.sample {
        Err(reason) => format!("\n# {head}: {reason}\n"),
        Ok(sample) => format!(
            "\n# {head}: a walk takes {}\n{}",
            duration(sample.walk),
            toml_of(&proposal.entity, &proposal.owner, sample)
        ),
    }
}

fn toml_of(entity: &EntityId, owner: &SystemId, sample: &SamplePlan) -> String {
    format!(
        "[[probe]]\nentity = \"{entity}\"\nowner = \"{owner}\"\nkind = \"sample\"\nschedule = \"every {}\"\nkeys_per_run = {}\n",
        duration(sample.interval).replace(' ', ""),
        sample.keys_per_run
    )
}

/// `1,234,567`.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
