//! The steps of preparing one launch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{fmt, fs, io, thread};

use muster_types::{Artifact, ArtifactUri, Fault, Launch, Outcome, Reason, TraceContext};

use super::artifacts::{self, CachedArtifact, FetchError, Fetched};
use super::directories::AttemptDirectories;
use super::environment::{AttemptPaths, ClusterVariables, VariableScope, WorkerVariables, base_environment};
use super::pool;
use super::reachable::ArtifactNetworks;
use super::variables::{UnknownVariable, substitute};
use crate::accounts::{Account, NoAccount, NoOwnerUid};
use crate::private_tmp::place_of;

/// A program ready to be started.
#[derive(Clone, PartialEq, Eq)]
pub struct PreparedLaunch {
    /// Path, or a name to be looked up in the PATH of `env`.
    pub program: String,
    /// Arguments, without the program.
    pub args: Vec<String>,
    /// The whole environment. Each name occurs once: later values have replaced earlier ones.
    pub env: Vec<(String, String)>,
    /// The work directory.
    pub work_dir: PathBuf,
    /// Standard output.
    pub stdout: PathBuf,
    /// Standard error.
    pub stderr: PathBuf,
    /// The account that it runs as; without, the worker's own user.
    pub account: Option<Arc<Account>>,
}

/// The environment may hold secrets: it is not shown.
impl fmt::Debug for PreparedLaunch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedLaunch")
            .field("program", &self.program)
            .field("work_dir", &self.work_dir)
            .finish_non_exhaustive()
    }
}

