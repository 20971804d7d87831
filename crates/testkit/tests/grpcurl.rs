//! The page `docs/grpcurl.md`: buf's commands are run, in plaintext, over TLS, and with a token,
//! and those of grpcurl, which Debian does not have, ask for the same. `make test-clients` brings
//! buf.

use std::path::Path;
use std::process::{Command, Output};

use muster_testkit::{AccessFile, Cluster, Options};

const PAGE: &str = include_str!("../../../docs/grpcurl.md");

/// The commands under a heading of the page, of grpcurl and of buf, which must ask for the same.
fn commands(heading: &str) -> Vec<(String, String)> {
    let section = PAGE.split(&format!("## {heading}\n")).nth(1).expect("the page has the heading");
    let section = section.split("\n## ").next().expect("a text has a first part");
    let fenced = section.split("```").skip(1).step_by(2);
    let lines: Vec<_> = fenced.flat_map(|block| block.lines().skip(1)).map(str::to_owned).collect();
    let pairs: Vec<_> = lines.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    for (grpcurl, buf) in &pairs {
        assert_eq!(call_of_grpcurl(grpcurl), call_of_buf(buf), "{grpcurl}\n{buf}");
    }
    pairs
}

/// What a command line asks for: (whether it is in plaintext, headers and files, body, address,
/// method).
type PageCall = (bool, Vec<String>, serde_json::Value, String, String);

/// The words of a line of the page, as its shell would split them; what follows a pipe is left out.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut quote) = (vec![String::new()], None);
    for character in line.split(" | ").next().unwrap_or_default().chars() {
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (_, Some(open)) if open == character => quote = None,
            (' ', None) => words.push(String::new()),
            _ => words.last_mut().expect("there is a word").push(character),
        }
    }
    words
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("a body is JSON")
}

fn call_of_grpcurl(line: &str) -> PageCall {
    let words = split(line);
    let (mut plaintext, mut extras, mut body, mut rest) = (false, Vec::new(), json("null"), Vec::new());
    let mut words = words.iter();
    assert_eq!(words.next().map(String::as_str), Some("grpcurl"), "{line}");
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().unwrap_or_default();
        match word.as_str() {
            "-plaintext" => plaintext = true,
            "-cacert" => extras.push(format!("ca {}", value())),
            "-protoset" => extras.push(format!("protos {}", value())),
            "-H" => extras.push(value()),
            "-d" => body = json(&value()),
            other => rest.push(other.to_owned()),
        }
    }
    let [address, method] = rest.try_into().expect("an address and a method are named");
    (plaintext, extras, body, address, method)
}

fn call_of_buf(line: &str) -> PageCall {
    let words = split(line);
    let (mut plaintext, mut extras, mut body, mut rest) = (false, Vec::new(), json("null"), Vec::new());
    let (mut protocol, mut lists) = (String::new(), false);
    assert_eq!(words[..2], ["buf", "curl"], "{line}");
    let mut words = words[2..].iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().unwrap_or_default();
        match word.as_str() {
            "--http2-prior-knowledge" => plaintext = true,
            "--protocol" => protocol = value(),
            "--list-services" => lists = true,
            // grpcurl sends the headers of a call to reflection as well.
            "--reflect-header" => assert_eq!(value(), "*"),
            "--cacert" => extras.push(format!("ca {}", value())),
            "--schema" => extras.push(format!("protos {}", value())),
            "-H" => extras.push(value()),
            "-d" => body = json(&value()),
            other => rest.push(other.to_owned()),
        }
    }
    assert_eq!(protocol, "grpc", "{line}");
    let [url] = rest.try_into().expect("one URL is named");
    let scheme = if plaintext { "http://" } else { "https://" };
    let target = url.strip_prefix(scheme).expect("the scheme fits the options").to_owned();
    let (address, method) = match target.split_once('/') {
        Some((address, method)) => (address.to_owned(), method.to_owned()),
        None => (target, if lists { "list".to_owned() } else { String::new() }),
    };
    (plaintext, extras, body, address, method)
}

