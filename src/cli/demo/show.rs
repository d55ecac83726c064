//! What the demo shows while it runs: the auditor's own figures, what its ledger says, and what was planted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::view::feed::{self, Trend};
use super::super::view::screen::Screen;
use super::super::view::{DiscrepancyLine, Fate, IncidentLine, PlantLine, View};
use super::reports::{Rows, cost, reports, verdict};
use super::story::Story;
use crate::audit::auditor::Auditor;
use crate::clock::{AnchoredClock, Clock};
use crate::config::{Config, ProbeKind};
use crate::ledger::{Ledger, LedgerError, OpenDiscrepancy};
use crate::metrics::Metrics;
use crate::model::{FlowId, Moment};
use crate::sandbox::score::{Case, CaseOutcome, Disturbed, Plant, Reports, score};
use crate::sandbox::truth::Address;
use crate::sandbox::{Options, Records};

/// The picture changes this often.
const FRAME: Duration = Duration::from_millis(250);
/// The ledger is asked this often.
const ASK: Duration = Duration::from_secs(1);
/// How long the auditor may take for its first look, and the ledger for the last rows.
const PATIENCE: Duration = Duration::from_secs(120);
/// A screen holds fewer.
const MOST_SHOWN: u64 = 200;
/// More rows than a demo of a day makes.
const MOST_ROWS: u64 = 5_000_000;

/// The view and where it is filled from.
pub struct Show {
    flows: Vec<FlowId>,
    archive: Archive,
    opened: Option<Moment>,
    trend: Trend,
    view: View,
}

/// What the ledger and the company have written down.
#[derive(Clone)]
struct Archive {
    ledger: Ledger,
    metrics: Arc<Metrics>,
    probes: u64,
    records: Records,
    options: Options,
    clock: AnchoredClock,
    began: Moment,
    story: Story,
}

/// What the ledger said last.
#[derive(Clone, Default)]
struct Told {
    discrepancies: Vec<DiscrepancyLine>,
    incidents: Vec<IncidentLine>,
    plants: Vec<PlantLine>,
}

impl Show {
    /// Watches this auditor and this company.
    pub fn new(
        auditor: &Auditor,
        config: &Config,
        records: Records,
        options: Options,
        clock: AnchoredClock,
        story: Story,
    ) -> Self {
        let ledger = Ledger::new(auditor.ledger(), config.plumbline.tenant.clone());
        // A probe of a schema leaves no run of a flow.
        let probes = config.probes.iter().filter(|probe| probe.kind != ProbeKind::Schema).count() as u64;
        let metrics = auditor.metrics();
        Self {
            flows: config.flows.iter().map(|flow| flow.id.clone()).collect(),
            archive: Archive { ledger, metrics, probes, records, options, began: clock.now(), clock, story },
            opened: None,
            trend: Trend::default(),
            view: View { title: "the auditor looks around".to_owned(), ..View::default() },
        }
    }

    /// Now, on the company's timeline.
    pub fn now(&self) -> Moment {
        self.archive.clock.now()
    }

    /// When the company opened; now if it has not.
    pub fn opened(&self) -> Moment {
        self.opened.unwrap_or_else(|| self.now())
    }

    /// Waits until every probe has run and the ledger knows it.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn wait_for_first_look(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        while self.archive.told_until().await.is_none() {
            feed::fill(&mut self.view, &self.archive.metrics, &self.flows);
            screen.show(&self.view)?;
            let waited = self.now().since(self.archive.began);
            anyhow::ensure!(waited < PATIENCE, "the auditor did not finish its first look within {PATIENCE:?}");
            tokio::time::sleep(FRAME).await;
        }
        Ok(())
    }

    /// The company opens now.
    pub fn open(&mut self) {
        self.opened = Some(self.now());
        self.view.title = format!("demo company, seed {}", self.archive.options.seed);
        self.view.run_for = self.archive.options.run_for;
    }

    /// Shows what happens until the time is over or a person quits.
    ///
    /// # Errors
    /// When the screen breaks.
    pub async fn run(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let opened = self.opened();
        let (tell, told) = watch::channel(Told::default());
        // The ledger may be slow; the picture must not be.
        let archive = self.archive.clone();
        let mut asking = JoinSet::new();
        asking.spawn(async move { archive.keep_telling(opened, tell).await });
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            self.refresh(opened, &told.borrow().clone());
            screen.show(&self.view)?;
            let is_over = self.view.run_for.is_some_and(|end| self.view.elapsed >= end);
            if is_over || screen.quit_asked()? {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(FRAME) => {}
                _ = &mut interrupt => return Ok(()),
            }
        }
    }

    fn refresh(&mut self, opened: Moment, told: &Told) {
        feed::fill(&mut self.view, &self.archive.metrics, &self.flows);
        self.view.elapsed = self.now().since(opened);
        let checks = self.view.flows.iter().flat_map(|flow| flow.verdicts).sum();
        self.trend.note(&mut self.view.checks_per_second, self.view.elapsed, checks);
        self.view.discrepancies.clone_from(&told.discrepancies);
        self.view.incidents.clone_from(&told.incidents);
        self.view.plants.clone_from(&told.plants);
    }

    /// Everything that the auditor said about what happened until then, as its ledger holds it.
    ///
    /// # Errors
    /// When the ledger does not get it all in time, or cannot be read.
    pub async fn everything_until(&self, closing: Moment) -> anyhow::Result<Reports> {
        let told = self.wait_until_told(closing, closing).await?;
        // A run's rows reach their tables one after the other; the next run's come after all of them.
        self.wait_until_told(told + Duration::from_micros(1), closing).await?;
        self.archive.said().await.context("the ledger cannot be read")
    }

    async fn wait_until_told(&self, moment: Moment, closing: Moment) -> anyhow::Result<Moment> {
        loop {
            if let Some(told) = self.archive.told_until().await.filter(|told| *told >= moment) {
                return Ok(told);
            }
            let waited = self.now().since(closing);
            anyhow::ensure!(waited < PATIENCE, "the ledger did not get everything within {PATIENCE:?}");
            tokio::time::sleep(FRAME).await;
        }
    }
}

