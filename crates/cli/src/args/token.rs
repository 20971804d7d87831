//! The arguments of `token`.

use clap::{Args, Subcommand, ValueEnum};
use muster_client::v1;
use muster_units::TimeSpan;

use super::ShowArgs;

/// What to do with tokens.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenSubcommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenSubcommand {
    /// Make a token, and print it once. The masters keep a digest of it.
    Create(CreateTokenArgs),
    /// List the tokens in the store. Those of an access file are not among them.
    List {
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Make a token worthless at once, and end what was opened with it.
    Revoke {
        /// The token's id, the part behind `mst_`.
        id: String,
    },
}

/// A new token.
#[derive(Debug, Args)]
#[command(after_help = "\
The token alone is printed on standard output: TOKEN=$(muster token create ...). It is shown this once.

Over TLS, a token for workers holds the digest of the cluster's CA, too, so a worker needs nothing else to know its masters. Tokens of users are for \
admins to make, those of workers for operators, too. Everybody who has logged in with a token makes tokens of its own name, for its programs: of no higher role, good no longer than \
the one that it has logged in with, and worthless with it.")]
pub(crate) struct CreateTokenArgs {
    /// The user, or a name for the worker or workers that join with it.
    #[arg(long)]
    pub(crate) name: String,
    /// The token is for a user with this role.
    #[arg(long, value_enum, required_unless_present = "worker", conflicts_with = "worker")]
    pub(crate) role: Option<RoleArg>,
    /// The token is for workers.
    #[arg(long)]
    pub(crate) worker: bool,
    /// How long it is good for. By default 30d, and 1h with --worker.
    #[arg(long, value_name = "TIME")]
    pub(crate) ttl: Option<TimeSpan>,
}

/// What a user may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Sees what exists, without values of environments and without logs.
    Viewer,
    /// Submits work, and commands its own.
    Submitter,
    /// Commands all work and the workers.
    Operator,
    /// Also decides who may do what, and takes backups.
    Admin,
}

impl From<RoleArg> for v1::Role {
    fn from(role: RoleArg) -> v1::Role {
        match role {
            RoleArg::Viewer => v1::Role::Viewer,
            RoleArg::Submitter => v1::Role::Submitter,
            RoleArg::Operator => v1::Role::Operator,
            RoleArg::Admin => v1::Role::Admin,
        }
    }
}
