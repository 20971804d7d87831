//! As whom programs run, and what they can reach of their worker. Workers of root need root.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use muster_proto::v1::driver::State;
use muster_proto::v1::{Artifact, LogStream};
use muster_testenv::{SmallDisk, lacks};
use muster_testkit::{AccessFile, Cluster, Daemon, Options, Submit, WorkerOptions, eventually};

/// The user and group that `nobody` has everywhere.
const NOBODY: u32 = 65_534;

/// A worker of root in a folder that its programs can pass.
fn cluster(run_as: Option<&str>, args: &[&str]) -> Option<Cluster> {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return None;
    }
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let worker = WorkerOptions { args, run_as: run_as.map(str::to_owned), ..Options::default().worker };
    let mut cluster = Cluster::start(Options { workers: 0, worker, ..Options::default() });
    set_mode(cluster.dir(), 0o711);
    cluster.start_worker("w1");
    Some(cluster)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
}

fn owner_and_mode(path: &Path) -> (u32, u32) {
    let found = std::fs::symlink_metadata(path).expect("it is there");
    (found.uid(), found.mode() & 0o7777)
}

/// The names of the directories of attempts.
fn attempts_of(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).expect("readable").flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Runs a script to its end and returns its output.
async fn output(cluster: &Cluster, script: &str) -> String {
    let id = cluster.submit(Submit::shell(script)).await;
    cluster.wait_for_end(&id).await;
    cluster.log(&id, 0, LogStream::Stdout).await
}

#[tokio::test]
async fn a_worker_of_root_runs_nothing_as_root_unless_that_is_said() {
    let Some(cluster) = cluster(None, &[]) else { return };
    let state = cluster.worker_state("w1");
    let script = format!(
        "id -u; id -G; pwd; ls {state}; ls {state}/logs; cat {state}/identity; ls {state}.work",
        state = state.display()
    );
    let said = output(&cluster, &script).await;
    let lines: Vec<_> = said.lines().collect();
    let [user, groups, work] = lines[..] else { panic!("more than its own: {said}") };
    assert_ne!(user, "0");
    assert!(groups.split(' ').all(|group| group != "0"), "{said}");
    let places = state.with_extension("work");
    let attempt = Path::new(work);
    assert_eq!(attempt.parent(), Some(places.as_path()));
    assert_eq!(owner_and_mode(attempt), (user.parse().expect("a number"), 0o700));
    assert_eq!((owner_and_mode(&places), owner_and_mode(&state)), ((0, 0o711), (0, 0o700)));
    let held = cluster.worker("w1").await.expect("it is there").capabilities.expect("a worker tells");
    assert!(held.own_users && held.protected_runner, "{held:?}");
}

#[tokio::test]
async fn root_is_named() {
    let Some(cluster) = cluster(Some("root"), &[]) else { return };
    assert_eq!(output(&cluster, "id -u").await, "0\n");
    let held = cluster.worker("w1").await.expect("it is there").capabilities.expect("a worker tells");
    assert!(!held.protected_runner, "{held:?}");
}

#[tokio::test]
async fn a_program_runs_as_the_account_and_names_no_file_beyond_its_rights() {
    let Some(cluster) = cluster(Some("nobody"), &[]) else { return };
    let script = "id -un; echo $USER $LOGNAME $HOME; umask; touch mine && echo made; cat /etc/shadow";
    assert_eq!(output(&cluster, script).await, "nobody\nnobody nobody /nonexistent\n0027\nmade\n");

    let open = cluster.dir().join("open");
    std::fs::write(&open, "for everybody").expect("written");
    let fetched = |uri: String| {
        let mut submit = Submit::shell("cat *");
        submit.spec().artifacts = vec![Artifact { uri, ..Artifact::default() }];
        submit
    };
    let good = cluster.submit(fetched(format!("file://{}", open.display()))).await;
    assert_eq!(cluster.wait_for_end(&good).await.state(), State::Finished);
    assert_eq!(cluster.log(&good, 0, LogStream::Stdout).await, "for everybody");
    let shadow = cluster.submit(fetched("file:///etc/shadow".into())).await;
    let outcome = cluster.wait_for_end(&shadow).await.outcome.expect("it has ended");
    assert_eq!(outcome.reason, "ARTIFACT_FAILED", "{outcome:?}");
}

