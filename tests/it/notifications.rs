//! Messages from the outbox to their receivers: real mail servers and Alertmanagers, and servers that speak like the rest.

mod bench;
mod broken_flow;
mod crash;
mod folding;
mod killed;
mod mail;
mod prometheus;
mod receiver;
mod receivers;
mod records;
mod settled;
mod sharing;
mod tried;
