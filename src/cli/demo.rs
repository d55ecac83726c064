//! `plumbline demo`: a small company whose sync job makes mistakes, an auditor that looks for them, and a judge that
//! says who was right.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::view::screen::Screen;
use super::{Exit, Failure, LogTo, on_runtime, start_log};
use crate::audit::auditor::{Auditor, Options as AuditorOptions, Stop};
use crate::clock::AnchoredClock;
use crate::config;
use crate::sandbox::post::Post;
use crate::sandbox::score::{Summary, score};
use crate::sandbox::{self, Company, Faults, Options, Places, System};

mod reports;
mod show;
mod story;

use show::Show;
use story::Story;

/// What to show and for how long.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// End by itself after so long, for instance `60s` or `5m`; else with `q`.
    #[arg(long = "for", value_name = "DURATION", value_parser = run_for)]
    run_for: Option<Duration>,

    /// Decides which changes are made and which are spoiled.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Which faults are planted: `basic`, `all`, or names with commas between, for instance `drop,hot-key`.
    #[arg(long, value_name = "KINDS", default_value = "basic", value_parser = str::parse::<Faults>)]
    faults: Faults,

    /// Changes a second that people make, on average.
    #[arg(long, value_name = "NUMBER", default_value_t = 8.0, value_parser = changes)]
    changes: f64,

    /// How often the auditor looks, for instance `2s`.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    every: Duration,

    /// The ERP on this empty database instead of SQLite: `postgres://…` or `mysql://…`.
    #[arg(long, value_name = "URL", requires = "warehouse")]
    erp: Option<String>,

    /// The warehouse on this empty database instead of SQLite.
    #[arg(long, value_name = "URL", requires = "erp")]
    warehouse: Option<String>,

    /// Reach all systems over a network in which a question and its answer travel so long, for instance `20ms`; with it
    /// databases on servers can have outages, too.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    network: Option<Duration>,

    /// Write what was planted, found and missed to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,

    /// Lines instead of the live view.
    #[arg(long)]
    plain: bool,

    /// Keep the company and the auditor's data in this directory, which must be empty; else they are thrown away.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl DemoArgs {
    /// How big the company is and how it behaves.
    fn options(&self) -> Options {
        let mut options = Options::for_run(self.seed, self.run_for, self.every, self.faults.clone());
        options.changes_per_second = self.changes;
        options.round_trip = self.network.unwrap_or_default();
        if self.network.is_some() && self.erp.is_some() {
            options.breakable = &System::ALL;
        }
        options
    }
}

/// Shorter, no fault could be told from slowness.
const SHORTEST: Duration = Duration::from_secs(20);

fn duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| "write for instance `20ms`, `60s` or `5m`".to_owned())
}

fn changes(text: &str) -> Result<f64, String> {
    let found: f64 = text.parse().map_err(|_| "write a number".to_owned())?;
    if (0.1..=10_000.0).contains(&found) { Ok(found) } else { Err("must be from 0.1 to 10000".to_owned()) }
}

fn run_for(text: &str) -> Result<Duration, String> {
    let found = duration(text)?;
    if found < SHORTEST {
        return Err(format!(
            "must be at least `{}s`: a fault must outlive its deadline to be seen",
            SHORTEST.as_secs()
        ));
    }
    Ok(found)
}

/// Where the company lives. A directory that nobody named is removed at the end.
enum Place {
    /// Kept.
    Named(PathBuf),
    /// Removed when dropped.
    Passing(tempfile::TempDir),
}

