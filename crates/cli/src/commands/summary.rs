//! What runs, in one sentence.

use std::time::Duration;

use muster_client::v1::Driver;

use super::verdict::has_ended;
use crate::contexts::Target;
use crate::master::MasterClient;
use crate::output::{driver_state, executor_state, is_running};

/// The time limit of both lists: somebody who ends a cluster does not want to wait for them.
const BOUND: Duration = Duration::from_secs(2);
/// The most names in the sentence.
const NAMED: usize = 10;
/// The most drivers, and the most executors, that are listed.
const MOST: usize = 10_000;

/// What runs on the cluster of a master, such as `on it: 2 drivers (a RUNNING, b PENDING) and 4
/// executors`.
pub(crate) async fn running_summary(address: &str) -> String {
    let unknown = "what runs is not known, for the master does not answer".to_owned();
    let Ok(master) = MasterClient::with_deadline(&Target::in_the_clear(address), BOUND) else { return unknown };
    let lists = tokio::time::timeout(BOUND, async {
        tokio::join!(master.client().drivers("", MOST), master.client().executors("", "", MOST))
    });
    let Ok((Ok(drivers), Ok(executors))) = lists.await else { return unknown };
    let drivers: Vec<_> = drivers.items.into_iter().filter(|driver| !has_ended(driver)).collect();
    let executors = executors.items.iter().filter(|executor| is_running(&executor_state(executor.state))).count();
    sentence(&drivers, executors)
}

fn sentence(drivers: &[Driver], executors: usize) -> String {
    if drivers.is_empty() && executors == 0 {
        return "nothing runs on it".to_owned();
    }
    let mut names: Vec<String> = drivers
        .iter()
        .take(NAMED)
        .map(|driver| format!("{} {}", driver.driver_id, driver_state(driver.state)))
        .collect();
    if drivers.len() > NAMED {
        names.push(format!("{} more", drivers.len() - NAMED));
    }
    let mut parts = Vec::new();
    if !drivers.is_empty() {
        let noun = if drivers.len() == 1 { "driver" } else { "drivers" };
        parts.push(format!("{} {noun} ({})", drivers.len(), names.join(", ")));
    }
    if executors > 0 {
        let noun = if executors == 1 { "executor" } else { "executors" };
        parts.push(format!("{executors} {noun}"));
    }
    format!("on it: {}", parts.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_client::v1::driver::State;

    #[test]
    fn names_are_said_but_not_all_of_them() {
        assert_eq!(sentence(&[], 0), "nothing runs on it");
        let driver = |number: usize| Driver {
            driver_id: format!("d{number}"),
            state: State::Running as i32,
            ..Driver::default()
        };
        let drivers: Vec<_> = (0..12).map(driver).collect();
        assert_eq!(sentence(&drivers[..1], 2), "on it: 1 driver (d0 RUNNING) and 2 executors");
        assert!(sentence(&drivers, 0).ends_with("d9 RUNNING, 2 more)"));
    }
}
