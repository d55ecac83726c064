//! `plumbline notify`: tries the ways in which people are told of incidents.

use std::sync::Arc;

use uuid::Uuid;

use super::{ConfigFile, Exit, Failure};
use crate::alert::channel::Answer;
use crate::alert::sender::{Pace, Sender};
use crate::clock::{AnchoredClock, Clock};
use crate::metrics::Metrics;

/// What to try.
#[derive(Debug, clap::Subcommand)]
pub enum NotifyCommand {
    /// Send a test message on a channel and show what the receiver answered; exit 1 if it did not take it.
    Test(TestArgs),
}

/// Which channel.
#[derive(Debug, clap::Args)]
pub struct TestArgs {
    /// The channel's name in the config.
    #[arg(value_name = "CHANNEL")]
    channel: String,
    #[command(flatten)]
    file: ConfigFile,
}

/// Sends a test message.
///
/// # Errors
/// A config with problems, a template that cannot be used, or no such channel.
pub async fn run(command: &NotifyCommand) -> Result<Exit, Failure> {
    let NotifyCommand::Test(args) = command;
    let config = args.file.load()?;
    let sender = Sender::new(
        Arc::clone(&config.alerting),
        Arc::new(Metrics::new()),
        &config.plumbline.tenant,
        "notify-test",
        Pace::default(),
    );
    let sender = sender.map_err(Failure::usage)?;
    let id = Uuid::new_v4().simple().to_string();
    let now = AnchoredClock::from_machine().now();
    match sender.test(&args.channel, &id, now).await {
        None => Err(unknown(&args.channel, config.alerting.channels.keys())),
        Some(Answer::Taken) => {
            println!("`{}` took the message", args.channel);
            Ok(Exit::Good)
        }
        Some(Answer::TakenInPart { why }) => {
            println!("`{}` took the message for some of its receivers only: {why}", args.channel);
            Ok(Exit::Bad)
        }
        Some(Answer::Again { why, .. }) => {
            println!("`{}` did not take the message, but may do so later: {why}", args.channel);
            Ok(Exit::Bad)
        }
        Some(Answer::Refused { why }) => {
            println!("`{}` refused the message: {why}", args.channel);
            Ok(Exit::Bad)
        }
    }
}

fn unknown<'n>(channel: &str, known: impl Iterator<Item = &'n String>) -> Failure {
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    let known =
        if known.is_empty() { "the config has none".to_owned() } else { format!("known: {}", known.join(", ")) };
    Failure::usage(anyhow::anyhow!("`{channel}` is not a channel ({known})"))
}
