//! The machine: its cores, its description, and what its processes take of its memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// Which core does what. On a machine with one core it does both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cores {
    /// Load generators, the app behind the gateway, and clients.
    pub load: usize,
    /// Gateways, and whatever stands for one within this process.
    pub gateway: usize,
}

impl Cores {
    /// The first and the last one that this process may use.
    ///
    /// # Panics
    ///
    /// If the system does not tell.
    pub fn of_this_process() -> Self {
        let allowed = sched_getaffinity(None).expect("the system tells");
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let first = cores.next().expect("this runs somewhere");
        Self { load: first, gateway: cores.next_back().unwrap_or(first) }
    }
}

/// Does some work, and has the threads that it starts do theirs, on one core.
///
/// # Panics
///
/// If the work does, or there is no such core.
pub fn on_core<T: Send>(core: usize, work: impl FnOnce() -> T + Send) -> T {
    let pinned = || {
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).expect("the core is there");
        work()
    };
    std::thread::scope(|scope| scope.spawn(pinned).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A program that will run on one core.
pub fn program_on_core(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All of its resident pages.
    pub resident: u64,
    /// Those that it shares with others counted in part.
    pub proportional: u64,
    /// Those that it has for itself and that are of no file: heap and stacks.
    pub anonymous: u64,
}

/// What a process takes now.
///
/// # Panics
///
/// If it is gone, or not ours.
pub fn memory_of(process: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("the process runs");
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a part of smaps_rollup");
        line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") * 1024
    };
    Memory { resident: bytes("Rss:"), proportional: bytes("Pss:"), anonymous: bytes("Anonymous:") }
}

/// What it is.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The name of its processor.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// The kernel.
    pub kernel: String,
    /// Milliseconds that writing 4 kB over and syncing them took, half of the time.
    pub sync_ms: f64,
}

impl Machine {
    /// The one this runs on.
    pub fn here() -> Self {
        let first = |path: &str, field: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
            line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let memory = first("/proc/meminfo", "MemTotal");
        let kilobytes: u64 = memory.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Self {
            processor: first("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: kilobytes * 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            sync_ms: sessile_scale::units::sync_ms(),
        }
    }
}

/// The first line in which a program says its version, on whichever output it says it.
///
/// # Panics
///
/// If it cannot be run.
pub fn version_of(program: &Path, argument: &str) -> String {
    let said = Command::new(program).arg(argument).output();
    let said = said.unwrap_or_else(|error| panic!("{}: {error}; run scripts/setup-tests", program.display()));
    let text = [said.stdout, said.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}
