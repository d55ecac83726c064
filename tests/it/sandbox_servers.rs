//! The demo company's store and CRM: what they answer is what real products answer, and Plumbline's own readers read
//! through the packs exactly what their books hold.

mod asked;
mod audited;
mod books;
mod company;
mod log;
mod structure;
mod switches;
mod traps;
mod webhooks;
