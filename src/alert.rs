//! Tells people and their tools of incidents: once, in order, and until it arrived.
//!
//! - [`route`]: which step of which incident goes to which channels, and when.
//! - [`teller`]: writes that into the outbox, in the transaction of the step.
//! - [`payload`]: what is kept of a message until it is sent; [`view`]: what it says, in words. Pure.
//! - [`templates`]: how it says it; [`chart`]: the picture in mails.
//! - [`channel`]: one file for each kind of receiver; knows its limits and what its answers mean.
//! - [`sender`]: takes what is due from the outbox, sends it, settles it.
//! - [`heartbeat`]: shows somebody outside that the auditor lives.

pub mod channel;
pub mod chart;
pub mod heartbeat;
mod notice;
pub mod payload;
pub mod route;
pub mod sender;
pub mod teller;
pub mod templates;
mod trouble;
pub mod view;

pub use notice::{Notice, Phase};
