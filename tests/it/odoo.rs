//! A real Odoo, read through the pack `odoo`: both interfaces, as owner and as target.

mod commands;
mod money;
mod reading;
mod site;
mod stock;
mod units;
mod verdicts;
