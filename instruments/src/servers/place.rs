//! What a server has on this machine: a directory, at most one running program, and a watchdog over both.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

// Each line it reads names the program that runs now, an empty one that none does. When there is no more to read, whoever
// started it is gone. A program that has ended but that nobody waits for has no `exe`.
const WATCHDOG: &str = r#"
while read -r line; do server=$line; done
if [ -n "$server" ]; then
  kill -CONT "$server" $(cat "/proc/$server/task/$server/children")
  kill -"$1" "$server"
  while [ -e "/proc/$server/exe" ]; do sleep 0.1; done
fi
rm -rf "$2"
"#;

#[derive(Debug)]
pub(super) struct Place {
    running: Mutex<Option<Child>>,
    ends_by: Signal,
    watchdog: Child,
    told: Mutex<Option<ChildStdin>>,
    directory: TempDir,
}

impl Place {
    /// A new directory. The program that will run in it ends at once by `ends_by`.
    pub(super) fn new(kind: &str, ends_by: Signal) -> Self {
        let directory = tempfile::Builder::new().prefix(&format!("sessile-{kind}-")).tempdir().expect("a directory");
        let name = if ends_by == Signal::QUIT { "QUIT" } else { "KILL" };
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", name])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends our group does not end it.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let told = Mutex::new(watchdog.stdin.take());
        Self { running: Mutex::new(None), ends_by, watchdog, told, directory }
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Takes charge of a program that was started.
    pub(super) fn run(&self, command: &mut Command) -> std::io::Result<()> {
        let mut running = self.running();
        assert!(running.is_none(), "it runs already");
        let program = command.spawn()?;
        self.tell(&program.id().to_string());
        *running = Some(program);
        Ok(())
    }

    /// The number of the program that runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Child::id)
    }

    /// Whether the program has ended by itself; it is forgotten then.
    pub(super) fn has_ended(&self) -> bool {
        let mut running = self.running();
        let ended = running.as_mut().is_none_or(|program| program.try_wait().expect("our own child").is_some());
        if ended {
            self.forget(&mut running);
        }
        ended
    }

    /// Kills the program and its children, as a crash of the machine would, but for what the system still has to write.
    pub(super) fn kill(&self) {
        let mut running = self.running();
        let Some(program) = running.as_mut() else { return };
        let family = family(program);
        for process in family {
            signal(process, Signal::KILL);
        }
        program.wait().expect("our own child");
        self.forget(&mut running);
    }

    /// Stops the program and its children where they are: their connections stay, and nobody answers.
    pub(super) fn freeze(&self) {
        if let Some(program) = self.running().as_ref() {
            // First the parent: then it has no more children than these.
            signal(Some(program.id()), Signal::STOP);
            for process in family(program) {
                signal(process, Signal::STOP);
            }
        }
    }

    /// Lets them go on.
    pub(super) fn thaw(&self) {
        if let Some(program) = self.running().as_ref() {
            for process in family(program) {
                signal(process, Signal::CONT);
            }
        }
    }

    fn forget(&self, running: &mut Option<Child>) {
        *running = None;
        self.tell("");
    }

    fn tell(&self, line: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = told.as_mut() {
            // Without it nothing is lost but the tidying after a crash.
            let _ = writeln!(told, "{line}");
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.thaw();
        let mut running = self.running();
        if let Some(program) = running.as_mut() {
            signal(Some(program.id()), self.ends_by);
            let _ = program.wait();
            self.forget(&mut running);
        }
        drop(running);
        drop(self.told.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.watchdog.wait();
    }
}

/// The program, then its children.
fn family(program: &Child) -> Vec<Option<u32>> {
    let own = program.id();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
    std::iter::once(Some(own)).chain(children.split_whitespace().map(|number| number.parse().ok())).collect()
}

fn signal(process: Option<u32>, signal: Signal) {
    let pid = process.and_then(|number| Pid::from_raw(i32::try_from(number).ok()?));
    if let Some(pid) = pid {
        // It may be gone; that is what is wanted, or the next look at it tells.
        let _ = kill_process(pid, signal);
    }
}
