//! The settings of a serving program. Flags override the environment, the environment overrides a
//! TOML file, and the file overrides the defaults.
//!
//! A program describes its settings to clap once. Clap merges flags, variables and defaults, and
//! the values of the file replace the defaults. So a value is read in the same way wherever it
//! stands, and refused in the same words.
//!
//! The flag `--config` names the file. The key of `--some-flag` is `some_flag`; a flag that may be
//! repeated takes a list. In the environment, semicolons separate the elements of a list, because
//! its values contain commas.

mod error;
mod log_format;

pub use error::ConfigError;
pub use log_format::LogFormat;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::{Table, Value};

/// The flag that names the file. It is not a key of the file.
const FILE: &str = "config";

/// Merges the arguments (the program's own name first), the environment and the file. With a
/// subcommand, no file is read.
pub fn load(command: Command, args: impl IntoIterator<Item = OsString>) -> Result<ArgMatches, ConfigError> {
    let args: Vec<OsString> = args.into_iter().collect();
    let matches = with_lists_of_environment(command.clone()).try_get_matches_from(&args)?;
    match matches.get_one::<PathBuf>(FILE) {
        Some(path) if matches.subcommand_name().is_none() => {
            Ok(with_lists_of_environment(with_file(command, path)?).try_get_matches_from(args)?)
        }
        _ => Ok(matches),
    }
}

/// Refuses an address that other machines can reach, unless `is_safe`: whoever reaches it would
/// command the program. `remedy` says what makes it safe, or says that it is meant.
pub fn check_listen(address: SocketAddr, is_safe: bool, remedy: &str) -> Result<(), ConfigError> {
    if address.ip().is_loopback() || is_safe {
        return Ok(());
    }
    Err(ConfigError::rule(format!(
        "--listen {address} is reachable from other machines, and whoever reaches it would command it: {remedy}"
    )))
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// The command with the values of the file as its defaults.
fn with_file(mut command: Command, path: &Path) -> Result<Command, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::ReadFile(path.to_owned(), error))?;
    let wrong = |sentence: String| ConfigError::File(path.to_owned(), sentence);
    // The full error spans several lines; its message is one line.
    let not_toml = |error: toml::de::Error| wrong(format!("is not a configuration: {}", error.message()));
    let table: Table = text.parse().map_err(not_toml)?;
    for (key, value) in table {
        let Some(arg) = command.get_arguments().find(|arg| arg.get_id() == key.as_str() && key != FILE) else {
            let hint = nearest(&command, &key).map(|known| format!("; is `{known}` meant?")).unwrap_or_default();
            return Err(wrong(format!("has an unknown field `{key}`{hint}")));
        };
        let texts = match value {
            Value::Array(list) if is_list(arg) => list.iter().map(text_of).collect(),
            value => text_of(&value).map(|text| vec![text]),
        };
        let texts = texts.ok_or_else(|| wrong(format!("has no text, number or boolean at `{key}`")))?;
        command = command.mut_arg(key, |arg| arg.default_values(texts));
    }
    Ok(command)
}

