//! The masters' wall clocks jump. The machine's own clock is left alone: a library between the
//! masters and the system adds the seconds that a file names. How a worker treats a step of its own
//! clock (it may have slept, so its lease is shorter) is tested beside `agent::fence`.

use muster_testenv::WallClock;
use muster_testkit::ClusterSpec;

use crate::pair::{both_end, both_go_on, on_the_first_worker};

#[tokio::test]
async fn masters_whose_wall_clock_jumps_move_no_lease() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let clock = WallClock::new(dir.path());
    let master_environment = clock.environment();
    let cluster = on_the_first_worker(ClusterSpec { master_environment, ..ClusterSpec::default() }).await;
    for (jump, shown) in [(21_600, "forward"), (-21_600, "back")] {
        clock.set(jump);
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
