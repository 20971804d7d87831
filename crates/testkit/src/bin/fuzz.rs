//! Runs seeds of the simulated world: `muster-fuzz FIRST:COUNT [STEPS [FAULT]]`. FAULT is a fault
//! that is put into the code on purpose, or `all` for each of them in turn. Ends with 1 at the
//! first seed that breaks a rule, and prints the last part of what happened and the command that
//! replays it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;

use muster_testkit::world::{self, Sabotage, Steps};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let seeds = args.next().unwrap_or_else(|| "1:1000".to_owned());
    let parsed = seeds.split_once(':').and_then(|(first, count)| Some((first.parse().ok()?, count.parse().ok()?)));
    let steps = args.next().map_or(Some(Steps::default()), |steps| steps.parse().ok().map(Steps));
    let (Some((first, count)), Some(steps)) = (parsed, steps) else {
        eprintln!("error: seeds are FIRST:COUNT, two numbers, and steps a number");
        return ExitCode::FAILURE;
    };
    if let Some(name) = args.next() {
        return plant(&name, first, count, steps);
    }
    match world::run_all(first, count, steps, &[]) {
        Ok(report) => {
            for (what, times) in &report.tally {
                println!("{times:>9} {what}");
            }
            println!("{count} seeds from {first}, {} steps, {} events: all hold", report.steps, report.events);
            ExitCode::SUCCESS
        }
        Err(broken) => {
            // A single seed is printed as a whole.
            if count == 1 {
                broken.trace.iter().for_each(|line| println!("{line}"));
            }
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the seed that catches each fault.
fn plant(name: &str, first: u64, count: u64, steps: Steps) -> ExitCode {
    let is_named = |fault: &Sabotage| name == "all" || format!("{fault:?}") == name;
    let named: Vec<_> = Sabotage::ALL.into_iter().filter(is_named).collect();
    if named.is_empty() {
        eprintln!("error: no fault is named {name}: they are {:?}", Sabotage::ALL);
        return ExitCode::FAILURE;
    }
    let mut missed = 0;
    for fault in named {
        match world::catch(fault, first, count, steps) {
            Some(broken) => {
                if name != "all" {
                    println!("{broken}");
                }
                let rules = broken.rules.iter().map(|(rule, _)| *rule).collect::<Vec<_>>().join(", ");
                println!("{fault:?}: caught by seed {} ({rules})", broken.seed);
            }
            None => {
                missed += 1;
                println!("{fault:?}: NOT caught");
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
