//! Stages with outputs between them, on executors that are processes of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use muster_proto::v1::ListExecutorsRequest;
use muster_testenv::SmallDisk;
use muster_testkit::{Cluster, eventually, said};

const LONG: Duration = Duration::from_secs(60);
/// The tasks of the first stage, and what the scenarios sum up: 40 keys of 0 to 7.
const TASKS: usize = 8;
const SUM: &str = "1120";

/// The program of scenarios on this machine, beside the cluster.
fn command(cluster: &Cluster, arguments: &[&str]) -> Command {
    let program = cluster.binaries().example("task_scenarios");
    let mut command = Command::new(&program);
    command.args(arguments).env("MUSTER_MASTER", cluster.address()).env("SCENARIO_PROGRAM", program);
    command.envs(cluster.ca().map(|path| ("MUSTER_CA_FILE", path)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(mut command: Command) -> Child {
    command.spawn().expect("the program starts")
}

fn assert_result(output: &Output, expected: &str) {
    assert!(output.status.success(), "{}", said(output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("result: {expected}\n"), "{}", said(output));
}

/// An executor: its application and number.
type ExecutorName = (String, u32);

/// The marks that tasks have left, by what they say, with the executors that left them.
fn marks(folder: &Path, prefix: &str) -> Vec<(String, ExecutorName)> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mark = |name: std::ffi::OsString| {
        let (rest, executor) = name.to_str()?.rsplit_once('.')?;
        let (said, application) = rest.rsplit_once('.')?;
        Some((said.strip_prefix(prefix)?.to_owned(), (application.to_owned(), executor.parse().ok()?)))
    };
    names.filter_map(mark).collect()
}

/// How often each task of the first stage has run.
fn runs(folder: &Path) -> BTreeMap<String, usize> {
    let mut runs = BTreeMap::new();
    for (said, _) in marks(folder, "made-") {
        let task = said.split('-').next().expect("a number").to_owned();
        *runs.entry(task).or_insert(0) += 1;
    }
    runs
}

/// The tasks of the first stage that an executor has run.
fn made_by(folder: &Path, executor: &ExecutorName) -> BTreeSet<String> {
    let made = marks(folder, "made-").into_iter().filter(|(_, by)| by == executor);
    made.filter_map(|(said, _)| said.split('-').next().map(str::to_owned)).collect()
}

async fn kill_executor(cluster: &Cluster, (application, number): &ExecutorName) {
    let request = ListExecutorsRequest { application_id: application.clone(), ..Default::default() };
    let known = cluster.client().list_executors(request).await.expect("executors are listed").into_inner().executors;
    let executor = known.iter().find(|executor| executor.executor_id == *number).expect("it is known");
    let pid = i32::try_from(executor.pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}

fn folder(cluster: &Cluster) -> (PathBuf, String) {
    let folder = cluster.dir().join("scenario");
    std::fs::create_dir(&folder).expect("a folder can be made");
    let text = folder.to_str().expect("a plain path").to_owned();
    (folder, text)
}

async fn until_there(path: PathBuf) {
    let there = async || path.exists().then_some(());
    eventually("a file is there", LONG, there).await;
}

/// The files of outputs below a folder.
fn output_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(output_files(&path));
        } else if entry.file_name().to_string_lossy().starts_with("stage-") {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn outputs_are_read_by_the_next_stage_on_other_executors() {
    let cluster = Cluster::two_workers();
    let (folder, path) = folder(&cluster);
    assert_result(&start(command(&cluster, &["stages", &path])).wait_with_output().expect("it ends"), SUM);
    assert_eq!(runs(&folder).values().copied().collect::<Vec<_>>(), [1; TASKS]);
    let executors: BTreeSet<_> = marks(&folder, "made-").into_iter().map(|(_, executor)| executor).collect();
    assert_eq!(executors.len(), 2, "both executors keep outputs");
}

#[tokio::test]
async fn what_a_killed_executor_kept_is_made_again_and_nothing_else() {
    let cluster = Cluster::two_workers();
    let (folder, path) = folder(&cluster);
    let driver = start(command(&cluster, &["stages-again", &path]));
    until_there(folder.join("first")).await;
    let (_, killed) = marks(&folder, "made-").pop().expect("one has run");
    let lost = made_by(&folder, &killed);
    assert!(!lost.is_empty() && lost.len() < TASKS, "each executor keeps some: {lost:?}");
    kill_executor(&cluster, &killed).await;
    std::fs::write(folder.join("go"), "").expect("a file can be written");
    assert_result(&driver.wait_with_output().expect("it ends"), &format!("{SUM} {SUM}"));
    for (task, runs) in runs(&folder) {
        assert_eq!(runs, if lost.contains(&task) { 2 } else { 1 }, "task {task}; lost: {lost:?}");
    }
}

#[tokio::test]
async fn an_executor_may_be_killed_while_its_outputs_are_fetched() {
    let cluster = Cluster::two_workers();
    let (folder, path) = folder(&cluster);
    let driver = start(command(&cluster, &["stages-held", &path]));
    let reading = async || Some(marks(&folder, "reads-")).filter(|found| found.len() >= 2);
    let readers = eventually("tasks of both executors read", LONG, reading).await;
    let killed = readers[0].1.clone();
    let lost = made_by(&folder, &killed);
    kill_executor(&cluster, &killed).await;
    std::fs::write(folder.join("go"), "").expect("a file can be written");
    assert_result(&driver.wait_with_output().expect("it ends"), SUM);
    for (task, runs) in runs(&folder) {
        assert_eq!(runs, if lost.contains(&task) { 2 } else { 1 }, "task {task}; lost: {lost:?}");
    }
}

#[tokio::test]
async fn an_output_whose_checksum_is_wrong_is_made_again() {
    let cluster = Cluster::two_workers();
    let (folder, path) = folder(&cluster);
    let mut command = command(&cluster, &["stages-again", &path]);
    command.env("SCENARIO_OUTPUT_MEMORY", "0");
    let driver = start(command);
    until_there(folder.join("first")).await;
    let files = output_files(cluster.dir());
    let file = files.iter().find(|file| std::fs::metadata(file).is_ok_and(|file| file.len() > 1000));
    let file = file.unwrap_or_else(|| panic!("outputs are in files: {files:?}"));
    let mut bytes = std::fs::read(file).expect("it can be read");
    bytes[500] ^= 1;
    std::fs::write(file, bytes).expect("it can be written");
    std::fs::write(folder.join("go"), "").expect("a file can be written");
    assert_result(&driver.wait_with_output().expect("it ends"), &format!("{SUM} {SUM}"));
    let again: Vec<usize> = runs(&folder).into_values().filter(|runs| *runs > 1).collect();
    assert_eq!(again, [2], "one output was wrong");
}

#[tokio::test]
async fn a_stage_whose_fetches_fail_four_times_fails_with_the_last_cause() {
    let cluster = Cluster::two_workers();
    let (_, path) = folder(&cluster);
    let mut command = command(&cluster, &["stages-lost", &path]);
    command.env("SCENARIO_OUTPUT_MEMORY", "0");
    let failed = start(command).wait_with_output().expect("it ends");
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot be read: failed to fill whole buffer"), "{text}");
    assert!(text.contains("(collect) failed in stage"), "{text}");
}

#[tokio::test]
async fn a_full_scratch_disk_fails_the_job_and_names_it() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let cluster = Cluster::two_workers();
    let (_, path) = folder(&cluster);
    // Driver and executor in one process keep their outputs where temporary files are.
    let run = |memory: &str| {
        let mut command = command(&cluster, &["stages", &path]);
        command.env("MUSTER_MASTER", "local[2]").env("TMPDIR", disk.path()).env("SCENARIO_OUTPUT_MEMORY", memory);
        start(command).wait_with_output().expect("it ends")
    };
    let failed = run("0");
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    assert!(text.contains("its output cannot be kept in") && text.contains("No space left on device"), "{text}");
    assert_result(&run("100000000"), SUM);
}
