//! The arguments of `access`.

use clap::{ArgGroup, Args, Subcommand};

use super::ShowArgs;
use super::token::RoleArg;

/// What to do with roles.
#[derive(Debug, Args)]
pub(crate) struct AccessArgs {
    #[command(subcommand)]
    pub(crate) command: AccessSubcommand,
}

/// What to do with roles.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessSubcommand {
    /// Give a user or a group a role, in place of the one before.
    Bind {
        #[command(flatten)]
        principal: PrincipalArgs,
        /// The role.
        #[arg(long, value_enum)]
        role: RoleArg,
    },
    /// Take its role from a user or a group, and end the streams that it does not allow any more.
    Unbind {
        #[command(flatten)]
        principal: PrincipalArgs,
    },
    /// List the roles in the store. Those of an access file are not among them.
    List {
        #[command(flatten)]
        show: ShowArgs,
    },
}

/// Whose role.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("principal").required(true).args(["user", "group"]))]
pub(crate) struct PrincipalArgs {
    /// A user that a certificate or a JWT names, with its prefix: cert:ann, jwt:ann.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// A group that a certificate or a JWT names, with its prefix: everybody in it.
    #[arg(long)]
    pub(crate) group: Option<String>,
}
