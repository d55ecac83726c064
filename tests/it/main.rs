//! Tests against real servers: one binary, one module for each subject.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod alerts;
mod architecture;
mod books;
mod cli;
mod company;
mod config_text;
mod crash;
mod demo;
mod docs;
mod engine;
mod engine_clients;
mod engine_http;
mod engine_process;
mod http;
mod ledger;
mod notifications;
mod odoo;
mod promises;
mod readers;
mod sandbox_servers;
mod serve;
mod server;
mod state;
mod support;
mod support_works;
mod sweep;
mod tls;
mod totals;
mod verdicts;
mod world;