impl Place {
    /// The directory of `args`, made if it is missing; refused if it is not empty.
    fn of(args: &DemoArgs) -> Result<Self, Failure> {
        let Some(directory) = &args.dir else {
            let directory = tempfile::Builder::new().prefix("plumbline-demo-").tempdir();
            return Ok(Self::Passing(directory.context("cannot make a temporary directory")?));
        };
        let named = || format!("`--dir {}`", directory.display());
        std::fs::create_dir_all(directory).with_context(named).map_err(Failure::usage)?;
        let mut entries = std::fs::read_dir(directory).with_context(named).map_err(Failure::usage)?;
        if entries.next().is_some() {
            return Err(Failure::usage(anyhow::anyhow!("{} is not empty; name a new directory", named())));
        }
        Ok(Self::Named(directory.clone()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Named(directory) => directory,
            Self::Passing(directory) => directory.path(),
        }
    }
}

/// Runs the demo. Logs go to a file beside the company: the terminal belongs to the view.
///
/// # Errors
/// When a part does not start or breaks.
pub fn start(args: &DemoArgs, log: &str) -> Result<Exit, Failure> {
    let place = Place::of(args)?;
    start_log(log, LogTo::File(place.path().join("plumbline.log")))?;
    on_runtime(run(args, &place))
}

/// Company and auditor side by side until the time is over or a person quits, then the judgement.
async fn run(args: &DemoArgs, place: &Place) -> Result<Exit, Failure> {
    let directory = std::path::absolute(place.path()).context("the directory")?;
    let options = args.options();
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let clock = AnchoredClock::from_machine();
    let mut places = Places::in_directory(&directory, &program)?;
    if let (Some(erp), Some(warehouse)) = (&args.erp, &args.warehouse) {
        (places.erp, places.warehouse) = (erp.clone(), warehouse.clone());
    }
    places.network = args.network;
    let mut company =
        Company::create(places, options.clone(), clock.clone()).await.context("the company cannot be founded")?;
    let file = sandbox::config::write(&directory, &options, company.addresses())?;
    let post = Arc::new(Post::open(&directory.join("mails")).await.context("the company's mail server")?);
    sandbox::config::add_mail(&file, &post.url())?;
    let config = Arc::new(config::load(&file).map_err(anyhow::Error::from)?);
    eprintln!("starting the auditor and its ledger …");
    let auditor = Auditor::open(Arc::clone(&config), &AuditorOptions { program }).await?;
    let story = Story::new(auditor.state(), config.plumbline.tenant.clone(), post);
    let mut show = Show::new(&auditor, &config, company.records(), options.clone(), clock, story.clone());
    let stop = Stop::default();
    let mut auditing = tokio::spawn(auditor.run(stop.clone()));

    let outcome = tokio::select! {
        shown = live(args, &mut company, &mut show) => shown,
        ended = &mut auditing => Err(early(ended)),
    };
    let records = company.records();
    let closed = company.close().await.context("the company broke down");
    let closing = show.now();
    let judged = match outcome.and(closed) {
        Ok(()) => {
            let reports = tokio::select! {
                reports = show.everything_until(closing) => reports,
                ended = &mut auditing => Err(early(ended)),
            };
            reports.map(|reports| score(&records.day(), &reports, closing, &options))
        }
        Err(error) => Err(error),
    };
    let incidents = story.told(show.opened()).await;
    stop.gentle.cancel();
    if matches!(place, Place::Passing(_)) {
        // Nobody will read what is not yet in the ledger.
        stop.now.cancel();
    }
    if !auditing.is_finished() {
        auditing.await.context("the auditor died")??;
    }
    let summary = judged?;
    if let Some(file) = &args.summary {
        let text = serde_json::to_string_pretty(&summary).context("the summary cannot be written")?;
        std::fs::write(file, text + "\n").with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    print!("{}{}", incidents?, verdict(&summary));
    Ok(if summary.is_right() { Exit::Good } else { Exit::Bad })
}

/// Shows the view until the end.
async fn live(args: &DemoArgs, company: &mut Company, show: &mut Show) -> anyhow::Result<()> {
    let mut screen = Screen::open(args.plain)?;
    show.wait_for_first_look(&mut screen).await?;
    company.open().await?;
    show.open();
    tokio::select! {
        shown = show.run(&mut screen) => shown,
        ended = company.ended() => ended.context("the company broke down"),
    }
}

/// The auditor ended before it was asked to.
fn early(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow::anyhow!("the auditor ended by itself"),
        Ok(Err(error)) => error.context("the auditor gave up"),
        Err(error) => anyhow::Error::new(error).context("the auditor died"),
    }
}

/// The result for people.
fn verdict(summary: &Summary) -> String {
    let mut text = String::new();
    for case in &summary.cases {
        let said = case.found_as.clone().or_else(|| case.said.last().map(|said| said.verdict.clone()));
        let said = said.unwrap_or_else(|| "nothing".to_owned());
        let after = case.found_after_secs.map_or_else(String::new, |secs| format!(" after {secs:.1} s"));
        let outcome = serde_json::to_value(case.outcome).ok();
        let outcome = outcome.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
        text.push_str(&format!(
            "{outcome:<9}  {:<9}  {:<8}  {:<9}  {:<8}  reported {said}{after}\n",
            case.fault, case.entity, case.target, case.key
        ));
    }
    for case in &summary.false_cases {
        text.push_str(&format!(
            "false      {} {} in {} reported {} at {}\n",
            case.entity, case.key, case.target, case.verdict, case.at
        ));
    }
    let Summary { planted, found, missed, undecided, false_reports, lag_checked, lag_outside, .. } = summary;
    text.push_str(&format!(
        "{}: {planted} planted, {found} found, {missed} missed, {undecided} undecided, {false_reports} false reports, \
         {lag_checked} lags checked, {lag_outside} outside their bounds\n",
        if summary.is_right() { "right" } else { "wrong" }
    ));
    text
}
