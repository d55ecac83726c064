//! What `/proc` says of a process.

use anyhow::Context as _;

/// Ticks of `utime` and `stime` a second; fixed for programs on Linux whatever the kernel's own clock
/// (`man 5 proc`, `sysconf(_SC_CLK_TCK)`).
const TICKS: f64 = 100.0;

/// User and system time of a process so far.
pub fn processor_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold blanks; `utime` and `stime` are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>().context("ticks")?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// A size of `/proc/PID/status` in MB (10^6 bytes).
pub fn status_mb(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line in status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("a size")?;
    Ok(kib * 1024.0 / 1e6)
}
