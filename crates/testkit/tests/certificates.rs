//! People and programs with certificates that the cluster's CA has not signed.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_testenv::company::Company;
use muster_testkit::{AccessFile, Cluster, Options, eventually, said};

const BOUND: std::time::Duration = std::time::Duration::from_secs(60);

#[test]
fn a_person_with_a_certificate_of_the_company_logs_in_and_owns_what_it_submits() {
    let home = tempfile::tempdir().expect("a directory");
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let company = Company::new("Company");
    let ca = company.write_ca(home.path().join("company.crt"));
    let day = std::time::Duration::from_secs(24 * 3600);
    let (certificate, key) = company.client("ann", Some("engineers"), &[], 1, day).write(home.path(), "ann");
    let access = AccessFile::new();
    access.bind("group", "cert:engineers", "submitter");
    let root = access.token("root", "admin");
    let mut options = access.asked_for(Options::over_tls());
    options.master_args.extend(["--tls-client-ca".into(), text(&ca)]);
    let cluster = Cluster::start(options);
    let muster = |args: &[&str]| cluster.muster_of_stranger(home.path(), args);
    let cluster_ca = text(&cluster.ca().expect("it is over TLS"));
    let login = ["login", cluster.address(), "--ca", &cluster_ca];
    let half = said(&muster(&[&login[..], &["--client-cert", &text(&certificate)]].concat()));
    assert!(half.contains("go together"), "{half}");
    let refused = muster(&login);
    assert!(!refused.status.success(), "{}", said(&refused));
    let shown = ["--client-cert", &text(&certificate), "--client-key", &text(&key)];
    let output = muster(&[&login[..], &shown].concat());
    assert!(output.status.success(), "{}", said(&output));
    let whoami = said(&muster(&["whoami"]));
    assert!(whoami.contains("cert:ann") && whoami.contains("submitter"), "{whoami}");
    let output = muster(&["submit", "--wait", "--id", "d", "--", "/bin/echo", "mine"]);
    assert!(output.status.success() && said(&output).contains("mine"), "{}", said(&output));
    assert!(said(&muster(&["get", "driver", "d", "-o", "json"])).contains("\"cert:ann\""));

    // What is given stands above the token that is remembered.
    let token = home.path().join("root");
    std::fs::write(&token, root).expect("written");
    let output = muster(&[&login[..], &["--context", "root", "--token-file", &text(&token)]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&muster(&["whoami"])).contains("admin"));
    let whoami = said(&muster(&[&["whoami"], &shown[..]].concat()));
    assert!(whoami.contains("cert:ann"), "{whoami}");
}

/// The steps of a rotation, without their waits, under calls that may not fail.
#[test]
fn a_ca_is_exchanged_without_a_failed_call() {
    let home = tempfile::tempdir().expect("a directory");
    let access = AccessFile::new();
    let token = home.path().join("token");
    std::fs::write(&token, access.token("ann", "operator")).expect("written");
    let mut cluster = Cluster::start(access.asked_for(Options::over_tls()));
    let ca = cluster.ca().expect("it is over TLS");
    let pki = ca.parent().expect("a directory").to_owned();
    let log = cluster.dir().join("master.log");
    let (address, program) = (cluster.address().to_owned(), cluster.binaries().path("muster"));
    let run = {
        let (home, ca) = (home.path().to_owned(), ca.clone());
        move |args: &[&str]| {
            let mut command = Command::new(&program);
            command.args(["--master", &address, "--ca"]).arg(&ca).arg("--token-file").arg(&token).args(args);
            let output = command.env("XDG_CONFIG_HOME", &home).output().expect("muster runs");
            (output.status.success(), said(&output))
        }
    };
    let over = Arc::new(AtomicBool::new(false));
    let calling = {
        let (run, over) = (run.clone(), over.clone());
        std::thread::spawn(move || {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) {
                let (is_done, said) = run(&["list", "workers", "-o", "name"]);
                assert!(is_done && said == "w1\n", "call {calls}: {said}");
                calls += 1;
            }
            calls
        })
    };
    let in_force = || std::fs::read_to_string(&log).expect("a log").matches("a changed file is in force").count();
    for (step, expected) in ["is trusted", "signs now", "the only one"].into_iter().enumerate() {
        if step == 2 {
            // Its certificate is of the old CA: a day has passed for a worker that runs.
            cluster.kill_agent("w1");
            std::fs::remove_file(cluster.worker_state("w1").join("worker.crt")).expect("there is one");
            cluster.start_worker("w1");
        }
        let mut rotate = Command::new(cluster.binaries().path("muster-master"));
        let output = rotate.args(["rotate-ca", "--at-once", "--pki"]).arg(&pki).output().expect("it runs");
        assert!(output.status.success() && said(&output).contains(expected), "{}", said(&output));
        for _ in 0..600 {
            if in_force() > step {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(in_force(), step + 1, "{}", std::fs::read_to_string(&log).expect("a log"));
    }
    let (is_done, said) = run(&["submit", "--wait", "--", "/bin/echo", "hello"]);
    assert!(is_done && said.contains("hello"), "{said}");
    over.store(true, Ordering::Relaxed);
    assert!(calling.join().expect("no call failed") > 0);
}

/// Takes a step of a rotation, without its wait, and waits until the master goes by it.
fn rotate(cluster: &Cluster, pki: &Path) {
    let log = cluster.dir().join("master.log");
    let in_force = || std::fs::read_to_string(&log).expect("a log").matches("a changed file is in force").count();
    let before = in_force();
    let mut rotate = Command::new(cluster.binaries().path("muster-master"));
    let output = rotate.args(["rotate-ca", "--at-once", "--pki"]).arg(pki).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    let looks = |_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        in_force() > before
    };
    assert!((0..600).any(looks), "the master looks at its CA");
}

