//! A cluster over TLS, as people and programs meet it.

use std::path::{Path, PathBuf};
use std::process::Command;

use muster_testenv::company::Company;
use muster_testkit::{Cluster, Daemon, NamespaceNetwork, Options, said, wait_for_file};

#[test]
fn people_log_in_by_the_digest_and_go_there_from_then_on() {
    let cluster = Cluster::start(Options::over_tls());
    let home = tempfile::tempdir().expect("a directory");
    let muster = |args: &[&str]| cluster.muster_of_stranger(home.path(), args);
    let address = cluster.address();
    let log = std::fs::read_to_string(cluster.dir().join("master.log")).expect("there is a log");
    let digest =
        log.split_whitespace().find_map(|word| word.strip_suffix('`').filter(|word| word.starts_with("sha256:")));
    let digest = digest.expect("the log says how to log in");

    let refused = said(&muster(&["--master", address, "list", "drivers"]));
    assert!(refused.contains("speaks TLS") && refused.contains("muster login"), "{refused}");
    let other = format!("sha256:{}", "ab".repeat(32));
    let refused = said(&muster(&["login", address, "--ca-digest", &other]));
    assert!(refused.contains("no master shows the CA of this digest"), "{refused}");
    assert_eq!(said(&muster(&["context", "list"])), "", "a login that failed leaves nothing");

    let output = muster(&["login", address, "--ca-digest", digest, "--context", "lab"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&muster(&["context", "list"])), format!("* lab  {address}\n"));
    let output = muster(&["submit", "--wait", "--", "/bin/echo", "over TLS"]);
    assert!(output.status.success() && said(&output).contains("over TLS\n"), "{}", said(&output));
    let output = muster(&["--master", address, "list", "workers", "-o", "name"]);
    assert_eq!(said(&output), "w1\n", "an address finds its context");

    assert!(muster(&["context", "forget", "lab"]).status.success());
    let refused = said(&muster(&["--master", address, "list", "drivers"]));
    assert!(refused.contains("speaks TLS"), "{refused}");
}

#[test]
fn a_program_of_the_cluster_reaches_its_masters_over_tls() {
    let cluster = Cluster::start(Options::over_tls());
    let muster = cluster.binaries().path("muster");
    let output =
        cluster.muster(&["submit", "--wait", "--", muster.to_str().expect("a path"), "list", "workers", "-o", "name"]);
    assert!(output.status.success() && said(&output).contains("w1\n"), "{}", said(&output));
}

