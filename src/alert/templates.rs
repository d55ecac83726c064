//! Templates: how a message says what it says. Built in, or from a directory of the config; checked at start.

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value, escape_formatter};

use super::view::View;

/// What a message is made of; each is a file of alerts/templates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// One line: the subject of mails, the summary of alerts.
    Subject,
    /// Plain text.
    Text,
    /// The HTML of a mail.
    Mail,
    /// Slack's markup.
    Slack,
    /// The markup of cards of Microsoft Teams.
    Teams,
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Subject, Self::Text, Self::Mail, Self::Slack, Self::Teams];

    /// The file's name.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Subject => "subject.txt",
            Self::Text => "message.txt",
            Self::Mail => "mail.html",
            Self::Slack => "slack.md",
            Self::Teams => "teams.md",
        }
    }

    const fn built_in(self) -> &'static str {
        match self {
            Self::Subject => include_str!("../../alerts/templates/subject.txt"),
            Self::Text => include_str!("../../alerts/templates/message.txt"),
            Self::Mail => include_str!("../../alerts/templates/mail.html"),
            Self::Slack => include_str!("../../alerts/templates/slack.md"),
            Self::Teams => include_str!("../../alerts/templates/teams.md"),
        }
    }
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("template `{}` cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of the directory that no message is made of.
    #[error("`{}` is no template; there are {}", path.display(), names())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// It is wrong at a place.
    #[error("{file}:{line}: {what}")]
    Wrong {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

fn names() -> String {
    Template::ALL.map(|template| format!("`{}`", template.file())).join(", ")
}

/// Templates that have been checked.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    /// The built-in templates, with those of `directory` in the place of their namesakes. Each is tried on every kind of
    /// message.
    ///
    /// # Errors
    /// The first template that cannot be used.
    pub fn load(directory: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(builtin)?);
        environment.set_auto_escape_callback(escaping);
        environment.set_formatter(formatted);
        for template in Template::ALL {
            let (name, source) = source(directory, template)?;
            environment.add_template_owned(template.file(), source).map_err(|error| wrong(&name, &error))?;
        }
        if let Some(directory) = directory {
            refuse_unknown(directory)?;
        }
        let templates = Self { environment };
        for view in super::view::examples() {
            for template in Template::ALL {
                let shown = source(directory, template)?.0;
                templates.try_render(template, &view).map_err(|error| wrong(&shown, &error))?;
            }
        }
        Ok(templates)
    }

    /// A message by a template.
    ///
    /// # Errors
    /// When the template asks for what this message does not have.
    pub fn render(&self, template: Template, view: &View) -> Result<String, TemplateError> {
        self.try_render(template, view).map_err(|error| wrong(template.file(), &error))
    }

    fn try_render(&self, template: Template, view: &View) -> Result<String, minijinja::Error> {
        let text = self.environment.get_template(template.file())?.render(Value::from(Serde(view)))?;
        Ok(text.trim().to_owned())
    }
}

fn source(directory: Option<&Path>, template: Template) -> Result<(String, String), TemplateError> {
    let Some(path) = directory.map(|directory| directory.join(template.file())).filter(|path| path.exists()) else {
        return Ok((template.file().to_owned(), template.built_in().to_owned()));
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path.display().to_string(), text)),
        Err(source) => Err(TemplateError::Unreadable { path, source }),
    }
}

/// A misspelt name would leave the built-in template in place, and nobody would know.
fn refuse_unknown(directory: &Path) -> Result<(), TemplateError> {
    let unreadable = |source| TemplateError::Unreadable { path: directory.to_owned(), source };
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_known = Template::ALL.iter().any(|template| path.file_name() == Some(template.file().as_ref()));
        if !is_known && path.is_file() {
            return Err(TemplateError::Unknown { path });
        }
    }
    Ok(())
}

fn wrong(file: &str, error: &minijinja::Error) -> TemplateError {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let what = format!("{}{detail}", error.kind());
    TemplateError::Wrong { file: file.to_owned(), line: error.line().unwrap_or(1), what }
}

const SLACK: &str = "slack";
const TEAMS: &str = "teams";

fn builtin(error: minijinja::Error) -> TemplateError {
    wrong("templates", &error)
}

fn escaping(name: &str) -> AutoEscape {
    match name {
        "mail.html" => AutoEscape::Html,
        "slack.md" => AutoEscape::Custom(SLACK.into()),
        "teams.md" => AutoEscape::Custom(TEAMS.into()),
        _ => AutoEscape::None,
    }
}

