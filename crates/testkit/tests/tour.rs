//! The README's tour, run word for word against a cluster.

use std::process::Command;

use muster_testkit::{Cluster, Options};

/// The commands of the README's tour: lines that begin with `$ ` in its fenced blocks, from the
/// heading of the tour to the next.
fn tour() -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let tour = readme.split("## Five minutes").nth(1).expect("the README has a tour");
    let tour = tour.split("\n## ").next().expect("a text has a first part");
    tour.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_tour_works() {
    let cluster = Cluster::start(Options::default());
    let path = format!("{}:{}", cluster.binaries().dir().display(), std::env::var("PATH").unwrap_or_default());
    let commands = tour();
    assert!(commands.len() >= 10, "{commands:?}");
    // One shell runs all commands, so that a variable set by one is there for the next. Each
    // command must exit as its comment says.
    let mut script = String::from("fail() { echo \"FAILED: $1 (code $2)\" >&2; exit 99; }\n");
    for command in &commands {
        let (code, shown) = match command.split_once("# exits with ") {
            Some((line, code)) => (code.trim(), line.trim()),
            None => ("0", command.as_str()),
        };
        // The test's own cluster replaces these.
        if shown.starts_with("muster up")
            || shown.starts_with("muster down")
            || shown.starts_with("cargo")
            || shown.starts_with("make")
        {
            continue;
        }
        let quoted = shown.replace('\'', "'\\''");
        script.push_str(&format!("{shown}\ncode=$?; [ $code = {code} ] || fail '{quoted}' $code\n"));
    }
    let run =
        Command::new("bash").arg("-c").arg(&script).env("PATH", path).env("MUSTER_MASTER", cluster.address()).output();
    let run = run.expect("bash runs");
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{out}\n{err}");
    assert!(out.contains("hello"), "{out}");
}
