//! Load on a gateway: `wrk`, walking a file of cookies.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;

use crate::app::App;
use crate::gateway::Gateway;
use crate::machine;
use crate::store::HOST;

const WALK: &str = include_str!("walk.lua");

/// A load generator.
#[derive(Debug)]
pub struct Wrk {
    core: usize,
    script: tempfile::NamedTempFile,
}

/// One load.
#[derive(Clone, Debug)]
pub struct Load {
    /// The cookies, a line for each request.
    pub cookies: PathBuf,
    /// Connections.
    pub connections: usize,
    /// How long.
    pub seconds: u64,
    /// How long a connection pauses before each request, on the average.
    pub pause: Option<Duration>,
    /// What every request must be counted as by the gateway.
    pub counted_as: &'static str,
}

/// What a load came to.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Walked {
    /// Requests that were answered.
    pub requests: u64,
    /// How long it went on.
    pub micros: u64,
    failures: u64,
    statuses: u64,
    /// Half of the requests took no longer, in microseconds.
    pub p50: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// None took longer.
    pub longest: u64,
}

impl Walked {
    /// Requests a second.
    pub fn per_second(&self) -> f64 {
        self.requests as f64 * 1e6 / self.micros as f64
    }
}

impl Wrk {
    /// One that runs on a core.
    ///
    /// # Panics
    ///
    /// If there can be no file for its script.
    pub fn on(core: usize) -> Self {
        let script = tempfile::Builder::new().suffix(".lua").tempfile().expect("a file");
        std::fs::write(script.path(), WALK).expect("a file of ours");
        Self { core, script }
    }

    /// Puts a load on a gateway before this app.
    ///
    /// # Panics
    ///
    /// If any request fails, or did not reach the app with a token, or was not counted as it should be.
    pub fn load(&self, gateway: &Gateway, app: &App, load: &Load) -> Walked {
        let (served, counted) = (app.served(), gateway.counter(load.counted_as));
        let mut command = machine::program_on_core(self.core, Path::new("wrk"));
        command
            .args(["--threads", "1", "--connections", &load.connections.to_string()])
            .args(["--duration", &format!("{}s", load.seconds), "--timeout", "10s", "--script"])
            .arg(self.script.path())
            .arg(format!("http://{}", gateway.address))
            .env("WALK_COOKIES", &load.cookies)
            .env("WALK_HOST", HOST)
            .stdin(Stdio::null());
        if let Some(pause) = load.pause {
            command.env("WALK_PAUSE", (pause.as_secs_f64() * 1000.0).to_string());
        }
        let output = command.output().expect("taskset runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let walked = said.lines().find_map(|line| line.strip_prefix("WALKED "));
        let walked: Walked = match walked.and_then(|json| serde_json::from_str(json).ok()) {
            Some(walked) => walked,
            None => panic!("wrk: {said}{}; run scripts/setup-tests", String::from_utf8_lossy(&output.stderr)),
        };
        assert!(walked.requests > 0 && walked.failures + walked.statuses == 0, "{walked:?}\n{}", gateway.said());
        // What was under way when it stopped is answered to nobody, and must not count for whoever comes next.
        gateway.wait_until_idle();
        let expected = walked.requests..=walked.requests + load.connections as u64;
        let (served, counted) = (app.served() - served, gateway.counter(load.counted_as) - counted);
        assert!(expected.contains(&served), "{served} of {expected:?} requests reached the app with a token");
        assert!(expected.contains(&counted), "{counted} of {expected:?} requests were {}", load.counted_as);
        walked
    }
}
