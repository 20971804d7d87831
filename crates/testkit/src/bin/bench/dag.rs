//! Decisions and memory of the scheduler of tasks, measured by a program of its crate: it counts
//! what its allocator gives, which would slow down everything that is measured here.

use std::process::Command;

use crate::figure::Figures;

pub(crate) fn measure(figures: &mut Figures) {
    let own = std::env::current_exe().expect("this program has a path");
    let program = own.with_file_name("examples").join("decisions");
    let output = Command::new(&program).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}: `make bench` builds it", program.display()));
    assert!(output.status.success(), "{}: {output:?}", program.display());
    for line in String::from_utf8(output.stdout).expect("figures are text").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, value, unit] = fields[..] else { panic!("no figure: {line}") };
        figures.add(name, value.parse().expect("a figure is a number"), unit);
    }
}
