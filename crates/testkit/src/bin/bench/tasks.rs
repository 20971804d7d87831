//! Tasks on executors, measured by two programs of the sdk: how many that do nothing, the round
//! trip of one, and what the driver keeps for each.

use std::path::PathBuf;
use std::process::Command;

use muster_testkit::{Cluster, Options, WorkerOptions};

use crate::figure::Figures;
use crate::load;

pub(crate) async fn measure(figures: &mut Figures) {
    let worker = WorkerOptions { cores: 2, memory: "2GiB".into(), ..Options::default().worker };
    let cluster = Cluster::start(Options { workers: 1, worker, ..load::options() });
    let mut rates = Command::new(example("task_rates"));
    rates.env("MUSTER_MASTER", cluster.address());
    add_figures(figures, rates);
    drop(cluster);
    add_figures(figures, Command::new(example("task_memory")));
}

/// A program that was built beside this one.
pub(crate) fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    own.with_file_name("examples").join(name)
}

/// Runs a program that prints figures, and adds them.
pub(crate) fn add_figures(figures: &mut Figures, mut program: Command) {
    let output = program.output();
    let output = output.unwrap_or_else(|error| panic!("{program:?}: {error}: `make bench` builds it"));
    assert!(output.status.success(), "{program:?}: {output:?}");
    for line in String::from_utf8(output.stdout).expect("figures are text").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, value, unit] = fields[..] else { panic!("no figure: {line}") };
        figures.add(name, value.parse().expect("a figure is a number"), unit);
    }
}
