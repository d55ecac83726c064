//! Owns the terminal while the view is shown, and gives it back whatever happens.

use std::io::{IsTerminal, Stdout, Write};
use std::time::Duration;

use anyhow::Context;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::plain::Said;
use super::{View, draw};

/// Where the view goes.
pub enum Screen {
    /// The whole terminal.
    Full(Box<Terminal<CrosstermBackend<Stdout>>>),
    /// Lines on stdout.
    Plain(Said),
}

impl Screen {
    /// The whole terminal, or lines when `plain` is wanted or stdout is no terminal.
    ///
    /// # Errors
    /// When the terminal does not obey.
    pub fn open(plain: bool) -> anyhow::Result<Self> {
        if plain || !std::io::stdout().is_terminal() {
            return Ok(Self::Plain(Said::default()));
        }
        let terminal = ratatui::try_init().context("the terminal cannot be used; try `--plain`")?;
        Ok(Self::Full(Box::new(terminal)))
    }

    /// Shows the view.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn show(&mut self, view: &View) -> anyhow::Result<()> {
        match self {
            Self::Full(terminal) => terminal.draw(|frame| draw(frame, view)).map(|_| ()).context("drawing failed"),
            Self::Plain(said) => {
                let mut stdout = std::io::stdout().lock();
                for line in said.lines(view) {
                    writeln!(stdout, "{line}").context("stdout is closed")?;
                }
                Ok(())
            }
        }
    }

    /// Whether a person asked to quit, with `q`, Esc or Ctrl-C, since the last call. Never waits.
    ///
    /// # Errors
    /// When the terminal's input breaks.
    pub fn quit_asked(&self) -> anyhow::Result<bool> {
        if matches!(self, Self::Plain(_)) {
            return Ok(false);
        }
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                let quits = control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
                if quits && key.kind == KeyEventKind::Press {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if matches!(self, Self::Full(_)) {
            ratatui::restore();
        }
    }
}
