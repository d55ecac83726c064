//! Crash points at each fsync, commit and acknowledge boundary.
//!
//! In a normal build [`point`] compiles to nothing. With the feature `fault-points` the environment variable
//! `PLUMBLINE_FAULT` holds `name:nth`, and the process aborts when it comes to that point for the nth time.

/// Every point, in the order in which a run's rows pass them. Crash tests visit each.
pub const POINTS: &[&str] = &[
    "spool.created",
    "spool.written",
    "spool.synced",
    "state.changed",
    "state.committed",
    "spool.applied",
    "spool.sealed",
    "ship.began",
    "ship.inserted",
    "ship.acknowledged",
    "ship.deleted",
    "ship.synced",
    "ship.forgotten",
];

/// Points that a message passes.
pub const MESSAGE_POINTS: &[&str] = &["outbox.written", "outbox.claimed", "outbox.sent", "outbox.settled"];

/// Points that a change of an incident passes.
pub const INCIDENT_POINTS: &[&str] = &["incident.changed", "incident.committed"];

/// Points that only a restart passes.
pub const RECOVERY_POINTS: &[&str] = &["recover.truncated", "recover.applied", "recover.forgotten"];

/// Marks a place where a crash must lose nothing.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// Marks a place where a crash must lose nothing; aborts here when told to.
#[cfg(feature = "fault-points")]
pub fn point(name: &'static str) {
    let listed = [POINTS, MESSAGE_POINTS, INCIDENT_POINTS, RECOVERY_POINTS].iter().any(|points| points.contains(&name));
    debug_assert!(listed, "`{name}` is not listed");
    if chosen::reached(name) {
        std::process::abort();
    }
}

#[cfg(feature = "fault-points")]
mod chosen {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Chosen {
        name: String,
        left: AtomicU64,
    }

    static CHOSEN: LazyLock<Option<Chosen>> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "test builds only; not a setting of the product")]
        let value = std::env::var("PLUMBLINE_FAULT").ok()?;
        let (name, nth) = value.split_once(':')?;
        Some(Chosen { name: name.to_owned(), left: AtomicU64::new(nth.parse().ok()?) })
    });

    pub(super) fn reached(name: &str) -> bool {
        let Some(chosen) = &*CHOSEN else { return false };
        chosen.name == name && chosen.left.fetch_sub(1, Ordering::SeqCst) == 1
    }
}
