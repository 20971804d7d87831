//! `muster completions`.

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use super::put;
use crate::args::Shell;
use crate::complete::VARIABLE;
use crate::failure::CommandFailure;

/// Prints the registration script of a shell. The script calls `muster` for every completion, so it
/// stays valid when `muster` changes.
pub(super) fn completions(shell: Shell) -> Result<(), CommandFailure> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let program = std::env::current_exe().map_err(CommandFailure::System)?;
    let mut script = Vec::new();
    let program = program.to_string_lossy();
    shell.write_registration(VARIABLE, "muster", "muster", &program, &mut script).map_err(CommandFailure::System)?;
    put(&String::from_utf8_lossy(&script))
}
