//! How far a sweep has come: a bar on a terminal, lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::audit::sweep::{Progress, Stage};

/// Lines come at most so often.
const PAUSE: Duration = Duration::from_secs(5);

/// What is shown on stderr.
pub(super) struct Shown {
    bar: Option<ProgressBar>,
    began: Instant,
    told: Option<Instant>,
}

impl Shown {
    /// `is_terminal`: whether somebody watches.
    pub fn new(is_terminal: bool) -> Self {
        let bar = is_terminal.then(|| ProgressBar::new(1_000));
        let style = ProgressStyle::with_template("{elapsed} [{bar:30}] {msg}");
        if let (Some(bar), Ok(style)) = (&bar, style) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, began: Instant::now(), told: None }
    }

    /// Shows it, unless that has just been done.
    pub fn show(&mut self, progress: &Progress) {
        if let Stage::Chosen(choice) = &progress.stage {
            self.say(&format!("{}: by {}: {}", progress.flow, choice.strategy, choice.reason));
            if let Some(rows) = progress.rows {
                let about = progress.about.map(|keys| format!(", about {keys} differences")).unwrap_or_default();
                self.say(&format!("{}: about {rows} rows{about}", progress.flow));
            }
            return;
        }
        let text = line(progress, self.began.elapsed());
        match &self.bar {
            Some(bar) => {
                bar.set_position(progress.piece.done);
                bar.set_message(text);
            }
            None if self.told.is_none_or(|told| told.elapsed() >= PAUSE) => {
                self.told = Some(Instant::now());
                eprintln!("{}: {text}", progress.flow);
            }
            None => {}
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// A flow has been swept.
    pub fn clear(&mut self) {
        if let Some(bar) = &self.bar {
            bar.reset();
        }
        (self.began, self.told) = (Instant::now(), None);
    }
}

fn line(progress: &Progress, elapsed: Duration) -> String {
    let piece = progress.piece;
    let rows = piece.owner_rows + piece.target_rows;
    let rate = rows as f64 / elapsed.as_secs_f64().max(0.001);
    let mut text = format!("{rows} rows, {rate:.0} a second, {} differences", progress.differences);
    if progress.suspects > 0 {
        text.push_str(&format!(", {} suspects", progress.suspects));
    }
    match &progress.stage {
        Stage::Waiting(left) => text.push_str(&format!(", keys in flight: at most {} s more", left.as_secs())),
        Stage::Resting(behind) => {
            let lag = behind.lag.as_secs();
            text.push_str(&format!(", rests: `{}` is a replica and {lag} s behind", behind.system));
        }
        _ if piece.done > 0 && piece.done < 1_000 => {
            let left = elapsed.as_secs_f64() * (1_000 - piece.done) as f64 / piece.done as f64;
            text.push_str(&format!(", about {left:.0} s left"));
        }
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::sweep::finder::Piece;
    use crate::audit::sweep::lag::Behind;

    #[test]
    fn a_line_says_what_is_left() {
        let flow = crate::model::FlowId {
            entity: "stock".parse().unwrap(),
            owner: "erp".parse().unwrap(),
            target: "store".parse().unwrap(),
        };
        let piece = Piece { owner_rows: 500, target_rows: 500, done: 250 };
        let progress =
            |stage| Progress { flow: flow.clone(), stage, piece, rows: None, about: None, differences: 3, suspects: 2 };
        let check = |stage, expect: &str| assert_eq!(line(&progress(stage), Duration::from_secs(2)), expect);
        check(Stage::Reading, "1000 rows, 500 a second, 3 differences, 2 suspects, about 6 s left");
        let behind = Behind { system: "store".parse().unwrap(), lag: Duration::from_secs(12) };
        let rests = "1000 rows, 500 a second, 3 differences, 2 suspects, rests: `store` is a replica and 12 s behind";
        check(Stage::Resting(behind), rests);
        let waiting = Stage::Waiting(Duration::from_secs(9));
        check(waiting, "1000 rows, 500 a second, 3 differences, 2 suspects, keys in flight: at most 9 s more");
    }
}
