//! Services that speak HTTP: real sockets, a store that keeps WooCommerce's observed rules, captured answers.

mod any_rest;
mod bad_input;
pub mod captured;
mod commands;
mod hostile;
mod key_index;
mod limits;
mod memory;
mod odoo_calls;
mod over_tls;
mod owner;
mod posted;
mod reading;
mod recorded;
mod sampling;
mod served;
mod shapes;
mod shop;
mod shopify;
mod shopify_points;
mod shopify_reading;
mod shopify_verdicts;
mod sweeping;
mod verdicts;
mod woo;
