//! One member, and what it says of itself over plain HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::Daemon;

/// A member's process.
#[derive(Debug)]
pub(super) struct EtcdMember(Daemon);

impl EtcdMember {
    pub(super) fn start(command: Command, log: &Path) -> EtcdMember {
        EtcdMember(Daemon::start(command, log))
    }

    pub(super) fn kill(&mut self) {
        self.0.kill();
    }

    pub(super) fn terminate(&mut self, bound: Duration) {
        self.0.terminate(bound);
    }

    pub(super) fn pause(&self) {
        self.0.signal(Signal::STOP);
    }

    pub(super) fn resume(&self) {
        self.0.signal(Signal::CONT);
    }

    pub(super) fn log(&self) -> String {
        self.0.log()
    }
}

/// Whether a member knows a leader and can write.
pub(super) fn is_healthy(address: &str) -> bool {
    ask(address, "GET", "/health", "").is_some_and(|answer| answer.contains("\"health\":\"true\""))
}

/// Whether a member leads.
pub(super) fn leads(address: &str) -> bool {
    let Some(answer) = ask(address, "POST", "/v3/maintenance/status", "{}") else { return false };
    let Ok(status) = serde_json::from_str::<serde_json::Value>(&answer) else { return false };
    let member = &status["header"]["member_id"];
    member.is_string() && *member == status["leader"]
}

/// The body of an answer; `None` when none comes within a second.
fn ask(address: &str, method: &str, path: &str, body: &str) -> Option<String> {
    let bound = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address.parse().ok()?, bound).ok()?;
    stream.set_read_timeout(Some(bound)).ok()?;
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}
