//! The masters' wall clocks jump. The machine's own clock is left alone: a library between the
//! masters and the system adds the seconds that a file names. How a worker treats a step of its own
//! clock (it may have slept, so its lease is shorter) is tested beside `agent::fence`.

use std::path::{Path, PathBuf};
use std::process::Command;

use muster_testkit::ClusterSpec;

use crate::pair::{both_end, both_go_on, on_the_first_worker};

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

/// Compiles the library into a folder.
fn library(dir: &Path) -> PathBuf {
    let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
    std::fs::write(&source, SOURCE).expect("a file can be written");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl");
    assert!(compiler.status().expect("there is a C compiler").success(), "the library compiles");
    library
}

#[tokio::test]
async fn masters_whose_wall_clock_jumps_move_no_lease() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let offset = dir.path().join("offset");
    let master_environment = vec![
        ("LD_PRELOAD".to_owned(), library(dir.path()).display().to_string()),
        ("WALL_CLOCK_FILE".to_owned(), offset.display().to_string()),
    ];
    let cluster = on_the_first_worker(ClusterSpec { master_environment, ..ClusterSpec::default() }).await;
    for (jump, shown) in [(21_600, "forward"), (-21_600, "back")] {
        std::fs::write(&offset, jump.to_string()).expect("a file can be written");
        let driver = cluster.submit(cluster.checker.lasting(1).id(shown)).await;
        let driver = cluster.wait_for_state(&driver, muster_proto::v1::driver::State::Finished).await;
        // The jump is real: the records show it.
        let made = driver.create_time.expect("it was made").seconds;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
        assert!((made - now.as_secs() as i64 - jump).abs() < 600, "the clock of the masters has not jumped");
        both_go_on(&cluster).await;
        for worker in ["w1", "w2"] {
            let is_alive = |worker: &muster_proto::v1::Worker| worker.state() == muster_proto::v1::worker::State::Alive;
            cluster.wait_for_worker(worker, "life", is_alive).await;
        }
    }
    both_end(&cluster, 1).await;
}
