//! The arguments of `login` and `context`.

use clap::{Args, Subcommand};
use muster_client::KeyDigest;

/// Which cluster is remembered.
#[derive(Debug, Args)]
#[command(after_help = "\
The digest is in the log of a master that serves over TLS, and `muster-master init` prints it. Without a digest the CA is taken from the file of --ca, and without that it is one of this machine's, for masters with a certificate of their own. The cluster is \
remembered in ~/.config/muster/contexts.toml (below XDG_CONFIG_HOME where that is set), which only you can read.

Examples:
  muster login 10.0.0.1:7077 --ca-digest sha256:4f0c…
  muster login master.example:7077 --ca ca.crt --context production
  muster login master.example:7077 --client-cert ann.crt --client-key ann.key
  muster login --refresh --context production")]
pub(crate) struct LoginArgs {
    /// Addresses of masters, HOST:PORT joined by commas.
    #[arg(value_name = "ADDRESSES", required_unless_present = "refresh")]
    pub(crate) masters: Option<String>,
    /// Digest of the cluster's CA, sha256:HEX. Nothing is said to a master that has another.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) ca_digest: Option<KeyDigest>,
    /// Ask the masters of a context, which are trusted by its CAs still, which CAs the cluster has
    /// now, and remember those: after a first step of `muster-master rotate-ca`. Everything else of
    /// the context stays.
    #[arg(long, conflicts_with_all = ["masters", "ca_digest"])]
    pub(crate) refresh: bool,
}

/// What to do with contexts.
#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    #[command(subcommand)]
    pub(crate) command: ContextCommand,
}

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List them; a star marks the chosen one.
    List,
    /// Choose the one that commands go to.
    Use {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Forget one.
    Forget {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}
