//! The figures, and how they are printed.

use serde::Serialize;

/// One figure.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: String,
}

/// The figures of a run, printed as they come, or at the end as JSON.
#[derive(Debug)]
pub(crate) struct Figures {
    json: bool,
    all: Vec<Figure>,
}

#[expect(clippy::print_stdout, reason = "printing figures is what the program is for")]
impl Figures {
    /// No figures yet.
    pub(crate) fn new(json: bool) -> Figures {
        Figures { json, all: Vec::new() }
    }

    /// Adds a figure. Without JSON it is printed at once.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: impl Into<String>) {
        let (name, unit) = (name.into(), unit.into());
        if !self.json {
            println!("{name}: {value:.2} {unit}");
        }
        self.all.push(Figure { name, value, unit });
    }

    /// Prints all figures, if they are printed as JSON.
    pub(crate) fn finish(self) {
        if self.json {
            println!("{}", serde_json::to_string_pretty(&self.all).expect("figures are plain data"));
        }
    }
}
