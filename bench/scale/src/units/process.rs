//! What the system says of processes: processor time and resident memory.

use std::fs;
use std::time::Duration;

/// Clock ticks of `/proc`: a hundred a second on every Linux that there is a build for.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process and of all its children, dead or alive.
pub(crate) fn cpu_of_tree(process: u32) -> Duration {
    let [own, ended] = ticks(process);
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let living = children.split_whitespace().filter_map(|child| child.parse().ok());
    let ticks = own + ended + living.map(|child: u32| ticks(child)[0]).sum::<u32>();
    TICK * ticks
}

/// Processor time of this process.
pub(crate) fn own_cpu() -> Duration {
    TICK * ticks(std::process::id())[0]
}

// Of the process, and of its children that ended.
fn ticks(process: u32) -> [u32; 2] {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name may hold spaces; it ends with the last parenthesis. utime is the 12th field after it.
    let fields: Vec<u32> = text
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    match fields[..] {
        [user, system, user_ended, system_ended] => [user + system, user_ended + system_ended],
        _ => [0, 0],
    }
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Load average of the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}
