//! A wall clock that tests set, for one program and not for the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A library between a program and the system, which adds the seconds that a file names.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        FILE *file = fopen(getenv("WALL_CLOCK_FILE"), "r");
        long seconds = 0;
        if (file) { if (fscanf(file, "%ld", &seconds) == 1) now->tv_sec += seconds; fclose(file); }
    }
    return result;
}
"#;

/// A wall clock of its own. All other clocks are the machine's.
#[derive(Debug, Clone)]
pub struct WallClock {
    library: PathBuf,
    offset: PathBuf,
}

impl WallClock {
    /// One that is right, in a folder.
    ///
    /// # Panics
    /// Where there is no C compiler, or the folder cannot be written.
    pub fn new(folder: &Path) -> WallClock {
        let source = folder.join("clock.c");
        let clock = WallClock { library: folder.join("clock.so"), offset: folder.join("clock.offset") };
        std::fs::write(&source, SOURCE).expect("a file can be written");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&clock.library).arg(&source).arg("-ldl");
        assert!(compiler.status().expect("there is a C compiler").success(), "the library compiles");
        clock.set(0);
        clock
    }

    /// From now on it is this many seconds ahead.
    ///
    /// # Panics
    /// Where the folder cannot be written.
    pub fn set(&self, seconds: i64) {
        // As a whole: a program may read it at any moment.
        let next = self.offset.with_extension("next");
        std::fs::write(&next, seconds.to_string()).expect("a file can be written");
        std::fs::rename(&next, &self.offset).expect("a file can be renamed");
    }

    /// The variables with which a program has it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        vec![("LD_PRELOAD".to_owned(), text(&self.library)), ("WALL_CLOCK_FILE".to_owned(), text(&self.offset))]
    }
}
