//! The command line. It is parsed by hand: a parser would be larger than the rest of the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use muster_units::TimeSpan;

use crate::guard;
use crate::tree::Method;

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunnerOptions {
    /// Holds the lock, the socket, the incarnation and the journal.
    pub(crate) state_dir: PathBuf,
    /// Where cgroups are mounted.
    pub(crate) cgroup_root: PathBuf,
    /// How to hold trees.
    pub(crate) tree: Method,
    /// Whether limits are enforced.
    pub(crate) limits: bool,
    /// Whether the runner lives in namespaces of its own, where the kernel permits it.
    pub(crate) namespaces: bool,
    /// How long a tree that was frozen at its lease's end waits to be confirmed; zero kills at the
    /// lease's end.
    pub(crate) fence_kill_after: Duration,
    /// Whether a runner of root may start programs as root.
    pub(crate) allow_root: bool,
    /// Below which the temporary files of users lie who have directories for them of their own.
    pub(crate) private_tmp: Option<PathBuf>,
}

/// Long enough for a person to bring a master back.
const FENCE_KILL_AFTER: Duration = Duration::from_secs(600);

pub(crate) const USAGE: &str = "\
muster-runner: starts, limits, fences, reaps and journals the processes of one worker

Usage: muster-runner --state-dir DIR [options]

It leaves its caller's session, and returns once it serves DIR/runner.sock (exit code 0), or if another runner
already serves it (exit code 3).

  --state-dir DIR         made with mode 0700 if it does not exist
  --cgroup-root DIR       where cgroups are mounted, or a cgroup that was handed over [default: /sys/fs/cgroup]
  --tree HOW              best, cgroup2, freezer or none [default: best]
  --limits on|off         enforce limits of memory, processor time and processes [default: on]
  --namespaces on|off     use a PID namespace, so that all processes die with the runner [default: on]
  --fence-kill-after TIME
                          leased trees are frozen at their lease's end, where there is a freezer; one that no leader
                          confirms for this long, such as 500ms or 10m, is killed; 0 kills at the lease's end
                          [default: 10m]
  --private-tmp DIR       as root: each user that programs run as has a /tmp, a /var/tmp and a /dev/shm of its own, the
                          first two below DIR, which none of them may be above; what is written there is removed
                          when nothing of the user has run for 10 s [default: those of the machine]
  --allow-root            as root: start as root the programs that name no other user, or root; without, they are
                          refused
  --version, --help

An option and its value are two arguments, or one with `=` between them.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RunnerInvocation {
    /// Start a runner.
    Run(RunnerOptions),
    /// Run as the guard of a runner.
    Guard(guard::GuardRequest),
    /// Print a text and end.
    Print(String),
}

/// The command line is wrong. The text says what is wrong, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UsageError(pub(crate) String);

/// Reads the arguments after the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<RunnerInvocation, UsageError> {
    let mut arguments = arguments.into_iter();
    let mut state_dir = None;
    let mut options = RunnerOptions {
        state_dir: PathBuf::new(),
        cgroup_root: PathBuf::from("/sys/fs/cgroup"),
        tree: Method::Best,
        limits: true,
        namespaces: true,
        fence_kill_after: FENCE_KILL_AFTER,
        allow_root: false,
        private_tmp: None,
    };
    while let Some(argument) = arguments.next() {
        let (name, joined) = name_and_value(&argument);
        match name.as_str() {
            "--help" | "-h" | "--version" | "-V" | ALLOW_ROOT if joined.is_some() => {
                return Err(UsageError(format!("`{name}` takes no value (see --help)")));
            }
            "--help" | "-h" => return Ok(RunnerInvocation::Print(USAGE.to_owned())),
            "--version" | "-V" => {
                return Ok(RunnerInvocation::Print(format!("muster-runner {}\n", env!("CARGO_PKG_VERSION"))));
            }
            ALLOW_ROOT => {
                options.allow_root = true;
                continue;
            }
            guard::ROLE => return guard_of(arguments.next(), arguments.next()),
            _ => {}
        }
        if !OPTIONS.contains(&name.as_str()) {
            return Err(UsageError(format!("unknown option `{name}` (see --help)")));
        }
        let value = joined.or_else(|| arguments.next());
        let value = value.ok_or_else(|| UsageError(format!("`{name}` needs a value (see --help)")))?;
        match name.as_str() {
            "--state-dir" => state_dir = Some(PathBuf::from(value)),
            "--cgroup-root" => options.cgroup_root = PathBuf::from(value),
            "--private-tmp" => options.private_tmp = Some(PathBuf::from(value)),
            "--tree" => options.tree = method(&value)?,
            "--limits" => options.limits = switch(&name, &value)?,
            "--fence-kill-after" => options.fence_kill_after = length_of_time(&name, &value)?,
            "--namespaces" => options.namespaces = switch(&name, &value)?,
            _ => return Err(UsageError(format!("unknown option `{name}` (see --help)"))),
        }
    }
    options.state_dir = state_dir.ok_or_else(|| UsageError("--state-dir DIR is missing (see --help)".to_owned()))?;
    Ok(RunnerInvocation::Run(options))
}

/// The option that takes no value.
const ALLOW_ROOT: &str = "--allow-root";

/// The options that take a value. Another one is unknown whether a value follows it or not.
const OPTIONS: [&str; 7] =
    ["--state-dir", "--cgroup-root", "--tree", "--limits", "--fence-kill-after", "--namespaces", "--private-tmp"];

