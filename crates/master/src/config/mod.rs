//! The configuration: flags, environment, file and defaults, merged and checked.

mod flags;
mod settings;

pub use settings::{MasterSettings, TlsSettings};

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use muster_config::ConfigError;
use muster_store::Location;

use flags::{Flags, StoreCommand};
use muster_types::TokenGrant;
use settings::location;

/// What the program is asked to do.
#[derive(Debug)]
pub enum MasterInvocation {
    /// Serve.
    Serve(Box<MasterSettings>),
    /// Raise the generation of a store.
    Recover(Location),
    /// Fill an empty store from a backup.
    Restore(PathBuf, Location),
    /// Make a CA in a directory.
    Init(PathBuf),
    /// Take the next step of exchanging the CA in a directory, waiting for nobody if so.
    RotateCa(PathBuf, bool),
    /// Make a token.
    Token(NewTokenRequest),
}

/// The token that is to be made.
#[derive(Debug)]
pub struct NewTokenRequest {
    /// The file that its digest is added to.
    pub access_file: PathBuf,
    /// Name of the user or the worker.
    pub name: String,
    /// What it is for.
    pub grant: TokenGrant,
    /// How long it is good.
    pub ttl: Option<Duration>,
}

/// Reads the settings of a serving master from the arguments (the program's own name first) and the
/// environment. A subcommand is an error.
pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<MasterSettings, ConfigError> {
    match invocation(args)? {
        MasterInvocation::Serve(settings) => Ok(*settings),
        MasterInvocation::Recover(_)
        | MasterInvocation::Restore(..)
        | MasterInvocation::Init(_)
        | MasterInvocation::RotateCa(..)
        | MasterInvocation::Token(_) => Err(ConfigError::rule("this is not about serving")),
    }
}

/// Reads what the program is asked to do: to serve with these settings, or a subcommand.
pub fn invocation(args: impl IntoIterator<Item = OsString>) -> Result<MasterInvocation, ConfigError> {
    let matches = muster_config::load(with_environment(Flags::command()), args)?;
    let flags = Flags::from_arg_matches(&matches)?;
    let is_given = |id: &clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    if let Some(stray) = matches.ids().find(|id| flags.store_command.is_some() && is_given(id)) {
        // The subcommand would ignore the flag.
        let flag = stray.as_str().replace('_', "-");
        return Err(ConfigError::rule(format!("--{flag} is a flag of a master that serves")));
    }
    match flags.store_command {
        Some(StoreCommand::Recover { store }) => Ok(MasterInvocation::Recover(location(store)?)),
        Some(StoreCommand::Restore { file, store }) => Ok(MasterInvocation::Restore(file, location(store)?)),
        Some(StoreCommand::Init { out }) => Ok(MasterInvocation::Init(out)),
        Some(StoreCommand::RotateCa { pki, at_once }) => Ok(MasterInvocation::RotateCa(pki, at_once)),
        Some(StoreCommand::Token { access_file, name, role, ttl }) => {
            let ttl = ttl.map(|span| span.0);
            Ok(MasterInvocation::Token(NewTokenRequest { access_file, name, grant: role, ttl }))
        }
        None => MasterSettings::try_from(flags).map(Box::new).map(MasterInvocation::Serve),
    }
}

fn with_environment(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| {
        let variable = format!("MUSTER_{}", arg.get_id().as_str().to_ascii_uppercase());
        if matches!(arg.get_id().as_str(), "help" | "version") { arg } else { arg.env(variable) }
    })
}

#[cfg(test)]
mod tests {
    use muster_types::RequiredContainment;

    use super::*;
    use std::io::Write as _;

    fn read_args(args: &[&str]) -> Result<MasterSettings, ConfigError> {
        read(std::iter::once("muster-master").chain(args.iter().copied()).map(OsString::from))
    }

    fn said(result: Result<MasterSettings, ConfigError>) -> String {
        result.unwrap_err().line()
    }

    #[test]
    fn defaults_are_the_designs() {
        let settings = read_args(&[]).unwrap();
        assert_eq!(settings.timing.wait(), Duration::from_secs(50));
        assert_eq!(settings.listen.to_string(), "127.0.0.1:7077");
        assert_eq!(settings.store.to_string(), "embedded:./muster-data/master/store");
    }

