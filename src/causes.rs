//! An error with its causes, on one line.

use std::error::Error;

/// The error's text, then that of each cause, joined by `: `. An error's own text does not repeat its cause.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