/// Splits `--name=value`. A value may be a path that is not UTF-8.
fn name_and_value(argument: &OsStr) -> (String, Option<OsString>) {
    let bytes = argument.as_bytes();
    let equals = bytes.iter().position(|byte| *byte == b'=').filter(|_| bytes.starts_with(b"--"));
    let name = &bytes[..equals.unwrap_or(bytes.len())];
    let value = equals.map(|at| OsStr::from_bytes(&bytes[at + 1..]).to_owned());
    (String::from_utf8_lossy(name).into_owned(), value)
}

/// The arguments that the runner passes to its guard; nothing else starts a guard.
fn guard_of(how: Option<OsString>, kill_after: Option<OsString>) -> Result<RunnerInvocation, UsageError> {
    let wrong = || UsageError("the guard is started by its runner alone".to_owned());
    let how = how.and_then(|how| how.into_string().ok()).ok_or_else(wrong)?;
    let kill_after = length_of_time(guard::ROLE, &kill_after.ok_or_else(wrong)?)?;
    Ok(RunnerInvocation::Guard(guard::GuardRequest { how, kill_after }))
}

fn method(value: &OsString) -> Result<Method, UsageError> {
    match value.to_str() {
        Some("best") => Ok(Method::Best),
        Some("cgroup2") => Ok(Method::Cgroup2),
        Some("freezer") => Ok(Method::Freezer),
        Some("none") => Ok(Method::None),
        _ => Err(UsageError("--tree is best, cgroup2, freezer or none".to_owned())),
    }
}

fn length_of_time(name: &str, value: &OsString) -> Result<Duration, UsageError> {
    let text = value.to_string_lossy();
    let span = text.parse::<TimeSpan>().map_err(|error| UsageError(format!("{name} {text}: {error}")))?;
    Ok(span.0)
}

fn switch(name: &str, value: &OsString) -> Result<bool, UsageError> {
    match value.to_str() {
        Some("on") => Ok(true),
        Some("off") => Ok(false),
        _ => Err(UsageError(format!("{name} is on or off"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<RunnerInvocation, UsageError> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_state_directory_is_all_that_is_needed() {
        let Ok(RunnerInvocation::Run(options)) = parse_words(&["--state-dir", "/s"]) else { panic!("refused") };
        assert_eq!((options.state_dir, options.tree, options.limits), (PathBuf::from("/s"), Method::Best, true));
        assert!(!options.allow_root, "nothing runs as root unless that is said");
        assert!(parse_words(&[]).is_err());
    }

    #[test]
    fn root_is_allowed_by_a_word_without_a_value() {
        let Ok(RunnerInvocation::Run(options)) = parse_words(&["--allow-root", "--state-dir", "/s"]) else {
            panic!("refused")
        };
        assert!(options.allow_root);
        assert!(parse_words(&["--allow-root=no", "--state-dir", "/s"]).is_err());
    }

    #[test]
    fn a_length_of_time_is_written_as_in_every_program_and_keeps_its_milliseconds() {
        let parsed = |text| parse_words(&["--state-dir", "/s", "--fence-kill-after", text]);
        for (text, millis) in [("1500ms", 1_500), ("10m", 600_000), ("0", 0)] {
            let Ok(RunnerInvocation::Run(options)) = parsed(text) else { panic!("{text} is refused") };
            assert_eq!(options.fence_kill_after, Duration::from_millis(millis));
        }
        let wrong = "--fence-kill-after 5: a unit is missing; write 5s for seconds, or a length of time such as 1h30m";
        assert_eq!(parsed("5"), Err(UsageError(wrong.to_owned())));
    }

    #[test]
    fn an_equals_sign_may_stand_between_an_option_and_its_value() {
        let joined = ["--state-dir=/s=1", "--tree=none", "--limits=off", "--namespaces=off", "--fence-kill-after=5s"];
        let apart: Vec<&str> = joined.iter().flat_map(|word| word.splitn(2, '=')).collect();
        let Ok(RunnerInvocation::Run(options)) = parse_words(&joined) else { panic!("refused") };
        assert_eq!(options.state_dir, PathBuf::from("/s=1"));
        assert_eq!(options.fence_kill_after, Duration::from_secs(5));
        assert_eq!(parse_words(&apart), Ok(RunnerInvocation::Run(options)));
        assert_eq!(
            parse_words(&["--fence-kill-after="]),
            Err(UsageError(
                "--fence-kill-after : a length of time is whole numbers with units, such as 500ms, 10s or 1h30m".into()
            ))
        );
        assert!(parse_words(&["--help=yes"]).is_err());
        assert_eq!(parse_words(&["--speed"]), Err(UsageError("unknown option `--speed` (see --help)".into())));
    }

    #[test]
    fn a_guard_is_told_what_its_runner_was_told() {
        let request = guard::GuardRequest { how: "cgroup2".to_owned(), kill_after: Duration::from_millis(1_500) };
        let heard = parse(request.arguments().map(OsString::from));
        assert_eq!(heard, Ok(RunnerInvocation::Guard(request)));
    }

    #[test]
    fn wrong_words_are_refused() {
        assert!(parse_words(&["--state-dir"]).is_err());
        assert!(parse_words(&["--state-dir", "/s", "--limits", "maybe"]).is_err());
        assert!(parse_words(&["--state-dir", "/s", "--tree", "v3"]).is_err());
        assert!(parse_words(&["--state-dir", "/s", "--fence-kill-after", "10min"]).is_err());
        assert!(parse_words(&["--speed", "1"]).is_err());
        assert!(parse_words(&["--guard", "cgroup2"]).is_err());
    }
}