/// Runs buf's commands of the page in one shell, all of which must succeed.
fn run(cluster: &Cluster, commands: &[String], token: &str) -> String {
    let output = attempt(cluster, commands, token);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

/// Runs them in one shell, which ends at the first that fails.
fn attempt(cluster: &Cluster, commands: &[String], token: &str) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a crate lies two levels down");
    let buf = root.join(".tools/node_modules/.bin/buf");
    assert!(buf.exists(), "{} is missing: `make test-clients` installs it", buf.display());
    let protos = root.join("proto");
    let mut protoc = Command::new(root.join(".tools/bin/protoc"));
    protoc.arg("-I").arg(&protos).args(["--include_imports", "-o"]).arg(cluster.dir().join("muster.binpb"));
    let files = ["master_service", "application_service"].map(|name| protos.join(format!("muster/v1/{name}.proto")));
    assert!(protoc.args(files).status().expect("protoc runs").success());
    if let Some(ca) = cluster.ca() {
        std::fs::copy(ca, cluster.dir().join("ca.crt")).expect("the CA can be copied");
    }
    let commands = commands.join("\n").replace("localhost:7077", cluster.address());
    let script = format!("set -eux\nbuf() {{ {} \"$@\"; }}\n{commands}\n", buf.display());
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(cluster.dir()).env("MUSTER_TOKEN", token);
    shell.output().expect("bash runs")
}

/// What the page's commands in plaintext have printed.
fn assert_answers(out: &str) {
    // `aGVsbG8K` is "hello" and a new line.
    for text in ["muster.v1.MasterService", "aGVsbG8K", "\"exitCode\": 3", "STATE_KILL", "\"draining\": true"] {
        assert!(out.contains(text), "{text:?} is missing:\n{out}");
    }
}

#[test]
fn every_command_of_the_page_works() {
    let plaintext: Vec<_> = commands("In plaintext").into_iter().map(|(_, buf)| buf).collect();
    assert!(plaintext.len() >= 15, "{plaintext:?}");
    let cluster = Cluster::start(Options { tls: false, ..Options::default() });
    assert_answers(&run(&cluster, &plaintext, "none"));
}

/// The commands in plaintext, made such over TLS as the page says, and those of that heading.
fn over_tls() -> Vec<String> {
    let as_the_page_says =
        |buf: String| buf.replace("--http2-prior-knowledge", "--cacert ca.crt").replace("http://", "https://");
    let plaintext = commands("In plaintext").into_iter().map(|(_, buf)| as_the_page_says(buf));
    let encrypted = commands("Over TLS").into_iter().map(|(_, buf)| buf);
    plaintext.chain(encrypted).collect()
}

#[test]
fn every_command_of_the_page_works_over_tls() {
    let cluster = Cluster::start(Options { tls: true, ..Options::default() });
    let out = run(&cluster, &over_tls(), "none");
    assert_answers(&out);
    assert!(out.contains("\"driverId\": \"encrypted\""), "{out}");
}

#[test]
fn every_command_of_the_page_works_with_a_token_and_none_without() {
    let with_token = |buf: String| {
        let header = "--protocol grpc -H \"authorization: Bearer $MUSTER_TOKEN\"";
        let reflected = if buf.contains("--schema") { String::new() } else { " --reflect-header '*'".to_owned() };
        buf.replace("--protocol grpc", &format!("{header}{reflected}"))
    };
    let shown: Vec<_> = commands("With a token").into_iter().map(|(_, buf)| buf).collect();
    let all: Vec<_> = over_tls().into_iter().map(with_token).chain(shown.clone()).collect();
    assert!(shown.iter().all(|buf| all[..all.len() - shown.len()].iter().any(|made| same_options(made, buf))));
    let access = AccessFile::new();
    let right = access.token("ann", "admin");
    let cluster = Cluster::start(access.asked_for(Options { tls: true, ..Options::default() }));
    let out = run(&cluster, &all, &right);
    assert_answers(&out);
    assert!(out.contains("\"driverId\": \"encrypted\""), "{out}");

    let stranger = AccessFile::new().token("ann", "admin");
    // Of a reflection that is refused, buf shows words of its own; of a call, the master's.
    let without_reflection = |buf: &String| buf.replace("--reflect-header '*'", "--schema muster.binpb");
    let called: Vec<_> = shown.iter().map(without_reflection).collect();
    for (commands, words) in [(&shown, "failed to find service"), (&called, "not known here, or was revoked")] {
        let output = attempt(&cluster, commands, &stranger);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
}

/// Whether two commands have the same options up to the message.
fn same_options(one: &str, other: &str) -> bool {
    one.split(" -d ").next() == other.split(" -d ").next()
}