/// The key that is most like this one, if any is, by the measure that clap uses for flags.
fn nearest(command: &Command, key: &str) -> Option<String> {
    let keys = command.get_arguments().map(|arg| arg.get_id().as_str()).filter(|known| *known != FILE);
    let alike = keys.map(|known| (strsim::jaro(known, key), known)).filter(|(likeness, _)| *likeness > 0.7);
    alike.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, known)| known.to_owned())
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(yes) => Some(yes.to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// The command with the lists of the environment as its defaults. Clap would take each variable for
/// one value, or with a delimiter would split the values of flags too.
fn with_lists_of_environment(command: Command) -> Command {
    command.mut_args(|arg| {
        let Some(variable) = arg.get_env().filter(|_| is_list(&arg)) else { return arg };
        let text = std::env::var(variable).unwrap_or_default();
        let parts: Vec<String> =
            text.split(';').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let arg = arg.env(None::<&'static str>);
        if parts.is_empty() { arg } else { arg.default_values(parts).hide_default_value(true) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::Write as _;

    /// Flags like those of the programs. The variables are ones that cargo sets, because a test
    /// must not set any.
    #[derive(Debug, Parser)]
    struct Example {
        #[arg(long, default_value = "1")]
        count: u32,
        #[arg(long, num_args = 0..=1, default_value = "false", default_missing_value = "true", action = ArgAction::Set)]
        bold: bool,
        #[arg(long)]
        label: Vec<String>,
        #[arg(long, env = "CARGO_PKG_NAME")]
        name: Option<String>,
        #[arg(long, env = "CARGO_PKG_VERSION")]
        version_list: Vec<String>,
        #[arg(long, value_parser = ["red", "green"])]
        colour: Option<String>,
        #[arg(long)]
        config: Option<PathBuf>,
    }

    fn read(file: &str, args: &[&str]) -> Result<Example, ConfigError> {
        let mut written = tempfile::NamedTempFile::new().unwrap();
        write!(written, "{file}").unwrap();
        let config = ["example", "--config", written.path().to_str().unwrap()];
        let args = config.iter().chain(args).map(OsString::from);
        let matches = load(<Example as clap::CommandFactory>::command(), args)?;
        Ok(<Example as clap::FromArgMatches>::from_arg_matches(&matches)?)
    }

    fn refused(file: &str, args: &[&str]) -> String {
        read(file, args).unwrap_err().line()
    }

    #[test]
    fn flags_stand_above_the_environment_above_the_file_above_defaults() {
        let file = "count = 7\nbold = true\nname = \"file\"\nversion_list = [\"file\"]";
        let example = read(file, &[]).unwrap();
        assert_eq!((example.count, example.bold), (7, true));
        assert_eq!(example.name.as_deref(), Some("muster-config"), "the environment stands above the file");
        assert_eq!(example.version_list, [env!("CARGO_PKG_VERSION")], "with its lists as well");
        let example = read(file, &["--count", "9", "--bold=false", "--name", "flag", "--version-list=a;b"]).unwrap();
        assert_eq!((example.count, example.bold), (9, false));
        assert_eq!(example.name.as_deref(), Some("flag"));
        assert_eq!(example.version_list, ["a;b"], "a flag is not split");
        assert_eq!(read("", &[]).unwrap().count, 1);
    }

    #[test]
    fn a_repeated_flag_takes_the_place_of_a_list() {
        let file = "label = [\"a=1,2\", \"b\"]";
        assert_eq!(read(file, &[]).unwrap().label, ["a=1,2", "b"]);
        assert_eq!(read("label = \"a\"", &[]).unwrap().label, ["a"]);
        assert_eq!(read(file, &["--label", "c", "--label", "d"]).unwrap().label, ["c", "d"]);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        assert!(refused("cuont = 1", &[]).ends_with(" has an unknown field `cuont`; is `count` meant?"));
        assert!(refused("config = \"x\"", &[]).contains(" has an unknown field `config`"));
        assert!(refused("speed = 1", &[]).ends_with(" has an unknown field `speed`"));
        assert!(refused("count = [1]", &[]).ends_with(" has no text, number or boolean at `count`"));
        assert!(refused("label = [[]]", &[]).ends_with(" has no text, number or boolean at `label`"));
        assert!(refused("count", &[]).contains(" is not a configuration: "));
        assert_eq!(refused("count = \"x\"", &[]), "--count x: invalid digit found in string");
        assert_eq!(refused("", &["--count", "x"]), "--count x: invalid digit found in string");
        assert_eq!(refused("", &["--colour", "blue"]), "--colour blue: expected one of red, green");
        assert_eq!(refused("", &["--count", "x\ny"]), "--count x y: invalid digit found in string");
        assert_eq!(refused("", &["--bold=maybe"]), "--bold maybe: expected one of true, false");
        assert_eq!(refused("", &["--cuont", "1"]), "unexpected argument '--cuont' found");
        assert!(refused("", &["--count"]).starts_with("a value is required for '--count <COUNT>'"));
    }
}
