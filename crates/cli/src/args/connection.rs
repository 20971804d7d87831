//! How the masters are reached.

use std::path::PathBuf;

use clap::Args;
use muster_client::BearerToken;

use crate::failure::CommandFailure;

/// The address of the master when nothing names one.
pub(crate) const DEFAULT_MASTER: &str = "127.0.0.1:7077";

/// How the masters are reached.
// The variables are read here and not by clap, which shows what a variable sets as required in the
// usage of a command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Addresses of the masters, HOST:PORT joined by commas; whichever leads is found [env:
    /// MUSTER_MASTER] [default: those of the context, else 127.0.0.1:7077].
    #[arg(long, global = true, value_name = "ADDRESSES", value_delimiter = ',')]
    master: Vec<String>,
    /// File with the cluster's CA, or with that of a master's own certificate; `system` for the CAs
    /// of this machine. The masters are reached over TLS [env: MUSTER_CA_FILE] [default: the CA of
    /// the context].
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    ca: Option<PathBuf>,
    /// File with the token that the cluster is shown [env: MUSTER_TOKEN_FILE, or MUSTER_TOKEN with
    /// the token itself] [default: the token of the context].
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// File with a certificate that names you, for a cluster that takes those of a company's CA
    /// [env: MUSTER_CLIENT_CERT] [default: that of the context].
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    client_cert: Option<PathBuf>,
    /// File with the key of that certificate [env: MUSTER_CLIENT_KEY] [default: that of the
    /// context].
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    client_key: Option<PathBuf>,
    /// A cluster that `muster login` remembered [env: MUSTER_CONTEXT] [default: the one that is
    /// chosen, or that has the address].
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
}

impl ConnectionArgs {
    /// What a command line says that is not parsed in full.
    pub(crate) fn of_masters(addresses: Option<String>) -> ConnectionArgs {
        ConnectionArgs { master: addresses.into_iter().collect(), ..ConnectionArgs::default() }
    }

    /// The addresses that the option or the variable gives, joined by commas.
    pub(crate) fn masters(&self) -> Option<String> {
        if self.master.is_empty() { variable("MUSTER_MASTER") } else { Some(self.master.join(",")) }
    }

    /// The file of the CA that the option or the variable gives.
    pub(crate) fn ca(&self) -> Option<PathBuf> {
        self.ca.clone().or_else(|| variable("MUSTER_CA_FILE").map(PathBuf::from))
    }

    /// The files of the certificate that options or variables give, and of its key.
    pub(crate) fn client_certificate(&self) -> Result<Option<(PathBuf, PathBuf)>, CommandFailure> {
        let file = |option: &Option<PathBuf>, name| option.clone().or_else(|| variable(name).map(PathBuf::from));
        match (file(&self.client_cert, "MUSTER_CLIENT_CERT"), file(&self.client_key, "MUSTER_CLIENT_KEY")) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            _ => {
                let text = "--client-cert and --client-key go together, as their variables do";
                Err(CommandFailure::Usage(text.to_owned()))
            }
        }
    }

    /// The token that the option or a variable gives. The option stands first, and the token itself
    /// before a file of one.
    pub(crate) fn token(&self) -> Result<Option<BearerToken>, CommandFailure> {
        let (file, given_by) = match (&self.token_file, variable("MUSTER_TOKEN")) {
            (Some(file), _) => (Some(file.clone()), "--token-file"),
            (None, Some(text)) => {
                let wrong = |error| CommandFailure::Usage(format!("MUSTER_TOKEN: {error}"));
                return BearerToken::new(&text).map(Some).map_err(wrong);
            }
            (None, None) => (variable("MUSTER_TOKEN_FILE").map(PathBuf::from), "MUSTER_TOKEN_FILE"),
        };
        let Some(file) = file else { return Ok(None) };
        let wrong = |error| CommandFailure::Usage(format!("{given_by} {}: {error}", file.display()));
        BearerToken::in_file(&file).map(Some).map_err(wrong)
    }

    /// The name of the context that the option or the variable gives.
    pub(crate) fn context(&self) -> Option<String> {
        self.context.clone().filter(|name| !name.is_empty()).or_else(|| variable("MUSTER_CONTEXT"))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_that_is_no_token_is_named_with_its_flag() {
        let directory = tempfile::tempdir().expect("a directory");
        let (missing, empty) = (directory.path().join("missing"), directory.path().join("empty"));
        std::fs::write(&empty, "\n").expect("written");
        for (file, fault) in [(missing, "No such file"), (empty, "a token is one word")] {
            let given = ConnectionArgs { token_file: Some(file.clone()), ..ConnectionArgs::default() };
            let refused = given.token().expect_err("no token").to_string();
            assert!(refused.starts_with(&format!("--token-file {}: ", file.display())), "{refused}");
            assert!(refused.contains(fault), "{refused}");
        }
    }
}
