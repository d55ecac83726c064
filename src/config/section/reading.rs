//! What reading one config text shares.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;

use toml::de::Error as SyntaxError;

use crate::config::problems::{At, Problem, Problems, line_and_column, on_one_line, suggestion};
use crate::config::secret::Environment;

use super::Entry;

/// What reading one config text shares: the text, its surroundings and the problems found so far.
pub(in crate::config) struct Reading<'a> {
    pub text: &'a str,
    pub file: &'a Path,
    /// Relative paths begin here.
    pub base_dir: &'a Path,
    pub environment: &'a Environment,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<(At, String)>>,
    /// Blocks that `for_each` repeated: where they are written, and the name of the repetition.
    repeated: RefCell<Vec<(At, String)>>,
    /// The repetition that is being read.
    repetition: RefCell<Option<String>>,
    /// Lines that are not TOML: what else is found there is an echo of that.
    broken_lines: Vec<usize>,
}

impl<'a> Reading<'a> {
    pub fn new(text: &'a str, file: &'a Path, base_dir: &'a Path, environment: &'a Environment) -> Self {
        let (problems, warnings, repeated, repetition) = Default::default();
        let broken_lines = Vec::new();
        Self { text, file, base_dir, environment, problems, warnings, repeated, repetition, broken_lines }
    }

    /// Reports what is not TOML.
    pub fn report_syntax(&mut self, errors: &[SyntaxError]) {
        for error in errors {
            let at = At(error.span().map_or(0, |span| span.start));
            self.problem(at, format!("not TOML: {}", error.message().replace('\n', ", ")));
        }
        self.broken_lines = self.problems.borrow().iter().map(|problem| problem.line).collect();
    }

    /// Whether the text is TOML. If not, what seems to be missing may be hidden behind the mistake.
    pub fn is_toml(&self) -> bool {
        self.broken_lines.is_empty()
    }

    pub fn problem(&self, at: At, message: impl Into<String>) {
        self.report(at, message.into(), None);
    }

    pub fn problem_with_hint(&self, at: At, message: impl Into<String>, hint: impl Into<String>) {
        self.report(at, message.into(), Some(hint.into()));
    }

    /// Reports a name that nothing has. Silent where the text is not TOML: what is named may be hidden there.
    pub fn unknown<'n>(
        &self,
        at: At,
        found: &str,
        what: impl Display,
        known: impl IntoIterator<Item = &'n str> + Clone,
    ) {
        if self.is_toml() {
            self.problem_with_hint(at, format!("`{found}` is not {what}"), suggestion(found, known));
        }
    }

    fn report(&self, at: At, message: String, hint: Option<String>) {
        let (line, column) = line_and_column(self.text, at);
        if !self.broken_lines.contains(&line) {
            let message = on_one_line(&self.in_repetition(message));
            self.problems.borrow_mut().push(Problem { line, column, message, hint });
        }
    }

    /// A legal but risky combination.
    pub fn warning(&self, at: At, message: impl Into<String>) {
        self.warnings.borrow_mut().push((at, self.in_repetition(message.into())));
    }

    /// Notes that the block written at `at` is repeated under this name.
    pub fn note_repeated(&self, at: At, name: &str) {
        self.repeated.borrow_mut().push((at, name.to_owned()));
    }

    /// While the answer lives, problems name the repetition that the entry is, if it is one.
    pub fn within(&self, entry: &Entry<'_>) -> Within<'_> {
        let is_repeated =
            self.repeated.borrow().iter().any(|(at, name)| *at == entry.name_at && name.as_str() == entry.name);
        *self.repetition.borrow_mut() = is_repeated.then(|| entry.name.to_owned());
        Within(&self.repetition)
    }

    fn in_repetition(&self, message: String) -> String {
        match &*self.repetition.borrow() {
            Some(name) => format!("{message} (for `{name}`)"),
            None => message,
        }
    }

    /// How many problems there are; compared later to know whether a part was read without any.
    pub fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// All problems, if there are any.
    pub fn problems(&self) -> Option<Problems> {
        let list = self.problems.borrow().clone();
        (!list.is_empty()).then(|| Problems::new(self.file, list))
    }

    /// All warnings in the order of the file, each with its place.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.borrow().clone();
        warnings.sort();
        let place = |at| {
            let (line, column) = line_and_column(self.text, at);
            format!("{}:{line}:{column}", self.file.display())
        };
        warnings.into_iter().map(|(at, message)| format!("{}: {message}", place(at))).collect()
    }
}

/// A repetition that is being read.
pub(in crate::config) struct Within<'r>(&'r RefCell<Option<String>>);

impl Drop for Within<'_> {
    fn drop(&mut self) {
        *self.0.borrow_mut() = None;
    }
}