/// What programs leave in their directories leads nowhere: not a reader of logs, and not who cleans
/// up.
#[tokio::test]
async fn links_in_a_work_directory_are_not_followed_when_it_is_removed() {
    let args = ["--cleanup-interval", "100ms", "--cleanup-age", "1s", "--log-keep", "1h"];
    let Some(cluster) = cluster(Some("nobody"), &args) else { return };
    let kept = cluster.dir().join("kept");
    std::fs::create_dir(&kept).expect("made");
    for name in ["secret", "other"] {
        std::fs::write(kept.join(name), "of root").expect("written");
    }
    let script = format!(
        "mkdir -p a/b; ln -s {kept} a/b/directory; ln -s {kept}/secret a/file; ln -s {kept} directory; mkfifo pipe; \
         chmod 000 a/b; here=$PWD; cd /; mv $here $here.moved; ln -s {kept} $here; rm -rf $here; ln -s / $here; \
         echo $here",
        kept = kept.display()
    );
    let work = output(&cluster, &script).await;
    let work = Path::new(work.trim()).to_owned();
    assert_eq!(work.parent(), Some(cluster.worker_state("w1").with_extension("work").as_path()));
    eventually("the directory is removed", Duration::from_secs(60), async || {
        std::fs::symlink_metadata(&work).is_err().then_some(())
    })
    .await;
    assert_eq!(std::fs::read_dir(&kept).expect("readable").count(), 2);
    assert_eq!(owner_and_mode(&kept.join("secret")).0, 0);
}

/// A program has its output open, and nothing else of it.
#[tokio::test]
async fn a_program_neither_removes_nor_replaces_its_log_and_reads_no_others() {
    let Some(cluster) = cluster(Some("nobody"), &[]) else { return };
    let logs = cluster.worker_state("w1").join("logs");
    let first = cluster.submit(Submit::shell("echo first")).await;
    cluster.wait_for_end(&first).await;
    let script = format!(
        "echo one; echo two >> /dev/stdout; log=$(readlink /proc/$$/fd/1); \
         for log in $log {logs}/{first}/stdout; do rm -f $log; mv $log gone; ln -sf /etc/passwd $log; \
         ln $log name; cat $log; done; ls {logs}; echo end",
        logs = logs.display(),
        first = attempts_of(&logs).first().expect("the first one's"),
    );
    assert_eq!(output(&cluster, &script).await, "one\ntwo\nend\n");
    assert_eq!(cluster.log(&first, 0, LogStream::Stdout).await, "first\n");
}

/// The command line of a user.
fn muster_command(cluster: &Cluster, token: &str, args: &[&str]) -> Command {
    let mut command = Command::new(cluster.binaries().path("muster"));
    command.env("MUSTER_MASTER", cluster.address()).env("MUSTER_TOKEN", token).env("XDG_CONFIG_HOME", cluster.dir());
    command.envs(cluster.ca().map(|path| ("MUSTER_CA_FILE", path))).env("NO_COLOR", "1").args(args);
    command
}

