//! Tasks on executors that are processes of their own: their ends, the driver's, and the master's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use muster_proto::v1::{Application, Executor, ListApplicationsRequest, ListExecutorsRequest, application, driver};
use muster_testkit::{Cluster, eventually, said};

const LONG: Duration = Duration::from_secs(60);

fn program(cluster: &Cluster) -> PathBuf {
    cluster.binaries().example("task_scenarios")
}

/// A program on this machine, beside the cluster: client mode.
fn command(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(cluster));
    command.args(arguments).env("MUSTER_MASTER", cluster.address());
    command.env("SCENARIO_PROGRAM", program(cluster));
    command.envs(cluster.ca().map(|path| ("MUSTER_CA_FILE", path)));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    command(cluster, arguments).output().expect("the program runs")
}

fn start(cluster: &Cluster, arguments: &[&str]) -> Child {
    command(cluster, arguments).spawn().expect("the program starts")
}

fn assert_result(output: &Output, expected: &str) {
    assert!(output.status.success(), "{}", said(output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("result: {expected}\n"), "{}", said(output));
}

/// The executors in which tasks have begun: application and number.
fn marks(folder: &Path) -> BTreeSet<(String, u32)> {
    let names = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let executor = |name: std::ffi::OsString| {
        let (rest, executor) = name.to_str()?.rsplit_once('.')?;
        Some((rest.rsplit_once('.')?.1.to_owned(), executor.parse().ok()?))
    };
    names.filter_map(executor).collect()
}

async fn running_on(folder: &Path, executors: usize) -> BTreeSet<(String, u32)> {
    let all = async || Some(marks(folder)).filter(|found| found.len() >= executors);
    eventually("tasks run on all executors", LONG, all).await
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}

async fn executors(cluster: &Cluster, application: &str) -> Vec<Executor> {
    let request = ListExecutorsRequest { application_id: application.to_owned(), ..Default::default() };
    cluster.client().list_executors(request).await.expect("executors are listed").into_inner().executors
}

/// `kill -9` of an executor, by the process id that its worker tells.
async fn kill_executor(cluster: &Cluster, (application, number): &(String, u32)) {
    let known = executors(cluster, application).await;
    let executor = known.iter().find(|executor| executor.executor_id == *number).expect("it is known");
    kill(executor.pid);
}

/// A folder for a scenario, and its path.
fn folder(cluster: &Cluster, name: &str) -> (PathBuf, String) {
    let folder = cluster.dir().join(name);
    std::fs::create_dir(&folder).expect("a folder can be made");
    let text = folder.to_str().expect("a plain path").to_owned();
    (folder, text)
}

async fn applications(cluster: &Cluster) -> Vec<Application> {
    let listed = cluster.client().list_applications(ListApplicationsRequest::default()).await;
    listed.expect("applications are listed").into_inner().applications
}

#[tokio::test]
async fn a_program_runs_its_functions_beside_the_cluster_and_in_it() {
    let cluster = Cluster::two_workers();
    // Once the executors fetch the program from the driver.
    let shipped = command(&cluster, &["square", "1000"]).env_remove("SCENARIO_PROGRAM").output();
    assert_result(&shipped.expect("the program runs"), "332833500");
    assert_result(&run(&cluster, &["submit", "200"]), "2646700");
    assert_result(&run(&cluster, &["broadcast", "100000"]), "99999000000 20");
    assert_result(&run(&cluster, &["large", "3000000"]), "18000000");
    let program = program(&cluster);
    let program = program.to_str().expect("a plain path");
    let out = cluster.muster_ok(&["submit", "--id", "inside", "--wait", "--", program, "square", "1000"]);
    assert!(out.contains("result: 332833500"), "{out}");
    for application in applications(&cluster).await {
        assert_eq!(application.state(), application::State::Finished, "{application:?}");
    }
    // Nothing was lost or killed: all executors have ended by themselves.
    let listed = cluster.muster_ok(&["list", "executors"]);
    let states: Vec<_> = listed.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert!(states.len() >= 10 && states.iter().all(|state| *state == "EXITED"), "{listed}");
}

#[tokio::test]
async fn an_executor_that_is_killed_costs_its_tasks_another_try_and_nothing_else() {
    let cluster = Cluster::two_workers();
    let (folder, path) = folder(&cluster, "released");
    let driver = start(&cluster, &["released", &path]);
    let running = running_on(&folder, 2).await;
    kill_executor(&cluster, running.first().expect("one runs")).await;
    running_on(&folder, 3).await;
    std::fs::write(folder.join("go"), "").expect("a file can be written");
    assert_result(&driver.wait_with_output().expect("it ends"), "6");
}

#[tokio::test]
async fn all_executors_may_be_lost() {
    let cluster = Cluster::two_workers();
    let (folder, path) = folder(&cluster, "released");
    let driver = start(&cluster, &["released", &path]);
    for executor in running_on(&folder, 2).await {
        kill_executor(&cluster, &executor).await;
    }
    running_on(&folder, 4).await;
    std::fs::write(folder.join("go"), "").expect("a file can be written");
    assert_result(&driver.wait_with_output().expect("it ends"), "6");
}

#[tokio::test]
async fn tasks_do_not_notice_that_the_master_fails_over() {
    let mut cluster = Cluster::two_workers();
    let (folder, path) = folder(&cluster, "released");
    let driver = start(&cluster, &["released", &path]);
    running_on(&folder, 2).await;
    cluster.kill_master();
    cluster.start_master();
    std::fs::write(folder.join("go"), "").expect("a file can be written");
    assert_result(&driver.wait_with_output().expect("it ends"), "6");
    assert_eq!(marks(&folder).len(), 2, "no executor was lost");
}

#[tokio::test]
async fn a_job_that_fails_names_all_of_it_with_the_executors_last_words() {
    let cluster = Cluster::two_workers();
    let failed = run(&cluster, &["fail", "1"]);
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    let parts =
        ["job 1 (task_scenarios::fail) failed in stage 1: task 0, attempt 4, on executor", "0 is a number that fails"];
    for part in [&parts[..], &["last words:\nthese are the last words"]].concat() {
        assert!(text.contains(part), "{part}: {text}");
    }
    let panicked = said(&run(&cluster, &["panic", "5"]));
    assert!(
        panicked.contains("task 3, attempt 4") && panicked.contains("it panicked: three is too many"),
        "{panicked}"
    );
    let none = said(&run(&cluster, &["none"]));
    assert!(none.contains("error: the job was refused: stage 1 has no tasks"), "{none}");
    for application in applications(&cluster).await {
        assert_eq!(application.state(), application::State::Failed, "{application:?}");
        assert!(!application.message.is_empty(), "it says what failed");
    }
}

#[tokio::test]
async fn a_task_that_ends_its_executor_fails_by_the_masters_word_on_the_exit_code() {
    let cluster = Cluster::two_workers();
    let failed = run(&cluster, &["exit", "3"]);
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    assert!(text.contains("its executor is lost: its process ended with 42"), "{text}");
    assert!(text.contains("attempt 4") && text.contains("this executor ends itself"), "{text}");
}

#[tokio::test]
async fn an_executor_whose_task_does_not_end_when_it_is_killed_is_replaced() {
    let cluster = Cluster::two_workers();
    let (_, path) = folder(&cluster, "hang");
    assert_result(&run(&cluster, &["hang", &path]), "16");
}

#[tokio::test]
async fn a_cancelled_job_leaves_its_executors_to_others() {
    let cluster = Cluster::two_workers();
    let (_, path) = folder(&cluster, "cancel");
    let output = run(&cluster, &["cancel", &path]);
    assert!(said(&output).contains("it was cancelled: enough; 16"), "{}", said(&output));
}

#[tokio::test]
async fn a_driver_that_is_run_again_registers_anew_and_its_old_application_ends() {
    let cluster = Cluster::two_workers();
    let (folder, path) = folder(&cluster, "released");
    let program = program(&cluster);
    let program = program.to_str().expect("a plain path");
    let variable = format!("SCENARIO_PROGRAM={program}");
    let restart =
        ["submit", "--id", "again", "--restart", "on-failure", "--env", &variable, "--", program, "released", &path];
    cluster.muster_ok(&restart);
    let before = running_on(&folder, 2).await;
    let shown = cluster.driver("again").await.expect("it is there");
    kill(shown.attempts.last().expect("it runs").pid);
    running_on(&folder, 4).await;
    let ended = async || {
        let all = applications(&cluster).await;
        let over = all.iter().filter(|found| found.end_time.is_some()).count();
        (all.len() == 2 && over == 1).then_some(())
    };
    eventually("the old application has ended", LONG, ended).await;
    for (application, _) in before {
        assert!(executors(&cluster, &application).await.iter().all(|executor| executor.end_time.is_some()));
    }
    std::fs::write(folder.join("go"), "").expect("a file can be written");
    cluster.wait_for_state("again", driver::State::Finished).await;
    let out = cluster.muster_ok(&["logs", "again"]);
    assert!(out.contains("result: 6"), "{out}");
}
