//! Runs seeds of the simulated world: `muster-fuzz FIRST:COUNT [STEPS]`. Ends with 1 at the first seed that breaks something, with the last
//! part of what happened and the command that replays it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;

use muster_testkit::world::{self, Steps};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let seeds = args.next().unwrap_or_else(|| "1:1000".to_owned());
    let parsed = seeds.split_once(':').and_then(|(first, count)| Some((first.parse().ok()?, count.parse().ok()?)));
    let steps = args.next().map_or(Some(Steps::default()), |steps| steps.parse().ok().map(Steps));
    let (Some((first, count)), Some(steps)) = (parsed, steps) else {
        eprintln!("error: seeds are FIRST:COUNT, two numbers, and steps a number");
        return ExitCode::FAILURE;
    };
    match world::run_all(first, count, steps, &[]) {
        Ok(report) => {
            for (what, times) in &report.tally {
                println!("{times:>9} {what}");
            }
            println!("{count} seeds from {first}, {} steps, {} events: all hold", report.steps, report.events);
            ExitCode::SUCCESS
        }
        Err(broken) => {
            eprintln!("{broken}");
            ExitCode::FAILURE
        }
    }
}