/// Why a launch could not be prepared. Each reason ends the attempt.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A directory or file of the attempt cannot be made.
    #[error("cannot make {0}")]
    WorkDir(PathBuf, #[source] io::Error),
    /// A variable is not known.
    #[error(transparent)]
    Variable(UnknownVariable),
    /// The work directory that was named is no absolute path once its variables are substituted.
    #[error("the work directory {0} is not an absolute path")]
    RelativeWorkDir(PathBuf),
    /// The work directory that was named is not the one that the program would see there.
    #[error("the work directory {0} lies in {1}, of which each user has its own on this worker")]
    PrivateWorkDir(PathBuf, &'static str),
    /// The work directory that was named cannot be entered.
    #[error("cannot enter the work directory {0}")]
    NamedWorkDir(PathBuf, #[source] io::Error),
    /// An artifact, given by its URI, cannot be fetched.
    #[error("artifact {0}")]
    Artifact(ArtifactUri, #[source] FetchError),
    /// There is no account for the program, or not the one that it asks for.
    #[error(transparent)]
    NoAccount(NoAccount),
    /// The account's rights to files cannot be taken.
    #[error("cannot act for the account that programs run as")]
    Account(#[source] io::Error),
    /// There is no thread to fetch artifacts with.
    #[error("cannot start a thread that fetches artifacts")]
    Thread(#[source] io::Error),
}

impl PrepareError {
    /// The outcome of the attempt. A missing file or directory and a wrong hash are the
    /// submission's fault, and no machine will do better; a server that does not answer and a full
    /// disk are the platform's.
    pub fn outcome(&self) -> Outcome {
        let reason = match self {
            PrepareError::WorkDir(..)
            | PrepareError::RelativeWorkDir(_)
            | PrepareError::NamedWorkDir(..)
            | PrepareError::PrivateWorkDir(..)
            | PrepareError::Account(_) => Reason::WorkDirFailed,
            PrepareError::NoAccount(NoAccount::NoUid(NoOwnerUid::UsedUp(_) | NoOwnerUid::Withdrawn(..))) => {
                Reason::NoUser
            }
            PrepareError::NoAccount(NoAccount::NotMapped { .. } | NoAccount::NoUid(NoOwnerUid::File(..))) => {
                Reason::Refused
            }
            PrepareError::Variable(_) => Reason::UnknownVariable,
            PrepareError::Artifact(..) | PrepareError::Thread(_) => Reason::ArtifactFailed,
        };
        let fault = match self {
            PrepareError::Artifact(_, error) if error.is_permanent() => Fault::Program,
            PrepareError::RelativeWorkDir(_)
            | PrepareError::PrivateWorkDir(..)
            | PrepareError::NoAccount(NoAccount::NotMapped { .. }) => Fault::Program,
            PrepareError::NamedWorkDir(_, error) if artifacts::says_that_path_is_wrong(error) => Fault::Program,
            PrepareError::Artifact(..)
            | PrepareError::NamedWorkDir(..)
            | PrepareError::WorkDir(..)
            | PrepareError::Variable(_)
            | PrepareError::Account(_)
            | PrepareError::NoAccount(NoAccount::NoUid(_))
            | PrepareError::Thread(_) => Fault::Platform,
        };
        Outcome::without_exit(fault, reason, in_one_line(self))
    }
}

/// An error with its causes.
pub fn in_one_line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Prepares launches.
#[derive(Debug)]
pub struct Preparer {
    layout: Arc<AttemptDirectories>,
    worker: Arc<WorkerVariables>,
    networks: ArtifactNetworks,
    /// Whether each user has a `/tmp` of its own.
    has_private_tmp: bool,
}

impl Preparer {
    /// A preparer for these directories and this worker, which fetches from these networks.
    pub fn new(
        layout: Arc<AttemptDirectories>,
        worker: Arc<WorkerVariables>,
        networks: ArtifactNetworks,
        has_private_tmp: bool,
    ) -> Preparer {
        Preparer { layout, worker, networks, has_private_tmp }
    }

    /// Substitutes variables, then makes the directories: in this order, an attempt that cannot run
    /// leaves nothing on the disk.
    pub fn prepare(&self, launch: &Launch, cluster: &ClusterVariables) -> Result<PreparedLaunch, PrepareError> {
        let account = self.layout.accounts().of(launch.owner.as_deref(), launch.run_as.as_deref());
        let account = account.map_err(PrepareError::NoAccount)?;
        let mut places = self.layout.places(launch);
        if let Some(named) = &launch.command.work_dir {
            places.work_dir = self.named_work_dir(named, launch, &places)?;
            if let Some(place) = place_of(&places.work_dir).filter(|_| account.is_some() && self.has_private_tmp) {
                return Err(PrepareError::PrivateWorkDir(places.work_dir, place));
            }
        }
        let prepared = self.substitute(launch, &places, cluster, account).map_err(PrepareError::Variable)?;
        let owner = prepared.account.as_deref();
        self.layout.create(launch, &places, owner).map_err(|(path, error)| PrepareError::WorkDir(path, error))?;
        Ok(prepared)
    }

    /// Whether the launch touches what its submission names, which may hang: a file server that is
    /// away must not hold up the launches of others.
    pub fn needs_fetch(launch: &Launch) -> bool {
        launch.command.work_dir.is_some() || !launch.artifacts.is_empty()
    }

    /// Looks at the work directory, if one is named, and fetches the artifacts of a prepared
    /// launch. This may take as long as the network needs.
    pub fn fetch(
        &self,
        launch: &Launch,
        prepared: &PreparedLaunch,
        cancelled: &AtomicBool,
    ) -> Result<(), PrepareError> {
        let account = prepared.account.as_ref().map(|account| account.credentials.uid);
        let cache = &self.layout.directories().cache;
        let cached = |artifact| CachedArtifact::find(cache, artifact, account);
        let cached: Vec<_> = launch.artifacts.iter().map(cached).collect();
        let fetch = || self.fetch_as_account(launch, prepared, &cached, cancelled);
        let fetched = match account {
            None => fetch()?,
            // The rights are taken for good, and the cache is not for the account.
            Some(_) => thread::scope(|scope| {
                let builder = thread::Builder::new().name("fetch-as".to_owned()).stack_size(pool::STACK);
                let fetching = builder.spawn_scoped(scope, fetch).map_err(PrepareError::Thread)?;
                fetching.join().unwrap_or_else(|_| Err(PrepareError::Thread(io::ErrorKind::Other.into())))
            })?,
        };
        for (cached, fetched) in cached.into_iter().zip(fetched) {
            if let Some(cached) = cached {
                cached.keep(fetched);
            }
        }
        Ok(())
    }

    /// Does what the submission names by the account's rights, which the calling thread has from
    /// then on: neither what is read, nor where to, is for more than its program may.
    fn fetch_as_account(
        &self,
        launch: &Launch,
        prepared: &PreparedLaunch,
        cached: &[Option<CachedArtifact>],
        cancelled: &AtomicBool,
    ) -> Result<Vec<Fetched>, PrepareError> {
        if let Some(account) = &prepared.account {
            account.take_file_rights().map_err(PrepareError::Account)?;
        }
        if launch.command.work_dir.is_some() {
            check_enterable(&prepared.work_dir)
                .map_err(|error| PrepareError::NamedWorkDir(prepared.work_dir.clone(), error))?;
        }
        let fetch = |(artifact, cached): (&Artifact, &Option<CachedArtifact>)| {
            artifacts::fetch(artifact, &prepared.work_dir, cached.as_ref(), &self.networks, cancelled)
                .map_err(|error| PrepareError::Artifact(artifact.uri.clone(), error))
        };
        launch.artifacts.iter().zip(cached).map(fetch).collect()
    }

    /// The path of a work directory that is named. In it, `{{WORK_DIR}}` is the attempt's own
    /// directory.
    fn named_work_dir(&self, named: &str, launch: &Launch, places: &AttemptPaths) -> Result<PathBuf, PrepareError> {
        let scope = VariableScope { launch, worker: &self.worker, places };
        let path = substitute(named, |name| scope.variable(name)).map_err(PrepareError::Variable)?;
        let path = PathBuf::from(path);
        if path.is_absolute() { Ok(path) } else { Err(PrepareError::RelativeWorkDir(path)) }
    }

    fn substitute(
        &self,
        launch: &Launch,
        places: &AttemptPaths,
        cluster: &ClusterVariables,
        account: Option<Arc<Account>>,
    ) -> Result<PreparedLaunch, UnknownVariable> {
        let scope = VariableScope { launch, worker: &self.worker, places };
        let fill = |text: &str| substitute(text, |name| scope.variable(name));
        let command = &launch.command;
        let mut env = base_environment(account.as_deref(), &self.worker.passed_on);
        // A command that names another trace means it.
        env.extend(launch.trace.map(|trace| (TraceContext::VARIABLE.to_owned(), trace.to_string())));
        if account.is_some() {
            // Its own directory is the attempt's alone and goes with it, while `/tmp` is at best
            // its user's.
            set(&mut env, "TMPDIR".to_owned(), places.own.to_string_lossy().into_owned());
        }
        for (name, value) in &command.env {
            set(&mut env, name.clone(), fill(value)?);
        }
        for (name, value) in &command.secret_env {
            set(&mut env, name.clone(), fill(value.expose())?);
        }
        for (name, value) in scope.muster_environment(cluster) {
            set(&mut env, name, value);
        }
        let program = fill(&command.program)?;
        // A relative path starts at the work directory, where the artifacts are; the runner works
        // in another directory.
        let program = if program.contains('/') && !program.starts_with('/') {
            places.work_dir.join(program).to_string_lossy().into_owned()
        } else {
            program
        };
        Ok(PreparedLaunch {
            program,
            args: command.args.iter().map(|arg| fill(arg)).collect::<Result<_, _>>()?,
            env,
            work_dir: places.work_dir.clone(),
            stdout: places.stdout.clone(),
            stderr: places.stderr.clone(),
            account,
        })
    }
}

/// Says now what the runner would meet when it starts the program: a directory that is not there or
/// may not be entered.
fn check_enterable(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // By the rights of the thread, which are the account's.
    let flags = rustix::fs::AtFlags::EACCESS;
    Ok(rustix::fs::accessat(rustix::fs::CWD, path, rustix::fs::Access::EXEC_OK, flags)?)
}

fn set(env: &mut Vec<(String, String)>, name: String, value: String) {
    match env.iter_mut().find(|(known, _)| *known == name) {
        Some(entry) => entry.1 = value,
        None => env.push((name, value)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::time::Duration;

    use muster_types::*;

    use super::*;
    use crate::accounts::Accounts;
    use crate::config::Directories;

    struct Setting {
        root: tempfile::TempDir,
        preparer: Preparer,
    }

    impl Setting {
        fn new() -> Setting {
            let root = tempfile::tempdir().expect("a directory");
            let at = |name: &str| root.path().join(name);
            let directories = Directories { state: at("."), work: at("work"), logs: at("logs"), cache: at("cache") };
            let worker = WorkerVariables {
                name: "w1".into(),
                uid: "u1".into(),
                host: "host1".into(),
                address: "host1:1".into(),
                ca_file: None,
                labels: BTreeMap::from([("zone-a".into(), "north".into())]),
                variables: BTreeMap::from([("JAVA_HOME".into(), "/java".into())]),
                passed_on: vec![("PATH".into(), "/bin".into())],
            };
            let layout = Arc::new(AttemptDirectories::make(directories, Accounts::default()).expect("roots"));
            Setting { preparer: Preparer::new(layout, Arc::new(worker), ArtifactNetworks::default(), false), root }
        }

        fn prepare(&self, launch: &Launch) -> Result<PreparedLaunch, PrepareError> {
            let cluster = ClusterVariables { masters: "m:1,m:2".into(), cluster: "c".into() };
            self.preparer.prepare(launch, &cluster)
        }
    }

    fn launch(attempt: AttemptKey) -> Launch {
        Launch {
            attempt,
            id: "pi".into(),
            leased: false,
            command: Arc::new(Command { program: "/bin/true".into(), ..Command::default() }),
            artifacts: Arc::new([]),
            resources: AllocatedResources { cores: 2, memory: 1 << 20, addresses: BTreeMap::new() },
            kill_grace: Duration::from_secs(10),
            log_limit: 1 << 20,
            token: Some(Secret::new("secret-token")),
            variables: BTreeMap::from([("PROFILE_ID".into(), "4".into())]),
            resources_component: "spark.executor".into(),
            owner: None,
            run_as: None,
            trace: None,
        }
    }

    fn driver() -> AttemptKey {
        AttemptKey::Driver(DriverUid(1), AttemptNumber(3))
    }

    fn executor() -> AttemptKey {
        AttemptKey::Executor(ApplicationUid(2), ExecutorId(7))
    }

    fn value<'a>(prepared: &'a PreparedLaunch, name: &str) -> Option<&'a str> {
        prepared.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The name of the next attempt's log directory is no secret.
    #[test]
    fn what_is_in_a_log_directory_before_its_attempt_goes() {
        let setting = Setting::new();
        let attempt = AttemptKey::Driver(DriverUid(7), AttemptNumber(2));
        let logs = setting.root.path().join("logs").join(attempt.to_string());
        fs::create_dir(&logs).expect("made");
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, logs.join("stdout"), fifo, 0o600.into(), 0).expect("made");
        setting.prepare(&launch(attempt)).expect("prepared");
        assert!(!logs.join("stdout").exists(), "it was there before");
    }

    #[test]
    fn a_driver_is_told_who_it_is_and_cannot_be_told_otherwise() {
        let setting = Setting::new();
        let env = BTreeMap::from([("MUSTER_TOKEN".into(), "forged".into()), ("PATH".into(), "/mine".into())]);
        let command = Command { program: "run".into(), env, ..Command::default() };
        let prepared = setting.prepare(&Launch { command: Arc::new(command), ..launch(driver()) }).expect("prepared");
        assert_eq!(prepared.program, "run");
        assert_eq!(value(&prepared, "MUSTER_TOKEN"), Some("secret-token"));
        assert_eq!(value(&prepared, "PATH"), Some("/mine"));
        assert_eq!(value(&prepared, "MUSTER_ATTEMPT"), Some("3"));
        assert_eq!(value(&prepared, "MUSTER_DRIVER"), Some("pi"));
        assert_eq!(value(&prepared, "MUSTER_MASTER"), Some("m:1,m:2"));
        assert_eq!(value(&prepared, "MUSTER_MARK"), Some(driver().to_string().as_str()));
        assert_eq!(value(&prepared, "MUSTER_SCRATCH_DIR"), None);
        assert!(prepared.work_dir.is_dir());
        assert!(prepared.stdout.parent().is_some_and(std::path::Path::is_dir));
        assert!(!format!("{prepared:?}").contains("secret-token"));
    }

    #[test]
    fn a_program_goes_on_in_the_trace_of_its_launch_unless_its_command_names_another() {
        let setting = Setting::new();
        let heard =
            |launch: &Launch| value(&setting.prepare(launch).expect("prepared"), "TRACEPARENT").map(str::to_owned);
        assert_eq!(heard(&launch(driver())), None);
        for attempt in [driver(), executor()] {
            let mut launch = Launch { trace: TraceContext::new(1, 2, true), ..launch(attempt) };
            assert_eq!(heard(&launch), launch.trace.map(|trace| trace.to_string()));
            let env = BTreeMap::from([("TRACEPARENT".into(), "its own".into())]);
            launch.command = Arc::new(Command { program: "run".into(), env, ..Command::default() });
            assert_eq!(heard(&launch).as_deref(), Some("its own"));
        }
    }

    #[test]
    fn variables_are_substituted_everywhere_and_the_workers_own_win() {
        let setting = Setting::new();
        let command = Command {
            program: "bin/{{APP_ID}}".into(),
            args: vec!["{{EXECUTOR_ID}}@{{HOSTNAME}}".into(), "{{LABEL_zone-a}}{{LABEL_ZONE_A}}".into()],
            env: BTreeMap::from([("X".into(), "{{JAVA_HOME}}/{{PROFILE_ID}}".into())]),
            secret_env: BTreeMap::from([("S".into(), Secret::new("{{CORES}}"))]),
            work_dir: None,
        };
        let mut launch = Launch { command: Arc::new(command), ..launch(executor()) };
        launch.variables.insert("HOSTNAME".into(), "pretended".into());
        let prepared = setting.prepare(&launch).expect("prepared");
        let work = setting.root.path().join("work").join(executor().to_string());
        assert_eq!(prepared.program, work.join("bin/pi").to_string_lossy());
        assert_eq!(prepared.args, ["7@host1", "northnorth"]);
        assert_eq!(value(&prepared, "X"), Some("/java/4"));
        assert_eq!(value(&prepared, "S"), Some("2"));
        assert_eq!(value(&prepared, "MUSTER_PROFILE_ID"), Some("4"));
    }

    #[test]
    fn an_account_that_the_owner_is_not_mapped_to_is_refused_for_good_and_leaves_nothing() {
        let setting = Setting::new();
        let asking = Launch { run_as: Some("root".into()), owner: Some("ann".into()), ..launch(driver()) };
        let outcome = setting.prepare(&asking).expect_err("refused").outcome();
        assert_eq!((outcome.fault, outcome.reason), (Fault::Program, Reason::Refused));
        assert_eq!(outcome.message, "this worker runs nothing of ann as root: its --run-as has its default for it");
        assert_eq!(fs::read_dir(setting.root.path().join("work")).expect("readable").count(), 0);
    }

    #[test]
    fn that_no_user_is_left_for_an_owner_is_told_apart_from_a_machine_that_fails() {
        let of = |error| PrepareError::NoAccount(NoAccount::NoUid(error)).outcome();
        let judged = |outcome: Outcome| (outcome.fault, outcome.reason);
        for refused in [NoOwnerUid::UsedUp("eve".into()), NoOwnerUid::Withdrawn("eve".into(), 70_000)] {
            assert_eq!(judged(of(refused)), (Fault::Platform, Reason::NoUser));
        }
        let full = NoOwnerUid::File("/state/owner-uids.json".into(), io::ErrorKind::StorageFull.into());
        assert_eq!(judged(of(full)), (Fault::Platform, Reason::Refused));
    }

    fn in_dir(work_dir: &str, attempt: AttemptKey) -> Launch {
        let command = Command { program: "run".into(), work_dir: Some(work_dir.into()), ..Command::default() };
        Launch { command: Arc::new(command), ..launch(attempt) }
    }

    #[test]
    fn variables_are_substituted_in_a_work_directory_that_is_named() {
        let setting = Setting::new();
        let own = |key: &str| setting.root.path().join("work").join(key);
        let scratch = own(&format!("scratch-{}", ApplicationUid(2)));
        let key = executor().to_string();
        let cases = [
            ("{{SCRATCH_DIR}}", scratch.clone()),
            ("{{SCRATCH_DIR}}/{{EXECUTOR_ID}}", scratch.join("7")),
            ("{{WORK_DIR}}/x", own(&key).join("x")),
            ("/data/{{LABEL_zone-a}}", "/data/north".into()),
            (r"/\{{CORES}}", "/{{CORES}}".into()),
        ];
        for (named, expected) in cases {
            let prepared = setting.prepare(&in_dir(named, executor())).expect(named);
            assert_eq!(prepared.work_dir, expected, "{named}");
            assert_eq!(value(&prepared, "MUSTER_WORK_DIR"), expected.to_str(), "{named}");
        }
    }

    #[test]
    fn a_work_directory_that_is_relative_or_not_there_is_the_submissions_fault() {
        let setting = Setting::new();
        let error = setting.prepare(&in_dir("{{LABEL_ZONE_A}}/x", driver())).expect_err("relative");
        let outcome = error.outcome();
        assert_eq!((outcome.reason, outcome.fault), (Reason::WorkDirFailed, Fault::Program));
        assert_eq!(outcome.message, "the work directory north/x is not an absolute path");
        let file = setting.root.path().join("file");
        fs::write(&file, "").expect("written");
        let nowhere = setting.root.path().join("nowhere");
        for path in [&file, &nowhere, &file.join("below")] {
            let launch = in_dir(path.to_str().expect("text"), driver());
            assert!(Preparer::needs_fetch(&launch));
            let prepared = setting.prepare(&launch).expect("prepared");
            let error = setting.preparer.fetch(&launch, &prepared, &AtomicBool::new(false)).expect_err("refused");
            let outcome = error.outcome();
            assert_eq!((outcome.reason, outcome.fault), (Reason::WorkDirFailed, Fault::Program), "{outcome:?}");
        }
        let there = in_dir(setting.root.path().to_str().expect("text"), driver());
        let prepared = setting.prepare(&there).expect("prepared");
        setting.preparer.fetch(&there, &prepared, &AtomicBool::new(false)).expect("it is there");
    }

    #[test]
    fn executors_of_one_application_share_a_private_scratch_directory() {
        use std::os::unix::fs::PermissionsExt;
        let setting = Setting::new();
        let first = setting.prepare(&launch(executor())).expect("prepared");
        let second = AttemptKey::Executor(ApplicationUid(2), ExecutorId(8));
        let second = setting.prepare(&launch(second)).expect("prepared");
        let scratch = value(&first, "MUSTER_SCRATCH_DIR").expect("told");
        assert_eq!(value(&second, "MUSTER_SCRATCH_DIR"), Some(scratch));
        assert_eq!(fs::metadata(scratch).expect("made").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn resources_are_written_in_the_form_that_spark_reads() {
        let setting = Setting::new();
        let mut launch = launch(executor());
        launch.resources.addresses.insert("gpu".into(), vec!["0".into(), "1".into()]);
        let prepared = setting.prepare(&launch).expect("prepared");
        let file = value(&prepared, "MUSTER_RESOURCES_FILE").expect("told");
        assert_eq!(
            fs::read_to_string(file).expect("written"),
            r#"[{"id":{"componentName":"spark.executor","resourceName":"gpu"},"addresses":["0","1"]}]"#
        );
    }

    #[test]
    fn what_cannot_run_ends_with_a_reason_and_leaves_nothing() {
        let setting = Setting::new();
        let command = Command { program: "{{NOPE}}".into(), ..Command::default() };
        let error = setting.prepare(&Launch { command: Arc::new(command), ..launch(driver()) }).expect_err("unknown");
        assert_eq!(error.outcome().reason, Reason::UnknownVariable);
        assert_eq!(error.outcome().message, "the variable {{NOPE}} is not known on this worker");
        assert_eq!(fs::read_dir(setting.root.path().join("work")).expect("readable").count(), 0);
    }

    #[test]
    fn a_work_directory_is_fresh_even_if_a_dead_agent_had_begun_it() {
        let setting = Setting::new();
        let prepared = setting.prepare(&launch(driver())).expect("prepared");
        fs::write(prepared.work_dir.join("half"), "fetched").expect("written");
        let prepared = setting.prepare(&launch(driver())).expect("prepared again");
        assert_eq!(fs::read_dir(&prepared.work_dir).expect("readable").count(), 0);
    }

    #[test]
    fn a_directory_that_cannot_be_made_ends_the_attempt() {
        let setting = Setting::new();
        fs::remove_dir(setting.root.path().join("work")).expect("removed");
        let error = setting.prepare(&launch(driver())).expect_err("no root");
        assert_eq!(error.outcome().reason, Reason::WorkDirFailed);
    }

    #[test]
    fn unusual_facts_are_kept_for_the_next_agent() {
        let setting = Setting::new();
        setting.prepare(&launch(driver())).expect("prepared");
        let facts = setting.preparer.layout.facts(&driver());
        assert_eq!(facts, crate::attempts::AgentFacts { leased: false, log_limit: 1 << 20 });
        assert_eq!(setting.preparer.layout.facts(&executor()), crate::attempts::AgentFacts::default());
    }

    #[test]
    fn an_artifact_that_fails_is_named() {
        let setting = Setting::new();
        let uri = "file:///nowhere/tool".to_owned();
        let artifact =
            Artifact { uri: ArtifactUri::new(uri), sha256: None, file_name: "tool".into(), executable: false };
        let launch = Launch { artifacts: Arc::new([artifact]), ..launch(driver()) };
        let prepared = setting.prepare(&launch).expect("prepared");
        let error = setting.preparer.fetch(&launch, &prepared, &AtomicBool::new(false)).expect_err("no such file");
        let outcome = error.outcome();
        assert_eq!((outcome.reason, outcome.fault), (Reason::ArtifactFailed, Fault::Program));
        assert!(outcome.message.starts_with("artifact file:///nowhere/tool: cannot read it: "), "{}", outcome.message);
    }
}
