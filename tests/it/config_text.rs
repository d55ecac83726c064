//! The text of a config, section by section: what a case says of its systems stands in the case, the rest here.

use std::fmt::Write as _;
use std::time::Duration;

use plumbline::sandbox::config::Addresses;
use plumbline::sandbox::{Faults, Options};

/// A config that is being written.
#[derive(Clone, Debug, Default)]
pub struct ConfigText(String);

impl ConfigText {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// `[plumbline]` with these lines.
    pub fn plumbline(self, lines: &str) -> Self {
        self.section("[plumbline]", lines)
    }

    /// `[system.NAME]` with these lines.
    pub fn system(self, name: &str, lines: &str) -> Self {
        self.section(&format!("[system.{name}]"), lines)
    }

    /// `[system.NAME]` for a database at a URL, or at `env:VARIABLE`.
    pub fn database(self, name: &str, kind: &str, url: &str, lines: &str) -> Self {
        self.system(name, &format!("kind = \"{kind}\"\nurl = \"{url}\"\n{lines}"))
    }

    /// `[entity.NAME]` with these lines.
    pub fn entity(self, name: &str, lines: &str) -> Self {
        self.section(&format!("[entity.{name}]"), lines)
    }

    /// `[entity.NAME.in.SYSTEM]` with these lines.
    pub fn mapping(self, entity: &str, system: &str, lines: &str) -> Self {
        self.section(&format!("[entity.{entity}.in.{system}]"), lines)
    }

    /// A probe of an entity, with more lines.
    pub fn probe(self, entity: &str, kind: &str, schedule: &str, lines: &str) -> Self {
        let lines = format!("entity = \"{entity}\"\nkind = \"{kind}\"\nschedule = \"{schedule}\"\n{lines}");
        self.section("[[probe]]", &lines)
    }

    /// The promise that an entity is fresh within this time, which makes that its deadline.
    pub fn fresh_within(self, entity: &str, deadline: &str) -> Self {
        self.promise(entity, entity, deadline, "")
    }

    /// A promise of that kind with a name of its own and more lines.
    pub fn promise(self, name: &str, entity: &str, deadline: &str, lines: &str) -> Self {
        let about = format!("name = \"{name}\"\nentity = \"{entity}\"\nindicator = \"freshness\"");
        let lines = format!("{about}\nwithin = \"{deadline}\"\nobjective = \"99%\"\nwindow = \"30d\"\n{lines}");
        self.section("[[slo]]", &lines)
    }

    /// Whole sections.
    pub fn more(mut self, sections: &str) -> Self {
        // Writing to a string cannot fail, here and below.
        writeln!(self.0, "{sections}").unwrap();
        self
    }

    /// The text.
    pub fn text(self) -> String {
        self.0
    }

    fn section(mut self, head: &str, lines: &str) -> Self {
        writeln!(self.0, "{head}\n{lines}").unwrap();
        self
    }
}

/// How the demo company behaves in tests that only want its config.
pub fn demo_options() -> Options {
    Options::for_run(1, None, Duration::from_secs(1), Faults::basic())
}

/// Databases beside the config, and services that do not answer.
pub fn nobody_answers() -> Addresses {
    let nobody = || "http://127.0.0.1:9".to_owned();
    Addresses {
        erp: "sqlite:erp.db".to_owned(),
        warehouse: "sqlite:warehouse.db".to_owned(),
        store: nobody(),
        crm: nobody(),
    }
}
