//! The master: gRPC services, worker links, the commit loop.
//!
//! A call is validated (`api`), queued, decided by the core and committed (`commit`). After the
//! commit, and never before, it is answered, shown to readers (`view`), published to watchers
//! (`events`, `sessions`) and sent to workers (`link`). Roles (`roles`) own all of this while this
//! master leads; `run` joins them. `metrics` counts what they do, and `traced` makes spans of it.

mod access;
mod api;
mod clock;
mod commit;
pub mod config;
mod entropy;
mod events;
mod forward;
mod health;
mod leader;
mod link;
mod metrics;
mod poison_inputs;
mod reload;
mod roles;
mod run;
mod serve;
mod sessions;
mod stop;
mod traced;
mod view;

pub use access::{
    AccessFileError, AuditDestination, AuditError, CallerLimits, JwksError, JwksSource, JwtSettings, add_first_token,
    add_token,
};
pub use entropy::NoEntropy;
pub use events::RetentionLimits;
pub use leader::Timing;
pub use roles::FatalError;
pub use run::{RunError, run, run_on};

/// An error with its causes, in one line.
pub fn error_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.replace('\n', " ")
}