fn formatted(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let escape: fn(&str) -> String = match state.auto_escape() {
        AutoEscape::Custom(markup) if markup == SLACK => slack,
        AutoEscape::Custom(markup) if markup == TEAMS => teams,
        _ => return escape_formatter(out, state, value),
    };
    if value.is_undefined() || value.is_safe() {
        return escape_formatter(out, state, value);
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    out.write_str(&escape(&text)).map_err(minijinja::Error::from)
}

/// Slack's three control characters (its reference, "Formatting text for app surfaces", "Escaping text"). What would be
/// bold, italic, struck or code is broken by a zero-width space.
fn slack(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '*' | '_' | '~' | '`' => escaped.extend(['\u{200b}', character, '\u{200b}']),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The subset of Markdown that cards know: a backslash before what would be markup.
fn teams(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '*' | '_' | '[' | ']' | '`' | '#' | '<' | '>') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::view::{Setting, example_payloads, view};
    use crate::model::Moment;

    fn first() -> View {
        let setting = Setting { zone: chrono_tz::Tz::Europe__Berlin, link: None };
        let payload = example_payloads().remove(0);
        let now = payload.told().unwrap().step.at;
        view(&payload, "logistics", now, &setting)
    }

    #[test]
    fn a_message_says_what_is_promised_how_bad_it_is_and_what_to_do() {
        let templates = Templates::load(None).unwrap();
        assert_eq!(
            templates.render(Template::Subject, &first()).unwrap(),
            "[page] price: erp to store breaks its promise (wrong: 412 of 18,230 checked (2.26 %))"
        );
        insta::assert_snapshot!(templates.render(Template::Text, &first()).unwrap(), @"
        price: erp to store breaks its promise

        Since 23 Nov 2026, 10:59 CET (1 h 5 min), team logistics

        Promised: 99.5 % of price changes erp -> store within 5m over 30d
        Kept:     97.64 % to 98.21 %; error budget overdrawn by 258 %, used up 61.2x as fast as it may be
        Wrong: 412 of 18,230 checked (2.26 %)
        Overdue now: 388, the oldest for 1 h 11 min
        Lag p99: 39 min
        Error budget: overdrawn by 258 %
        Money at risk: 1,284.50 EUR, 96.00 GBP
        Most often wrong: 4711 (4 times), 4790 (2 times)
        Worst hour: 23 Nov 2026, 11:00 CET (371 bad)
        Worst targets: store (412 bad), warehouse (3 bad)

        To blame: store, because 412 of 412 late records are stale there, and it answered every read

        For instance:
          4711: stale
            price: 19.90 EUR (right) / 17.90 EUR (there)
            https://shop.example.org/wp-admin/post.php?post=4711
          4712: stale
            price: 5.00 EUR (right) / 4.50 EUR (there)
            https://shop.example.org/wp-admin/post.php?post=4712
          4790: stale
            price: 129.00 GBP (right) / 119.00 GBP (there)
            https://shop.example.org/wp-admin/post.php?post=4790

        Next: Look at store first, and say that you do:
          plumbline incident ack 0192f0c4-7d3a-7000-8000-000000000001

        More: plumbline incident show 0192f0c4-7d3a-7000-8000-000000000001
        ");
    }

    #[test]
    fn a_template_of_a_directory_takes_the_place_of_its_namesake() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("subject.txt"), "{{ about }}!\n").unwrap();
        let templates = Templates::load(Some(directory.path())).unwrap();
        assert_eq!(templates.render(Template::Subject, &first()).unwrap(), "price: erp -> store!");
        assert!(templates.render(Template::Text, &first()).unwrap().contains("17.90 EUR"));
    }

    #[test]
    fn what_is_wrong_with_a_template_is_told_with_file_and_line() {
        let told = |name: &str, text: &str| {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join(name), text).unwrap();
            let error = Templates::load(Some(directory.path())).unwrap_err().to_string();
            error.replace(&directory.path().display().to_string(), "DIR")
        };
        let all = [
            told("message.txt", "a\n{% if %}\n"),
            told("mail.html", "a\nb\n{{ severty }}"),
            told("slack.md", "{{ headline | shout }}"),
            // Some message has no promises: found when it is tried on that one, not on the night it comes.
            told("teams.md", "\n{{ promises[0].name }}"),
            told("subjct.txt", "x"),
        ];
        insta::assert_snapshot!(all.join("\n"), @"
        DIR/message.txt:2: syntax error: unexpected end of block
        DIR/mail.html:3: undefined value: `severty` is undefined
        DIR/slack.md:1: unknown filter: filter shout is unknown
        DIR/teams.md:2: undefined value: `promises[0]` is undefined
        `DIR/subjct.txt` is no template; there are `subject.txt`, `message.txt`, `mail.html`, `slack.md`, `teams.md`
        ");
    }

    #[test]
    fn what_people_wrote_cannot_become_markup() {
        let templates = Templates::load(None).unwrap();
        let mut view = first();
        view.because = "<b>&amp; *it* <https://evil.example|x>".to_owned();
        view.samples[0].key = "a\"><script>".to_owned();
        let mail = templates.render(Template::Mail, &view).unwrap();
        assert!(mail.contains("&lt;b&gt;") && !mail.contains("<script") && !mail.contains("<https"), "{mail}");
        let slack = templates.render(Template::Slack, &view).unwrap();
        assert!(slack.contains("&lt;https://evil.example|x&gt;") && slack.contains("&amp;amp;"), "{slack}");
        let teams = templates.render(Template::Teams, &view).unwrap();
        assert!(teams.contains("\\*it\\*") && teams.contains("\\<https"), "{teams}");
    }

    #[test]
    fn every_built_in_template_is_a_file_and_every_file_is_one() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/templates");
        Templates::load(Some(&directory)).unwrap();
        assert_eq!(std::fs::read_dir(directory).unwrap().count(), Template::ALL.len());
        assert!(first().has_chart && Moment::from_micros(0) < Moment::MAX);
    }
}
