//! A real Odoo, read through the pack `odoo`: both interfaces, as owner and as target.

mod commands;
mod reading;
mod site;
mod verdicts;