impl Archive {
    /// Asks the ledger again and again until nobody listens.
    async fn keep_telling(self, opened: Moment, tell: watch::Sender<Told>) {
        while !tell.is_closed() {
            match self.tell(opened).await {
                Ok(told) => {
                    tell.send_replace(told);
                }
                // The ledger may be starting again; what it said last stays on the screen.
                Err(error) => tracing::warn!("the view could not be refreshed: {error:#}"),
            }
            tokio::time::sleep(ASK).await;
        }
    }

    async fn tell(&self, opened: Moment) -> anyhow::Result<Told> {
        // Judged by what the ledger can know by now: a spool that is behind is not a missed fault.
        let told_until = self.told_until().await.unwrap_or(opened);
        let open = self.ledger.open_discrepancies(self.began, MOST_SHOWN).await?;
        let events = self.ledger.discrepancy_events(self.began, MOST_ROWS).await?;
        let now = self.clock.now();
        let said = reports(&Rows { discrepancies: events, ..Rows::default() })?;
        let day = self.records.day();
        let cases = score(&day, &said, told_until, &self.options).cases;
        let lines = day.plants.iter().zip(cases).map(|(plant, case)| plant_line(plant, &case, opened, now));
        let disturbed = day.disturbed.iter().map(|disturbed| disturbed_line(disturbed, opened, now));
        let mut plants: Vec<PlantLine> = lines.chain(disturbed).collect();
        plants.sort_by_key(|line| std::cmp::Reverse(line.at));
        let discrepancies = open.into_iter().map(|open| line(open, now)).collect::<anyhow::Result<_>>()?;
        Ok(Told { plants, discrepancies, incidents: self.story.lines(opened).await? })
    }

    async fn said(&self) -> anyhow::Result<Reports> {
        let rows = Rows {
            discrepancies: self.ledger.discrepancy_events(self.began, MOST_ROWS).await?,
            freshness: self.ledger.freshness_events(self.began, MOST_ROWS).await?,
            looks: self.ledger.looks(self.began, MOST_ROWS).await?,
            seconds: self.ledger.seconds(self.began, MOST_ROWS).await?,
            blind: self.ledger.blindness(self.began, MOST_ROWS).await?,
            reshaped: self.ledger.reshaped(self.began, MOST_ROWS).await?,
            shares: self.ledger.sampled_shares(self.began, MOST_ROWS).await?,
        };
        Ok(Reports { cost: cost(&self.metrics)?, ..reports(&rows)? })
    }

    /// `None` also while the ledger does not answer: its tables are made after the start.
    async fn told_until(&self) -> Option<Moment> {
        let told: Result<Option<Moment>, LedgerError> = self.ledger.told_until(self.began, self.probes).await;
        told.unwrap_or_else(|error| {
            tracing::debug!("the ledger does not answer yet: {error}");
            None
        })
    }
}

fn line(open: OpenDiscrepancy, now: Moment) -> anyhow::Result<DiscrepancyLine> {
    let last = open.last;
    Ok(DiscrepancyLine {
        flow: format!("{}: {} -> {}", last.entity, last.owner, last.target),
        verdict: verdict(&last.verdict)?,
        key: last.key,
        likely: last.likely,
        lasted: now.since(Moment::from_micros(last.since_high)),
        fields: open.values,
    })
}

fn plant_line(plant: &Plant, case: &Case, opened: Moment, now: Moment) -> PlantLine {
    let Address { entity, target, key } = &plant.address;
    PlantLine {
        at: plant.at.since(opened),
        fault: plant.kind.to_string(),
        place: format!("{entity} in {target}"),
        key: key.clone(),
        fate: fate(plant, case, now),
    }
}

/// A system that is disturbed has no key, and nothing to be found: it is news.
fn disturbed_line(disturbed: &Disturbed, opened: Moment, now: Moment) -> PlantLine {
    let left = disturbed.span.high.since(now);
    PlantLine {
        at: disturbed.span.low.since(opened),
        fault: disturbed.kind.to_string(),
        place: format!("all of {}", disturbed.system),
        key: String::new(),
        fate: Fate::Disturbance { left: (left > Duration::ZERO).then_some(left) },
    }
}

fn fate(plant: &Plant, case: &Case, now: Moment) -> Fate {
    let found_as = case.found_as.as_deref().and_then(|word| verdict(word).ok());
    match (case.outcome, found_as) {
        (CaseOutcome::Found, Some(verdict)) => {
            Fate::Found { verdict, after: Duration::from_secs_f64(case.found_after_secs.unwrap_or_default()) }
        }
        (CaseOutcome::Missed | CaseOutcome::Found, _) => Fate::Unseen,
        (CaseOutcome::Undecided, _) if plant.until.is_some_and(|until| until < now) => Fate::Over,
        (CaseOutcome::Undecided, _) => Fate::Young,
    }
}
