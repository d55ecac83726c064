//! What Plumbline reads of the databases is what they hold.