/// Who has learnt of the next CA while the present one was trusted goes on; who has not is told
/// what to do.
#[tokio::test]
async fn a_context_and_a_worker_learn_of_another_ca() {
    let home = tempfile::tempdir().expect("a directory");
    let late = tempfile::tempdir().expect("a directory");
    let access = AccessFile::new();
    let token = home.path().join("token");
    std::fs::write(&token, access.token("ann", "operator")).expect("written");
    let token = token.to_str().expect("a path");
    // Two workers without a file of the CA of their own, who join by tokens.
    let mut options = access.asked_for(Options { workers: 0, ..Options::over_tls() });
    options.worker.args.clear();
    let mut cluster = Cluster::start(options);
    let ca = cluster.ca().expect("it is over TLS");
    let (pki, ca) = (ca.parent().expect("a directory").to_owned(), ca.to_str().expect("a path").to_owned());
    let address = cluster.address().to_owned();
    let login = ["login", &address, "--ca", &ca, "--token-file", token];
    for config in [home.path(), late.path()] {
        let output = cluster.muster_of_stranger(config, &login);
        assert!(output.status.success(), "{}", said(&output));
    }
    let refresh = |cluster: &Cluster| {
        let output = cluster.muster_of_stranger(home.path(), &["login", "--refresh"]);
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    assert!(refresh(&cluster).contains("the same as before"));
    let join = |cluster: &Cluster, config: &Path| {
        let made = cluster.muster_of_stranger(config, &["token", "create", "--worker", "--name", "lab"]);
        assert!(made.status.success(), "{}", said(&made));
        let file = cluster.dir().join("join.token");
        std::fs::write(&file, made.stdout).expect("written");
        file.to_str().expect("a path").to_owned()
    };
    let joined = join(&cluster, home.path());
    cluster.start_worker_without_ca("w1", &["--token-file", &joined]);
    cluster.wait_ready("w1");
    let submit = ["submit", "--id", "d", "--", "/bin/sleep", "1000"];
    assert!(cluster.muster_of_stranger(home.path(), &submit).status.success());
    let is_running = |cluster: &Cluster| {
        let shown = said(&cluster.muster_of_stranger(home.path(), &["get", "driver", "d", "-o", "json"]));
        shown.contains("RUNNING").then_some(shown)
    };
    eventually("the driver to run", BOUND, async || is_running(&cluster)).await;

    // The agent is away while the CA is exchanged at once.
    cluster.kill_agent("w1");
    rotate(&cluster, &pki);
    assert!(refresh(&cluster).contains("have changed"));
    rotate(&cluster, &pki);
    rotate(&cluster, &pki);
    let refused = said(&cluster.muster_of_stranger(late.path(), &["list", "workers"]));
    assert!(refused.contains("`muster login` again if its CA was replaced"), "{refused}");
    let listed = cluster.muster_of_stranger(home.path(), &["list", "workers", "-o", "name"]);
    assert_eq!(said(&listed), "w1\n", "{}", said(&listed));
    assert!(refresh(&cluster).contains("have changed"), "the old one is gone");

    std::fs::remove_file(cluster.worker_state("w1").join("worker.crt")).expect("there is one");
    cluster.start_worker_without_ca("w1", &["--token-file", &joined]);
    let log = cluster.dir().join("w1.log");
    let tells = async || {
        let text = std::fs::read_to_string(&log).expect("a log");
        text.contains("start this worker anew with a token of `muster token create --worker`").then_some(())
    };
    eventually("the worker to tell", BOUND, tells).await;
    cluster.kill_agent("w1");
    let joined = join(&cluster, home.path());
    cluster.start_worker_without_ca("w1", &["--token-file", &joined]);
    cluster.wait_ready("w1");
    let shown = eventually("the driver to run on", BOUND, async || is_running(&cluster)).await;
    assert_eq!(shown.matches("attempt_id").count().max(1), 1, "{shown}");
}
