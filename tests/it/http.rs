//! Services that speak HTTP: real sockets, a store that keeps WooCommerce's observed rules, captured answers.

mod captured;
mod reading;
mod shop;
mod verdicts;
mod woo;