#[test]
fn who_trusts_another_ca_or_none_is_told_so() {
    let cluster = Cluster::start(Options { workers: 0, ..Options::over_tls() });
    let home = tempfile::tempdir().expect("a directory");
    let other = home.path().join("other");
    let program = cluster.binaries().path("muster-master");
    let made = Command::new(&program).arg("init").arg("--out").arg(&other).output().expect("it runs");
    assert!(made.status.success() && said(&made).contains("its digest is sha256:"), "{}", said(&made));
    let again = Command::new(&program).arg("init").arg("--out").arg(&other).output().expect("it runs");
    assert!(!again.status.success() && said(&again).contains("holds a CA already"), "{}", said(&again));

    let other_ca = other.join("ca.crt");
    let other_ca = other_ca.to_str().expect("a path");
    let refused = said(
        &cluster.muster_of_stranger(home.path(), &["--master", cluster.address(), "--ca", other_ca, "list", "drivers"]),
    );
    assert!(refused.contains("is not trusted: invalid peer certificate"), "{refused}");

    // A master in the clear, at an address of its own.
    let mut network = NamespaceNetwork::loopback();
    let plain = network.add().address(7077);
    let ready = home.path().join("address");
    let mut command = Command::new(&program);
    command.args(["--listen", &plain, "--store", "memory:"]).arg("--address-file").arg(&ready);
    let _plain = Daemon::start(command, &home.path().join("plain.log"));
    wait_for_file(&ready, std::time::Duration::from_secs(30));
    let refused =
        said(&cluster.muster_of_stranger(home.path(), &["--master", &plain, "--ca", other_ca, "list", "drivers"]));
    assert!(refused.contains("does not speak TLS"), "{refused}");

    // Workers say it in their logs, and try on.
    let worker = |name: &str, args: &[&str]| {
        let mut command = Command::new(cluster.binaries().path("muster-worker"));
        command.args(["--master", cluster.address(), "--name", name, "--listen", "127.0.0.1:0"]).args(args);
        command.arg("--state-dir").arg(home.path().join(name)).env_remove("MUSTER_CA_FILE");
        Daemon::start(command, &home.path().join(format!("{name}.log")))
    };
    let workers = [worker("w8", &[]), worker("w9", &["--ca", other_ca])];
    for (name, expected) in [("w8", "the master speaks TLS: name its CA with --ca"), ("w9", "the CA is another: ")] {
        let log = home.path().join(format!("{name}.log"));
        let mut text = String::new();
        for _ in 0..600 {
            text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains(expected) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert!(text.contains(expected), "{text}");
    }
    // Their runners outlive them.
    drop(workers);
    for name in ["w8", "w9"] {
        let mut stop = Command::new(cluster.binaries().path("muster-worker"));
        stop.arg("stop").arg("--state-dir").arg(home.path().join(name));
        assert!(stop.status().expect("it runs").success(), "{name}");
    }
}

/// A master that listens beyond its machine, and so has credentials.
struct SecuredMaster {
    _running: Daemon,
    address: String,
    pki: PathBuf,
    digest: String,
}

impl SecuredMaster {
    fn start(cluster: &Cluster, home: &Path) -> SecuredMaster {
        let (running, address) = beyond_its_machine(cluster, home, &[]);
        let log = running.log();
        let digest = log.split_whitespace().find(|word| word.starts_with("sha256:"));
        let digest = digest.expect("the log says how to log in").to_owned();
        SecuredMaster { _running: running, address, pki: home.join("master/pki"), digest }
    }
}

/// A master that other machines could reach, and an address for this one.
fn beyond_its_machine(cluster: &Cluster, home: &Path, args: &[&str]) -> (Daemon, String) {
    let ready = home.join("address");
    let mut command = Command::new(cluster.binaries().path("muster-master"));
    command.args(["--listen", "0.0.0.0:0"]).args(args).arg("--state-dir").arg(home.join("master"));
    command.arg("--address-file").arg(&ready);
    let running = Daemon::start(command, &home.join("master.log"));
    let address = wait_for_file(&ready, std::time::Duration::from_secs(30));
    (running, format!("127.0.0.1:{}", address.rsplit_once(':').expect("a port").1))
}

#[test]
fn a_master_that_anybody_may_command_says_so() {
    let cluster = Cluster::start(Options { workers: 0, ..Options::default() });
    let home = tempfile::tempdir().expect("a directory");
    let (running, address) = beyond_its_machine(&cluster, home.path(), &["--insecure-listen"]);
    let shown = cluster.muster_of_stranger(home.path(), &["cluster", "--master", &address]);
    for text in [said(&shown), running.log()] {
        assert!(text.contains("--insecure-listen: whoever reaches"), "{text}");
    }
    let shown = cluster.muster_of_stranger(home.path(), &["cluster", "--master", cluster.address()]);
    assert!(!said(&shown).contains("--insecure-listen"), "{}", said(&shown));
}

/// The token is where no program runs: a worker joins first, and all that it needs later is its own
/// key, by which the hooks of its container drain it, too.
#[test]
fn a_worker_joins_before_it_starts_and_drains_itself_without_a_token() {
    let cluster = Cluster::start(Options { workers: 0, ..Options::default() });
    let home = tempfile::tempdir().expect("a directory");
    let SecuredMaster { _running, address, pki, digest } = SecuredMaster::start(&cluster, home.path());
    let muster = |args: &[&str]| cluster.muster_of_stranger(home.path(), args);
    let (admin, state) = (pki.join("admin.token"), home.path().join("w1"));
    let output = muster(&["login", &address, "--ca-digest", &digest, "--token-file", admin.to_str().expect("a path")]);
    assert!(output.status.success(), "{}", said(&output));

    let join = |token: &str| {
        let file = home.path().join("join");
        std::fs::write(&file, token).expect("written");
        let mut command = Command::new(cluster.binaries().path("muster-worker"));
        command.args(["join", "--master", &address, "--token-file"]).arg(&file).arg("--state-dir").arg(&state);
        command.env_remove("MUSTER_CA_FILE").output().expect("it runs")
    };
    let made = muster(&["token", "create", "--worker", "--name", "lab"]);
    let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let parts: Vec<&str> = token.split('_').collect();
    let [_, id, secret, pin] = parts[..] else { unreachable!("a token of workers has four parts: {token}") };
    let refused = join(&format!("mst_{id}_{secret}"));
    assert!(said(&refused).contains("whom to trust? give --ca"), "{}", said(&refused));
    let refused = join(&format!("mstj_{id}_{}_{pin}", "0".repeat(64)));
    assert!(refused.status.code() == Some(1) && said(&refused).contains("is not known here"), "{}", said(&refused));
    let joined = join(&token);
    assert!(joined.status.success(), "{}", said(&joined));

    // A hook, at first of a worker that is not known, and with no token at hand.
    let hook = |args: &[&str]| {
        let mut command = Command::new(cluster.binaries().path("muster"));
        command.args(args).args(["--this-worker", "--master", &address]).env_remove("MUSTER_CA_FILE");
        command.env("XDG_CONFIG_HOME", home.path().join("nothing")).env("MUSTER_STATE_DIR", &state);
        command.output().expect("muster runs")
    };
    let output = hook(&["undrain"]);
    assert!(output.status.success() && said(&output).contains("nothing to do"), "{}", said(&output));
    let mut command = Command::new(cluster.binaries().path("muster-worker"));
    command.args(["--master", &address, "--name", "w1", "--listen", "127.0.0.1:0", "--run-as", "root", "--cores", "4"]);
    let registered = home.path().join("registered");
    command.env_remove("MUSTER_CA_FILE").arg("--state-dir").arg(&state).arg("--address-file").arg(&registered);
    let running = Daemon::start(command, &home.path().join("w1.log"));
    wait_for_file(&registered, std::time::Duration::from_secs(30));
    let output = muster(&["submit", "--id", "job", "--", "/bin/sleep", "1000"]);
    assert!(output.status.success(), "{}", said(&output));
    // A second program has a place as soon as the first has, so both are placed.
    let output = muster(&["submit", "--wait", "--", "/bin/echo", "hello"]);
    assert!(output.status.success(), "{}", said(&output));

    let output = hook(&["drain", "--wait", "--deadline", "0s"]);
    assert!(output.status.success() && said(&output).ends_with("w1 is empty\n"), "{}", said(&output));
    let shown = said(&muster(&["get", "worker", "w1", "-o", "json"]));
    assert!(shown.contains("\"draining\": true"), "{shown}");
    let output = hook(&["undrain"]);
    assert!(output.status.success() && said(&output).contains("w1 takes work again"), "{}", said(&output));
    let output = muster(&["submit", "--wait", "--", "/bin/echo", "again"]);
    assert!(output.status.success(), "{}", said(&output));
    drop(running);
    let mut stop = Command::new(cluster.binaries().path("muster-worker"));
    stop.arg("stop").arg("--state-dir").arg(&state);
    assert!(stop.status().expect("it runs").success());
}

/// People trust a company's CA, or those of their machine; the worker trusts the cluster's.
#[test]
fn a_master_shows_a_certificate_of_its_own_and_the_next_one_without_a_restart() {
    let home = tempfile::tempdir().expect("a directory");
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let (old, new) = (Company::new("Old"), Company::new("New"));
    let (old_ca, new_ca) = (old.write_ca(home.path().join("old.crt")), new.write_ca(home.path().join("new.crt")));
    // Which address the cluster gets is known once it runs.
    let (certificate, key) = old.server(&["elsewhere.example"]).write(home.path(), "own");
    let mut options = Options::over_tls();
    options.master_args.extend(["--tls-cert".into(), text(&certificate), "--tls-key".into(), text(&key)]);
    let cluster = Cluster::start(options);
    let address = cluster.address();
    let muster = |args: &[&str]| cluster.muster_of_stranger(home.path(), args);
    let listed = |ca: &Path| said(&muster(&["--master", address, "--ca", &text(ca), "list", "workers", "-o", "name"]));
    assert!(listed(&old_ca).contains("not valid for name"), "{}", listed(&old_ca));
    let host = address.rsplit_once(':').expect("a port").0;
    let in_force = |company: &Company, ca: &Path| {
        company.server(&[host]).write(home.path(), "own");
        for _ in 0..600 {
            if listed(ca) == "w1\n" {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{}", listed(ca));
    };
    in_force(&old, &old_ca);
    assert!(listed(&new_ca).contains("is not trusted"), "{}", listed(&new_ca));

    let refused = said(&muster(&["login", address]));
    assert!(refused.contains("no CA of this machine knows"), "{refused}");
    let with_roots = |args: &[&str]| {
        let mut command = Command::new(cluster.binaries().path("muster"));
        command.args(args).env("XDG_CONFIG_HOME", home.path()).env("SSL_CERT_FILE", &old_ca);
        said(&command.env_remove("MUSTER_MASTER").env_remove("MUSTER_CA_FILE").output().expect("muster runs"))
    };
    let login = with_roots(&["login", address, "--context", "company"]);
    assert!(login.contains("commands go to company"), "{login}");
    assert_eq!(with_roots(&["list", "workers", "-o", "name"]), "w1\n");

    // A stream that stands while the files change.
    let mut command = Command::new(cluster.binaries().path("muster"));
    command.args(["--master", address, "--ca", &text(&old_ca), "events", "--follow"]).env("HOME", home.path());
    let events = home.path().join("events.log");
    let follower = Daemon::start(command, &events);
    let seen = |what: &str| {
        for _ in 0..600 {
            if std::fs::read_to_string(&events).unwrap_or_default().contains(what) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{what}: {}", std::fs::read_to_string(&events).unwrap_or_default());
    };
    let submit = |ca: &Path, id: &str| {
        said(&muster(&["--master", address, "--ca", &text(ca), "submit", "--wait", "--id", id, "--", "/bin/true"]))
    };
    submit(&old_ca, "before");
    seen("before");
    in_force(&new, &new_ca);
    assert!(listed(&old_ca).contains("is not trusted"), "{}", listed(&old_ca));
    submit(&new_ca, "after");
    seen("after");
    drop(follower);
}

/// A master that listens beyond its machine has credentials without a flag, and a worker joins it
/// by one text.
#[test]
fn a_master_beyond_its_machine_has_credentials_and_a_worker_joins_it_by_its_token() {
    let cluster = Cluster::start(Options { workers: 0, ..Options::default() });
    let home = tempfile::tempdir().expect("a directory");
    let SecuredMaster { _running, address, pki, digest } = SecuredMaster::start(&cluster, home.path());
    let muster = |args: &[&str]| cluster.muster_of_stranger(home.path(), args);

    let token = pki.join("admin.token");
    let login = ["login", &address, "--ca-digest", &digest, "--token-file", token.to_str().expect("a path")];
    let refused = said(&muster(&["login", &address, "--ca-digest", &digest]));
    let output = muster(&login);
    assert!(output.status.success(), "{refused} {}", said(&output));

    let mut command = Command::new(cluster.binaries().path("muster-master"));
    command.args(["token", "--name", "lab", "--role", "worker", "--access-file"]).arg(pki.join("access.toml"));
    let bearer = said(&command.output().expect("it runs"));
    let pinned = muster_tls::JoinToken::pinned(bearer.trim(), digest.parse().expect("a digest")).expect("a token");
    let join = home.path().join("join");
    std::fs::write(&join, pinned.expose()).expect("written");
    let worker = |args: &[&str], said: &str| {
        let mut command = Command::new(cluster.binaries().path("muster-worker"));
        command.args(["--master", &address, "--name", "w1", "--listen", "0.0.0.0:0", "--host", "127.0.0.1"]).args(args);
        command.args(["--run-as", "root", "--cores", "4"]).env_remove("MUSTER_CA_FILE");
        command.arg("--state-dir").arg(home.path().join("w1"));
        let registered = home.path().join(said);
        command.arg("--address-file").arg(&registered);
        let running = Daemon::start(command, &home.path().join(format!("{said}.log")));
        wait_for_file(&registered, std::time::Duration::from_secs(30));
        running
    };
    let first = worker(&["--token-file", join.to_str().expect("a path")], "first");
    let output = muster(&["submit", "--wait", "--", "/bin/sh", "-c", "cat $MUSTER_CA_FILE"]);
    let ca = std::fs::read_to_string(pki.join("ca.crt")).expect("a CA");
    assert!(output.status.success() && said(&output).contains(ca.trim()), "{}", said(&output));

    // What a worker serves is for its masters alone.
    let serves = std::fs::read_to_string(home.path().join("first")).expect("an address");
    let refused = said(&muster(&["--master", serves.trim(), "list", "drivers"]));
    assert!(!refused.contains("STATE"), "{refused}");

    // It comes back without its token, and not from a copy without its key.
    drop(first);
    let again = worker(&[], "again");
    let output = muster(&["submit", "--wait", "--", "/bin/echo", "hello"]);
    assert!(output.status.success(), "{}", said(&output));
    let revoked = muster(&["worker", "revoke", "w1"]);
    assert!(revoked.status.success(), "{}", said(&revoked));
    drop(again);
    let mut stop = Command::new(cluster.binaries().path("muster-worker"));
    stop.arg("stop").arg("--state-dir").arg(home.path().join("w1"));
    assert!(stop.status().expect("it runs").success());
}
