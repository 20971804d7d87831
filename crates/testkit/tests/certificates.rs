//! People and programs with certificates that the cluster's CA has not signed.

use std::path::Path;
use std::process::{Command, Output};

use muster_testenv::company::Company;
use muster_testkit::{AccessFile, Cluster, Options};

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Runs `muster` with contexts in a directory and nothing of this cluster in the environment.
fn muster(cluster: &Cluster, config: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(cluster.binaries().path("muster"));
    command.args(args).env("XDG_CONFIG_HOME", config).env("NO_COLOR", "1");
    command.env_remove("MUSTER_MASTER").env_remove("MUSTER_CA_FILE").env_remove("MUSTER_CONTEXT");
    command.output().expect("muster runs")
}

fn over_tls() -> Options {
    Options { tls: true, workers: 1, ..Options::default() }
}

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
    let mut options = access.asked_for(over_tls());
    options.master_args.extend(["--tls-client-ca".into(), text(&ca)]);
    let cluster = Cluster::start(options);
    let muster = |args: &[&str]| muster(&cluster, home.path(), args);
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
    assert!(said(&muster(&["get", "driver", "d"])).contains("cert:ann"));
}
