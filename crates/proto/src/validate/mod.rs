//! Requests of clients, checked and with every default filled in. A request is either accepted
//! whole, or refused with all its violations at once. An accepted request is complete and within
//! its bounds, so that no later code checks it again.

mod application;
mod applications;
mod checks;
mod driver;
mod drivers;
mod filter;
mod listing;
mod names;
mod policy;
mod process;
mod resources;
mod roles;
mod tokens;
mod watch;
mod workers;

pub use applications::{
    KillApplication, KillExecutors, ProfileTargetRequest, RegisterApplication, RequestExecutors, Unregister,
    WatchApplication, kill_application, kill_executors, register_application, request_executors, unregister,
    watch_application,
};
pub use drivers::{KillDriver, SubmitDriver, kill_driver, submit_driver};
pub use filter::{Filter, StateWord};
pub use listing::{
    DEFAULT_PAGE_SIZE, ListExecutors, ListTokens, MAX_PAGE_SIZE, Page, list_applications, list_drivers, list_executors,
    list_tokens, list_workers,
};
pub use names::{get_application, get_driver, get_worker};
pub use roles::{bind_role, unbind_role};
pub use tokens::{CreateToken, create_token, revoke_token};
pub use watch::{ReadLog, ReadLogOf, ReadWorkerLog, WatchEvents, WatchFrom, read_log, read_worker_log, watch_events};
pub use workers::{
    AttemptOnWorker, DrainWorker, IssueWorkerCertificate, NamedWorker, drain_worker, end_quarantined, forget_attempt,
    forget_worker, issue_worker_certificate, revoke_worker, undrain_worker,
};
