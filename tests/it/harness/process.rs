//! The program under test as a child process.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// How long a service may take to be ready, with a debug build on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A running `teawire serve`; killed when dropped.
pub struct Process {
    child: Child,
    printed: UnboundedReceiver<String>,
    pub url: String,
    pub ops: String,
}

impl Process {
    /// Starts `command` and reads what it prints until it says where it listens.
    pub async fn start(mut command: Command, log: &Path) -> Process {
        let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, printed) = unbounded_channel();
        // Reads to the end, so that the service never waits for us to read.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut process = Process { child, printed, url: String::new(), ops: String::new() };
        let ready = tokio::time::timeout(START, process.ready()).await;
        if !ready.is_ok_and(|ready| ready) {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("the service did not start:\n{log}");
        }
        process
    }

    async fn ready(&mut self) -> bool {
        while let Some(line) = self.printed.recv().await {
            if let Some(url) = line.strip_prefix("ops listening on ") {
                self.ops = url.trim().to_owned();
            } else if let Some(url) = line.strip_prefix("listening on ") {
                self.url = url.trim().to_owned();
                return !self.ops.is_empty();
            }
        }
        false
    }

    /// `kill -9`; does nothing to a process that has ended.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until the process has closed its output, which it does by ending.
    pub async fn ended(&mut self) -> ExitStatus {
        while self.printed.recv().await.is_some() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