/// What the command line says to a user, who is refused nothing.
fn said_to(cluster: &Cluster, token: &str, args: &[&str]) -> String {
    let output = muster_command(cluster, token, args).output().expect("muster runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a script by the command line of a user, and returns what it printed on both outputs and
/// whether it ended well.
fn muster_of(cluster: &Cluster, token: &str, args: &[&str], script: &str) -> (String, String, bool) {
    let args = [&["submit", "--wait"], args, &["--", "/bin/sh", "-c", script]].concat();
    let output = muster_command(cluster, token, &args).output().expect("muster runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr), output.status.success())
}

#[tokio::test]
async fn owners_run_as_the_accounts_that_they_are_mapped_to_and_as_no_other() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let access = AccessFile::new();
    let (ann, bob) = (access.token("ann", "submitter"), access.token("bob", "submitter"));
    let args = vec!["--run-as".to_owned(), "ann=70001,70002".to_owned()];
    let worker = WorkerOptions { args, run_as: Some("nobody".to_owned()), ..Options::default().worker };
    let mut cluster = Cluster::start(access.asked_for(Options { workers: 0, worker, ..Options::default() }));
    set_mode(cluster.dir(), 0o711);
    cluster.start_worker("w1");

    let (first, _, _) = muster_of(&cluster, &ann, &[], "id -u; id -G; echo $HOME; pwd; echo mine > file");
    let lines: Vec<_> = first.lines().collect();
    let ["70001", "70001", "/", work] = lines[..] else { panic!("{first}") };
    let read = format!("id -u; cat {work}/file; ls {work}; true");
    let (second, _, _) = muster_of(&cluster, &ann, &["--run-as", "70002"], &read);
    assert_eq!(second, "70002\n", "another account, though of the same owner");
    assert_eq!(muster_of(&cluster, &bob, &[], &read).0, "65534\n", "who is not mapped runs as the default");

    // The submission is wrong: it is not tried again, whatever its policy.
    for (token, wanted, said) in [
        (&ann, "root", "runs nothing of ann as root: its --run-as has 70001, 70002"),
        (&bob, "70001", "runs nothing of bob as 70001: its --run-as has nobody"),
    ] {
        for policy in ["never", "always"] {
            let (output, errors, is_success) =
                muster_of(&cluster, token, &["--run-as", wanted, "--restart", policy], "id -u");
            assert!(!is_success && output.is_empty() && errors.contains(said), "{output} {errors}");
        }
    }
}

/// A cluster of owners with users of their own, its access file, which further workers need, and
/// the tokens of three owners. There are numbers for two.
fn cluster_of_owners(args: &[&str]) -> Option<(Cluster, AccessFile, [String; 3])> {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return None;
    }
    let access = AccessFile::new();
    let tokens = ["ann", "bob", "eve"].map(|name| access.token(name, "submitter"));
    let args = [&["--owner-uids", "80000:2"], args].concat().into_iter().map(str::to_owned).collect();
    let worker = WorkerOptions { args, run_as: None, ..Options::default().worker };
    let mut cluster = Cluster::start(access.asked_for(Options { workers: 0, worker, ..Options::default() }));
    set_mode(cluster.dir(), 0o711);
    cluster.start_worker("w1");
    Some((cluster, access, tokens))
}

/// Two owners on one worker, of whom one tries to reach the other by all that it knows.
#[tokio::test]
async fn owners_on_one_worker_reach_nothing_of_each_other() {
    let Some((cluster, _access, [ann, bob, eve])) = cluster_of_owners(&["--require-containment", "users"]) else {
        return;
    };
    let shown = said_to(&cluster, &ann, &["get", "worker", "w1"]);
    assert!(shown.contains("a user for each owner") && !shown.contains("can reach the worker"), "{shown}");

    let id = "ann-waits";
    let script = "echo secret > file; chmod 666 file; id -u; echo $$; pwd; exec sleep 10000";
    said_to(&cluster, &ann, &["submit", "--id", id, "--", "/bin/sh", "-c", script]);
    let said = eventually("it tells", Duration::from_secs(60), async || {
        Some(said_to(&cluster, &ann, &["logs", id])).filter(|said| said.lines().count() == 3)
    })
    .await;
    let lines: Vec<_> = said.lines().collect();
    let ["80000", pid, work] = lines[..] else { panic!("{said}") };
    let reach = format!(
        "id -u; cat {work}/file; ls {work}; echo bad > {work}/file; cat /proc/{pid}/environ /proc/{pid}/cmdline; \
         kill -0 {pid} && echo sees; kill -9 {pid} && echo kills; kill -9 -1; \
         python3 -c 'import ctypes; print(ctypes.CDLL(None).ptrace(16, {pid}, 0, 0))'; \
         cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep ^MUSTER_TOKEN= | sort -u | wc -l"
    );
    // The last is its own token.
    assert_eq!(muster_of(&cluster, &bob, &[], &reach).0, "80001\n-1\n1\n");
    assert!(said_to(&cluster, &ann, &["get", "driver", id]).contains("RUNNING"));
    assert_eq!(std::fs::read_to_string(Path::new(work).join("file")).expect("readable"), "secret\n");

    // Nobody gets the number of another, and who gets none is not to blame.
    said_to(&cluster, &eve, &["submit", "--id", "eve-waits", "--", "/usr/bin/id"]);
    eventually("it is refused", Duration::from_secs(60), async || {
        let shown = said_to(&cluster, &eve, &["get", "driver", "eve-waits", "-o", "json"]);
        (shown.contains("no user left for eve") && shown.contains("PLATFORM")).then_some(())
    })
    .await;
    assert_eq!(muster_of(&cluster, &ann, &[], "id -u").0, "80000\n", "an owner keeps its number");
}

/// A worker that has no user left for an owner takes none of its work, and another does: no refusal
/// counts, however often an owner is refused.
#[tokio::test]
async fn an_owner_without_a_user_on_one_worker_runs_on_another() {
    let Some((mut cluster, _access, [ann, bob, eve])) = cluster_of_owners(&[]) else { return };
    for owner in [&ann, &bob] {
        muster_of(&cluster, owner, &[], "id -u");
    }
    said_to(&cluster, &eve, &["submit", "--id", "eve-runs", "--", "/usr/bin/id", "-u"]);
    eventually("it waits for another worker", Duration::from_secs(60), async || {
        let shown = said_to(&cluster, &eve, &["get", "driver", "eve-runs", "-o", "json"]);
        (shown.contains("PENDING") && shown.contains("has no user left for its owner")).then_some(())
    })
    .await;
    // Its refusal says nothing of the worker: others' work goes there.
    assert_eq!(muster_of(&cluster, &bob, &[], "id -u").0, "80001\n");
    cluster.start_worker("w2");
    let ended = eventually("it ends", Duration::from_secs(60), async || {
        let shown = said_to(&cluster, &eve, &["get", "driver", "eve-runs", "-o", "json"]);
        shown.contains("FINISHED").then_some(shown)
    })
    .await;
    let driver: serde_json::Value = serde_json::from_str(&ended).unwrap();
    let tried: Vec<_> = driver["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["worker"]).collect();
    assert_eq!(tried, ["w1", "w2"], "{ended}");
    assert_eq!(said_to(&cluster, &eve, &["logs", "eve-runs"]), "80000\n");
}

/// A worker of root whose directories lie where programs' own `/tmp` does not hide them. Its runner
/// ends with it.
struct WorkerOutsideTmp {
    state: std::path::PathBuf,
    cluster: Cluster,
    /// `None` while it is dropped: an agent would replace the runner that is stopped.
    agent: Option<Daemon>,
    _folder: tempfile::TempDir,
}

impl WorkerOutsideTmp {
    async fn start(run_as: &str) -> Option<WorkerOutsideTmp> {
        if lacks("root", rustix::process::geteuid().is_root()) {
            return None;
        }
        let cluster = Cluster::start(Options { workers: 0, ..Options::default() });
        let folder = tempfile::tempdir_in("/run").expect("root writes there");
        set_mode(folder.path(), 0o711);
        let state = folder.path().join("state");
        let mut command = Command::new(cluster.binaries().path("muster-worker"));
        command.args(["--master", cluster.address(), "--name", "w1", "--listen", "127.0.0.1:0", "--cores", "2"]);
        command.args(["--memory", "1GiB", "--run-as", run_as]).arg("--state-dir").arg(&state);
        // What a test of TLS gives lies in `/tmp`, where programs look for it.
        let daemon = Daemon::start(command, &cluster.dir().join("w1.log"));
        cluster.wait_for_worker("w1", "its registration", |worker| worker.capabilities.is_some()).await;
        Some(WorkerOutsideTmp { state, cluster, agent: Some(daemon), _folder: folder })
    }
}

impl Drop for WorkerOutsideTmp {
    fn drop(&mut self) {
        drop(self.agent.take());
        let mut stop = Command::new(self.cluster.binaries().path("muster-worker"));
        let _ = stop.arg("stop").arg("--state-dir").arg(&self.state).output();
    }
}

#[tokio::test]
async fn temporary_files_are_the_attempts_own_by_tmpdir_and_the_users_in_tmp() {
    let Some(worker) = WorkerOutsideTmp::start("nobody").await else { return };
    let cluster = &worker.cluster;
    let held = cluster.worker("w1").await.expect("it is there").capabilities.expect("a worker tells");
    if lacks("mount", held.private_tmp) {
        return;
    }
    let of_machine = tempfile::NamedTempFile::with_prefix("muster-machine-").expect("made");
    let name = of_machine.path().file_name().and_then(|name| name.to_str()).expect("a text");
    let script =
        format!("ls /tmp/{name} 2>&1 | grep -c 'No such'; echo kept > /tmp/{name}; cat /tmp/{name}; mktemp; pwd");
    let said = output(cluster, &script).await;
    let lines: Vec<_> = said.lines().collect();
    let ["1", "kept", temporary, work] = lines[..] else { panic!("{said}") };
    assert_eq!(Path::new(temporary).parent(), Some(Path::new(work)), "of the attempt alone");
    assert_eq!(std::fs::read_to_string(of_machine.path()).expect("readable"), "");

    let named = |place: &str| {
        let mut submit = Submit::shell("pwd");
        submit.spec().command.get_or_insert_default().work_dir = place.to_owned();
        submit
    };
    let id = cluster.submit(named("/tmp/there")).await;
    let outcome = cluster.wait_for_end(&id).await.outcome.expect("it has ended");
    assert_eq!(outcome.reason, "WORK_DIR_FAILED", "{outcome:?}");
    assert!(outcome.message.contains("lies in /tmp, of which each user has its own"), "{outcome:?}");
    let id = cluster.submit(named("/usr")).await;
    cluster.wait_for_end(&id).await;
    assert_eq!(cluster.log(&id, 0, LogStream::Stdout).await, "/usr\n");
}

/// A worker whose directories lie in `/tmp` leaves it to its programs as it is.
#[tokio::test]
async fn directories_in_tmp_stay_where_programs_find_them() {
    let Some(cluster) = cluster(Some("nobody"), &[]) else { return };
    let held = cluster.worker("w1").await.expect("it is there").capabilities.expect("a worker tells");
    assert!(!held.private_tmp, "{held:?}");
    let said = output(&cluster, "pwd; echo $TMPDIR").await;
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "{said}");
}

/// What one program takes, of memory and of the disk of logs, it takes from itself alone.
#[tokio::test]
async fn a_program_that_takes_all_memory_or_writes_without_end_harms_itself_alone() {
    let Some(disk) = SmallDisk::mount(192 << 10) else { return };
    let logs = disk.path().join("logs");
    let args = ["--log-dir", logs.to_str().expect("a text")];
    let Some(cluster) = cluster(Some("nobody"), &args) else { return };
    let waits = cluster.submit(Submit::shell("echo before; while [ ! -e go ]; do sleep 0.1; done; echo after")).await;
    let work = cluster.worker_state("w1").with_extension("work");
    cluster.wait_for_state(&waits, State::Running).await;
    let place = work.join(attempts_of(&work).first().expect("its directory"));

    let bomb = Submit::shell("head -c 300M /dev/zero | tail").resources(1, 32 << 20);
    let held = cluster.worker("w1").await.expect("it is there").capabilities.expect("a worker tells");
    if !lacks("memory-limits", held.memory_limit) {
        let bomb = cluster.submit(bomb).await;
        assert_eq!(cluster.wait_for_end(&bomb).await.outcome.expect("it has ended").reason, "OUT_OF_MEMORY");
    }

    // It writes more than the disk holds; a machine that cannot bound its log ends it for that.
    let mut flood = Submit::shell("for n in $(seq 100); do head -c 4M /dev/zero; sleep 0.05; done");
    flood.spec().log_limit_bytes = 1 << 20;
    let flood = cluster.submit(flood).await;
    cluster.wait_for_end(&flood).await;
    assert_eq!(output(&cluster, "echo there is room").await, "there is room\n");
    std::fs::write(place.join("go"), "").expect("written");
    assert_eq!(cluster.wait_for_end(&waits).await.state(), State::Finished);
    assert_eq!(cluster.log(&waits, 0, LogStream::Stdout).await, "before\nafter\n");
}

/// Without root all works, and the worker says what it cannot promise.
#[tokio::test]
async fn a_worker_of_an_ordinary_user_runs_programs_as_itself_and_says_so() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let cluster = Cluster::start(Options { workers: 0, ..Options::default() });
    set_mode(cluster.dir(), 0o711);
    let home = cluster.dir().join("home");
    std::fs::create_dir(&home).expect("made");
    chown(&home, Some(NOBODY), Some(NOBODY)).expect("given");
    let as_nobody = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(cluster.binaries().path("muster-worker"));
        command
    };
    let mut command = as_nobody();
    command.args(["--master", cluster.address(), "--name", "w1", "--listen", "127.0.0.1:0", "--cores", "2"]);
    command.args(["--memory", "1GiB"]).arg("--state-dir").arg(home.join("state"));
    command.args(cluster.ca().iter().flat_map(|ca| ["--ca".into(), ca.clone().into_os_string()]));
    let worker = Daemon::start(command, &cluster.dir().join("w1.log"));
    let shown = cluster.wait_for_worker("w1", "its registration", |worker| worker.capabilities.is_some()).await;
    let held = shown.capabilities.expect("it tells");
    assert!(!held.own_users && !held.protected_runner, "{held:?}");
    let work = home.join("state/work");
    let said = output(&cluster, "id -u; pwd; echo made > mine; cat mine").await;
    assert!(said.starts_with(&format!("65534\n{}/", work.display())) && said.ends_with("\nmade\n"), "{said}");

    let refused = as_nobody().args(["--master", "127.0.0.1:1", "--run-as", "root"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("a worker that is not root"), "{said}");
    drop(worker);
    let stopped = as_nobody().arg("stop").arg("--state-dir").arg(home.join("state")).status();
    assert!(stopped.expect("it runs").success());
}
