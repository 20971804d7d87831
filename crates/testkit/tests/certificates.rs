//! People and programs with certificates that the cluster's CA has not signed.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use muster_testenv::WallClock;
use muster_testenv::company::Company;
use muster_testkit::{AccessFile, Cluster, Daemon, Options, eventually, said};

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
    for (step, expected) in ["is trusted", "signs now", "the only one"].into_iter().enumerate() {
        if step == 2 {
            // Its certificate is of the old CA: a day has passed for a worker that runs.
            cluster.kill_agent("w1");
            std::fs::remove_file(cluster.worker_state("w1").join("worker.crt")).expect("there is one");
            cluster.start_worker("w1");
        }
        let output = rotate(&cluster, &pki);
        assert!(output.contains(expected), "{output}");
    }
    let (is_done, said) = run(&["submit", "--wait", "--", "/bin/echo", "hello"]);
    assert!(is_done && said.contains("hello"), "{said}");
    over.store(true, Ordering::Relaxed);
    assert!(calling.join().expect("no call failed") > 0);
}

/// Takes a step of a rotation, without its wait, and waits until the master goes by it. Returns
/// what the command says.
fn rotate(cluster: &Cluster, pki: &Path) -> String {
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
    assert!((0..600).any(looks), "the master looks at its CA: {}", std::fs::read_to_string(&log).expect("a log"));
    said(&output)
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

/// The CA, the workers' certificates and the tokens of callers are exchanged together, while
/// drivers are submitted and their logs read, an event stream stands, and a log is followed. No
/// call fails, and no stream ends.
#[tokio::test]
async fn everything_is_exchanged_under_load_without_a_failed_call() {
    let home = tempfile::tempdir().expect("a directory");
    let access = AccessFile::new();
    let (token, watcher) = (home.path().join("token"), home.path().join("watcher"));
    let exchange = |text: &str| {
        // A caller reads it at any moment.
        let next = token.with_extension("next");
        std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, &token)).expect("a file can be replaced");
    };
    exchange(&access.token("ann", "admin"));
    std::fs::write(&watcher, access.token("eve", "operator")).expect("written");
    let clock = WallClock::new(home.path());
    let mut options = access.asked_for(Options { workers: 2, ..Options::over_tls() });
    options.worker_environment = clock.environment();
    let cluster = Cluster::start(options);
    let ca = cluster.ca().expect("it is over TLS");
    let pki = ca.parent().expect("a directory").to_owned();
    let (address, program) = (cluster.address().to_owned(), cluster.binaries().path("muster"));
    let command = {
        let (home, ca) = (home.path().to_owned(), ca.clone());
        move |token: &Path, args: &[&str]| {
            let mut command = Command::new(&program);
            command.args(["--master", &address, "--ca"]).arg(&ca).arg("--token-file").arg(token).args(args);
            command.env("XDG_CONFIG_HOME", &home);
            command
        }
    };
    let run = {
        let (command, token) = (command.clone(), token.clone());
        move |args: &[&str]| {
            let output = command(&token, args).output().expect("muster runs");
            assert!(output.status.success(), "{args:?}: {}", said(&output));
            String::from_utf8(output.stdout).expect("it is text")
        }
    };
    let ticker = "i=0; while sleep 0.1; do echo $((i += 1)); done";
    run(&["submit", "--id", "ticker", "--", "/bin/sh", "-c", ticker]);
    eventually("the ticker to tick", BOUND, async || (!run(&["logs", "ticker"]).is_empty()).then_some(())).await;
    let (events, followed) = (home.path().join("events.log"), home.path().join("followed.log"));
    let streams = [(&["events", "--follow", "-o", "json"][..], &events), (&["logs", "--follow", "ticker"], &followed)];
    let mut streams = streams.map(|(args, log)| Daemon::start(command(&watcher, args), log));

    let text_of = |log: &Path| std::fs::read_to_string(log).expect("a file");
    let over = Arc::new(AtomicBool::new(false));
    let counts: [Arc<AtomicUsize>; 2] = Default::default();
    let callers: Vec<_> = counts
        .iter()
        .cloned()
        .enumerate()
        .map(|(caller, count)| {
            let (run, over) = (run.clone(), over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let id = format!("load-{caller}-{}", count.load(Ordering::Relaxed));
                    assert_eq!(run(&["submit", "--wait", "--id", &id, "--", "/bin/echo", &id]), format!("{id}\n"));
                    assert!(run(&["logs", &id]).contains(&id));
                    assert!(run(&["list", "workers", "-o", "name"]).contains("w1"));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for step in 0..3 {
        // A new token takes the place of the one before, which is revoked. The first two are of the
        // store, so that the access file's is exchanged as well.
        let made = run(&["token", "create", "--name", "ann", "--role", "admin"]);
        let before = std::fs::read_to_string(&token).expect("it is there");
        exchange(made.trim());
        if step > 0 {
            // Whoever has read the one before may still call with it.
            let goals = counts.each_ref().map(|count| count.load(Ordering::Relaxed) + 2);
            let are_over = || counts.iter().zip(goals).all(|(count, goal)| count.load(Ordering::Relaxed) >= goal);
            eventually("calls with the token before to be over", BOUND, async || are_over().then_some(())).await;
            let id = before.trim().split('_').nth(1).expect("mst_ID_SECRET").to_owned();
            run(&["token", "revoke", &id]);
        }
        if step > 0 {
            // By the clocks of the workers it is time to renew, which they do while they run: they
            // learn of the next CA by it, and then have a certificate of that one.
            let chains = || ["w1", "w2"].map(|name| text_of(&cluster.worker_state(name).join("worker.crt")));
            let before = chains();
            clock.set(17 * 3600);
            let are_new = || chains().iter().zip(&before).all(|(new, old)| new != old);
            eventually("new certificates", 2 * BOUND, async || are_new().then_some(())).await;
            clock.set(0);
        }
        rotate(&cluster, &pki);
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().expect("no call failed");
    }
    for stream in &mut streams {
        assert!(stream.wait(std::time::Duration::ZERO).is_none(), "a stream ended: {}", stream.log());
    }
    let lines = text_of(&followed).lines().count();
    eventually("the ticker to be followed", BOUND, async || (text_of(&followed).lines().count() > lines).then_some(()))
        .await;
    let ticks: Vec<String> = text_of(&followed).lines().map(str::to_owned).collect();
    let expected = (1..=ticks.len()).map(|tick| tick.to_string());
    assert!(expected.eq(ticks.iter().cloned()), "{ticks:?}");
    let last = format!("\"load-0-{}\"", counts[0].load(Ordering::Relaxed) - 1);
    eventually("the event of the last driver", BOUND, async || text_of(&events).contains(&last).then_some(())).await;
}
