//! Sweeps on real servers: exactly the planted differences, whatever the engines, the way and the traps.

pub mod bed;
mod bounded;
mod broken;
mod crash;
mod exact;
mod live;
mod named;
mod probe;
mod replica;
mod together;
mod traps;
mod types;
mod wide;
