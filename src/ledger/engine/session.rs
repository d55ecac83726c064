//! Sessions: connections that keep temporary tables and `SET` between a client's requests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::chdb::Connection;
use super::error::{Code, Failure};

/// How long a session lives after its last statement when the client says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest a client may ask for.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

enum Slot {
    Busy,
    Idle { connection: Connection, until: Instant },
}

/// The sessions of one engine.
pub struct Sessions {
    slots: Mutex<HashMap<String, Slot>>,
    limit: usize,
}

/// The right to use a session's connection. Given back with [`Lease::keep`]; dropped, the session is gone.
pub struct Lease<'s> {
    sessions: &'s Sessions,
    id: String,
}

impl Sessions {
    /// At most `limit` at a time.
    pub fn new(limit: usize) -> Self {
        Self { slots: Mutex::default(), limit }
    }

    /// Takes the session, and its connection if it has one.
    ///
    /// # Errors
    /// [`Code::SessionIsLocked`] while another statement runs in it, [`Code::SessionNotFound`] if it must exist and
    /// does not.
    pub fn take(&self, id: &str, must_exist: bool) -> Result<(Lease<'_>, Option<Connection>), Failure> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !slots.contains_key(id);
        if is_new && must_exist {
            return Err(Failure::new(Code::SessionNotFound, format!("Session {id} not found")));
        }
        if is_new && slots.len() >= self.limit {
            let message = format!("Too many sessions. Maximum: {}", self.limit);
            return Err(Failure::new(Code::TooManySimultaneousQueries, message));
        }
        match slots.insert(id.to_owned(), Slot::Busy) {
            Some(Slot::Busy) => {
                Err(Failure::new(Code::SessionIsLocked, format!("Session {id} is locked by a concurrent client")))
            }
            Some(Slot::Idle { connection, .. }) => Ok((Lease { sessions: self, id: id.to_owned() }, Some(connection))),
            None => Ok((Lease { sessions: self, id: id.to_owned() }, None)),
        }
    }

    /// Ends the sessions whose time is over.
    pub fn expire(&self, now: Instant) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| !matches!(slot, Slot::Idle { until, .. } if *until <= now));
    }
}

impl Lease<'_> {
    /// Gives the connection back for the session's next statement.
    pub fn keep(self, connection: Connection, timeout: Duration) {
        let until = Instant::now() + timeout.min(MAX_TIMEOUT);
        let mut slots = self.sessions.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(self.id.clone(), Slot::Idle { connection, until });
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut slots = self.sessions.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(slots.get(&self.id), Some(Slot::Busy)) {
            slots.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_user_at_a_time() {
        let sessions = Sessions::new(1);
        assert_eq!(sessions.take("a", true).err().unwrap().code, 372);
        let (lease, connection) = sessions.take("a", false).unwrap();
        assert!(connection.is_none());
        assert_eq!(sessions.take("a", false).err().unwrap().code, 373);
        assert_eq!(sessions.take("b", false).err().unwrap().code, 202);
        drop(lease);
        assert!(sessions.take("b", false).is_ok());
    }
}
