//! Decisions and memory of the scheduler of tasks, measured by a program of its crate: it counts
//! what its allocator gives, which would slow down everything that is measured here.

use std::process::Command;

use crate::figure::Figures;
use crate::tasks::{add_figures, example};

pub(crate) fn measure(figures: &mut Figures) {
    add_figures(figures, Command::new(example("decisions")));
}