    #[test]
    fn flags_stand_above_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "heartbeat = \"1s\"\nmax_drivers = 7\nspread_drivers = false\nstore = \"memory:\"").unwrap();
        let path = file.path().to_str().unwrap();
        let settings = read_args(&["--config", path, "--max-drivers", "9"]).unwrap();
        assert_eq!(settings.timing.heartbeat, Duration::from_secs(1));
        assert_eq!(settings.core.policy.max_drivers, Some(9));
        assert!(!settings.core.policy.spread_drivers);
        assert_eq!(settings.store.to_string(), "memory:");
    }

    #[test]
    fn a_bad_value_is_one_clear_line() {
        assert_eq!(
            said(read_args(&["--heartbeat", "5"])),
            "--heartbeat 5: a unit is missing; write 5s for seconds, or a length of time such as 1h30m"
        );
        assert_eq!(
            said(read_args(&["--listen", "0.0.0.0:7077", "--tls", "false"])),
            "--listen 0.0.0.0:7077 is reachable from other machines, and whoever reaches it would command it: leave out \
             --tls false"
        );
        assert_eq!(
            said(read_args(&["--max-event-bytes", "2GB"])),
            "--max-event-bytes 2GB: unknown unit 'GB'; write K, M, G or T (powers of 1024), such as 256M or 2GiB"
        );
        assert!(said(read_args(&["--store", "etcd:x"])).contains("unknown store"));
        assert!(said(read_args(&["--store", "etcd://h/p", "--store-lease", "1500ms"])).contains("whole seconds"));
        assert!(said(read_args(&["--heartbeat", "30s"])).contains("--heartbeat"));
    }

    #[test]
    fn who_listens_beyond_the_machine_has_credentials_unless_told_otherwise() {
        let beyond = |args: &[&str]| read_args(&[&["--listen", "10.0.0.1:7077", "--state-dir", "/s"], args].concat());
        let settings = beyond(&[]).unwrap();
        assert_eq!(settings.tls.as_ref().map(|tls| tls.pki.clone()), Some("/s/pki".into()));
        assert_eq!(settings.access_file, Some("/s/pki/access.toml".into()));
        assert_eq!(beyond(&["--access-file", "/a"]).unwrap().access_file, Some("/a".into()));
        let insecure = beyond(&["--insecure-listen"]).unwrap();
        assert_eq!((insecure.tls, insecure.access_file, insecure.is_open), (None, None, true));
        assert!(!read_args(&["--insecure-listen"]).unwrap().is_open);
        let encrypted = beyond(&["--insecure-listen", "--tls"]).unwrap();
        assert_eq!((encrypted.tls.is_some(), encrypted.access_file), (true, None));
        let shared = said(beyond(&["--store", "etcd://h:1/p"]));
        assert!(shared.contains("muster-master init"), "{shared}");
        let bundle = beyond(&["--store", "etcd://h:1/p", "--pki", "/b"]).unwrap();
        assert_eq!(bundle.access_file, Some("/b/access.toml".into()));
        let local = read_args(&[]).unwrap();
        assert_eq!((local.tls, local.access_file), (None, None));
        assert!(said(read_args(&["--pki", "/b"])).contains("--tls"));
        assert!(said(read_args(&["--tls", "--tls-cert", "/c"])).contains("--tls-key"));
        assert!(said(read_args(&["--tls-cert", "/c", "--tls-key", "/k"])).contains("for a master with --tls"));
        assert!(!settings.tls.unwrap().takes_plaintext);
        assert!(beyond(&["--plaintext-transition"]).unwrap().tls.unwrap().takes_plaintext);
        for args in [&[][..], &["--tls"], &["--insecure-listen", "--tls"], &["--access-file=/a"]] {
            let refused = said(read_args(&[args, &["--plaintext-transition"]].concat()));
            assert!(refused.contains("credentials"), "{args:?}: {refused}");
        }
        for args in [&["--tls", "--tls-client-ca", "/c"], &["--access-file=/a", "--tls-client-ca", "/c"]] {
            assert!(said(read_args(args)).contains("for a master with TLS and credentials"), "{args:?}");
        }
        let issuer = ["--jwt-issuer", "https://i"];
        let with = |more: &[&str]| beyond(&[issuer.as_slice(), more].concat());
        assert!(said(with(&[])).contains("--jwt-jwks"));
        assert!(said(with(&["--jwt-jwks", "/keys"])).contains("--jwt-audience"));
        assert!(said(read_args(&["--jwt-audience", "muster"])).contains("go with --jwt-issuer"));
        let audience = ["--jwt-audience", "muster", "--jwt-audience", "other"];
        assert!(said(with(&[&audience[..], &["--jwt-jwks", "http://i/keys"]].concat())).contains("https://"));
        assert!(said(with(&[&audience[..], &["--jwt-jwks", "/k", "--jwt-ca", "/c"]].concat())).contains("--jwt-ca"));
        let jwt = with(&[&audience[..], &["--jwt-jwks", "https://i/keys"]].concat()).unwrap().jwt.unwrap();
        assert_eq!((jwt.audiences.len(), jwt.user_claim.as_str(), jwt.groups_claim.as_str()), (2, "sub", "groups"));
        let alone = [&issuer[..], &audience, &["--jwt-jwks", "/keys"]].concat();
        assert!(said(read_args(&alone)).contains("for a master with credentials"));
        let shown = beyond(&["--tls-client-ca", "/c", "--tls-client-crl", "/l"]).unwrap();
        assert_eq!(shown.client_ca, Some(("/c".into(), Some("/l".into()))));
    }

    #[test]
    fn a_length_of_time_that_makes_no_sense_is_refused_with_the_least_one() {
        for (flag, least) in [
            ("launch-progress", "1s"),
            ("keep-finished", "1s"),
            ("keep-events", "1s"),
            ("unready-after", "100ms"),
            ("store-lease", "10ms"),
            ("heartbeat", "10ms"),
        ] {
            let name = format!("--{flag}");
            assert_eq!(said(read_args(&[&name, "0"])), format!("--{flag} 0: at least {least}"));
            assert!(read_args(&[&name, least]).is_ok(), "{flag}");
        }
    }

    fn invoked(args: &[&str]) -> Result<MasterInvocation, ConfigError> {
        invocation(std::iter::once("muster-master").chain(args.iter().copied()).map(OsString::from))
    }

    #[test]
    fn a_store_is_recovered_or_restored_instead_of_served() {
        let recover = invoked(&["recover", "--store", "embedded:/x"]).unwrap();
        assert!(matches!(recover, MasterInvocation::Recover(Location::Embedded(_))), "{recover:?}");
        let restore = invoked(&["restore", "file", "--store", "etcd://h/p"]).unwrap();
        assert!(matches!(restore, MasterInvocation::Restore(_, Location::Etcd(_))), "{restore:?}");
        let stray = invoked(&["--heartbeat", "1s", "recover", "--store", "embedded:/x"]).unwrap_err();
        assert_eq!(stray.line(), "--heartbeat is a flag of a master that serves");
        assert!(invoked(&["recover"]).is_err(), "which store must be said");
    }

    #[test]
    fn a_password_comes_from_a_file_and_is_shown_nowhere() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "hush").unwrap();
        let path = file.path().to_str().unwrap();
        let flags = ["--store", "etcd://h:1/p", "--store-user", "me", "--store-password-file", path];
        let settings = read_args(&flags).unwrap();
        assert_eq!(settings.store.to_string(), "etcd://me@h:1/p");
        assert!(!format!("{settings:?}").contains("hush"));
        assert_eq!(settings.core.policy.require_containment, RequiredContainment::Tree, "the default with etcd");
        assert!(said(read_args(&["--store", "etcd://h:1/p", "--store-password-file", "/none"])).contains("/none"));
    }

    #[test]
    fn an_unknown_key_of_the_file_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "hartbeat = \"1s\"").unwrap();
        let line = said(read_args(&["--config", file.path().to_str().unwrap()]));
        assert!(line.contains("hartbeat"), "{line}");
    }
}
