//! What reading one config text shares.

use std::cell::RefCell;
use std::fmt::Display;
use std::path::Path;

use toml::de::Error as SyntaxError;

use crate::config::problems::{At, Problem, Problems, line_and_column, on_one_line, suggestion};
use crate::config::repeat::EACH;
use crate::config::secret::Environment;

/// What reading one config text shares: the text, its surroundings and the problems found so far.
pub(in crate::config) struct Reading<'a> {
    pub text: &'a str,
    pub file: &'a Path,
    /// Relative paths begin here.
    pub base_dir: &'a Path,
    pub environment: &'a Environment,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<(At, String)>>,
    /// The repetitions that `for_each` made: the first one's name stands first.
    repetitions: RefCell<Vec<String>>,
    /// Lines that are not TOML: what else is found there is an echo of that.
    broken_lines: Vec<usize>,
}

impl<'a> Reading<'a> {
    pub fn new(text: &'a str, file: &'a Path, base_dir: &'a Path, environment: &'a Environment) -> Self {
        let (problems, warnings, repetitions) = Default::default();
        let broken_lines = Vec::new();
        Self { text, file, base_dir, environment, problems, warnings, repetitions, broken_lines }
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
        let (inside, repetition) = self.repetition_of(at);
        let (line, column) = line_and_column(self.text, inside);
        if !self.broken_lines.contains(&line) {
            let message = on_one_line(&self.named(repetition, message));
            self.problems.borrow_mut().push(Problem { line, column, message, hint });
        }
    }

    /// A legal but risky combination.
    pub fn warning(&self, at: At, message: impl Into<String>) {
        let (inside, repetition) = self.repetition_of(at);
        self.warnings.borrow_mut().push((inside, self.named(repetition, message.into())));
    }

    /// A repetition called `name` of what is part of the repetition `of` already (0: of none). Its number.
    ///
    /// A repetition's places lie behind the text, as far behind as its number says, so that whatever is found at one of
    /// them, however late, tells in which repetition.
    pub fn repeat(&self, of: usize, name: &str) -> usize {
        let mut repetitions = self.repetitions.borrow_mut();
        let outer = of.checked_sub(1).and_then(|of| repetitions.get(of));
        let within = |outer: &String| format!("{}, `{name}`", outer.replace(EACH, name));
        let name = outer.map_or_else(|| format!("`{name}`"), within);
        repetitions.push(name);
        repetitions.len()
    }

    /// The place of `at` in the text, and the repetition that it is part of; 0 for none.
    pub fn repetition_of(&self, at: At) -> (At, usize) {
        let stride = self.text.len() + 1;
        (At(at.0 % stride), at.0 / stride)
    }

    /// The same place in a repetition.
    pub fn in_repetition(&self, at: At, repetition: usize) -> At {
        At(at.0 + repetition * (self.text.len() + 1))
    }

    fn named(&self, repetition: usize, message: String) -> String {
        match repetition.checked_sub(1).and_then(|index| self.repetitions.borrow().get(index).cloned()) {
            Some(name) => format!("{message} (for {name})"),
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
