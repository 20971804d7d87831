//! The counts equal those of the shell, across shares, connections and a lost executor.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use muster_sdk::v1;

use crate::count::Count;
use crate::driver::end_of;
use crate::executor_pool::ExecutorPool;
use crate::options::{self, Role};
use crate::{corpus, exchange};

fn write_corpus(folder: &Path) {
    let text = "The quick-brown fox\njumps over the LAZY dog's back; caf\u{e9} na\u{ef}ve x1y2z3 ";
    for number in 0..40 {
        let folder = folder.join(format!("f{}", number % 3));
        std::fs::create_dir_all(&folder).unwrap();
        // Many files begin or end within a word, which then crosses into the next file as with
        // `cat`.
        let bytes = &text.as_bytes()[number % 7..text.len() - number % 11];
        std::fs::write(folder.join(format!("{number}.rs")), bytes.repeat(number)).unwrap();
    }
    std::fs::write(folder.join("left-out.txt"), "the the the").unwrap();
}

fn by_shell(folder: &Path, top: usize) -> Vec<(String, u64)> {
    let script = r#"find "$1" -type f -name '*.rs' -print0 | sort -z | xargs -0 cat | tr -cs A-Za-z '\n' | tr A-Z a-z |
        grep . | sort | uniq -c | sort -k1,1nr -k2,2 | head -"$2""#;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, "sh"]).arg(folder).arg(top.to_string()).env("LC_ALL", "C");
    let output = command.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let (count, word) = line.trim().split_once(' ').unwrap();
        (word.to_owned(), count.parse().unwrap())
    };
    lines.lines().map(pair).collect()
}

/// An executor that dies in the middle of its first share.
fn die_early(address: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"7\n").unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    stream.write_all(b"+begun").unwrap();
}

#[test]
fn the_counts_are_those_of_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let shares = corpus::shares(corpus::files(folder.path(), ".rs").unwrap(), 9);
    assert!(shares.len() > 4, "several shares: {}", shares.len());
    let pool = Arc::new(ExecutorPool::new(shares));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    pool.open(listener);
    die_early(&address);
    let executors: Vec<_> = ["0", "1", "2"]
        .map(|id| {
            let address = address.clone();
            std::thread::spawn(move || exchange::serve(&address, id))
        })
        .into();
    let commonest = pool.queue().total().commonest(30);
    assert_eq!(commonest, by_shell(folder.path(), 30));
    assert!(commonest.len() > 10);
    pool.close();
    for executor in executors {
        // It may fail, because its connection was cut; it must only end.
        let _ = executor.join().unwrap();
    }
}

#[test]
fn an_executor_that_is_gone_is_hung_up() {
    let pool = Arc::new(ExecutorPool::new(vec![Vec::new()]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    pool.open(listener);
    // A frozen executor: it has its share and sends nothing more, but its connection stays open.
    let mut frozen = TcpStream::connect(address).unwrap();
    frozen.write_all(b"3\n").unwrap();
    frozen.read_exact(&mut [0]).unwrap();
    pool.is_gone(3);
    let another = std::thread::spawn(move || exchange::serve(&address.to_string(), "4"));
    assert_eq!(pool.queue().total().commonest(1), []);
    pool.close();
    let _ = another.join().unwrap();
}

/// An executor that ends while Muster wants it is replaced, so no connection may be closed before
/// Muster knows that all is counted.
#[test]
fn executors_stay_until_they_are_hung_up() {
    let pool = Arc::new(ExecutorPool::new(vec![Vec::new()]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.write_all(b"3\n").unwrap();
    // The thread is joined before the checks, so that its speed does not matter.
    let attending = std::thread::spawn({
        let (pool, accepted) = (pool.clone(), listener.accept().unwrap().0);
        move || pool.attend(accepted)
    });
    let mut share = [0; 2];
    stream.read_exact(&mut share).unwrap();
    assert_eq!(&share, b"0\n");
    Count::default().write(&mut stream).unwrap();
    pool.queue().total();
    attending.join().unwrap().unwrap();
    stream.set_nonblocking(true).unwrap();
    let open = stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(open, Err(std::io::ErrorKind::WouldBlock), "all is counted, and it is not hung up");
    stream.set_nonblocking(false).unwrap();
    pool.close();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);

    // An executor that was slow to start finds nothing to do, and ends as well.
    let mut late = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    late.write_all(b"4\n").unwrap();
    pool.attend(listener.accept().unwrap().0).unwrap();
    assert_eq!(late.read(&mut [0]).unwrap(), 0);
}

#[test]
fn ends_are_told_apart() {
    let ended = |exit_code, signal, by: &str| {
        let outcome = v1::Outcome { exit_code, signal, message: "no such file".to_owned(), ..Default::default() };
        end_of(&v1::ExecutorEnded { outcome: Some(outcome), killed_by: by.to_owned() })
    };
    assert_eq!(ended(Some(0), None, ""), "finished");
    assert_eq!(ended(Some(0), None, "application"), "finished");
    assert_eq!(ended(Some(3), None, ""), "ended with exit code 3");
    assert_eq!(ended(None, Some(9), ""), "was ended by signal 9");
    assert_eq!(ended(None, Some(9), "operator"), "was killed (by operator)");
    assert_eq!(ended(None, None, ""), "failed: no such file");
}

#[test]
fn the_command_line_is_read() {
    let parse = |line: &str| options::parse(line.split_whitespace().map(str::to_owned));
    let Ok(Role::Driver(options)) = parse("--executors 2 --suffix .txt corpus") else { panic!("a driver") };
    assert_eq!((options.executors, options.suffix.as_str(), options.top), (2, ".txt", 10));
    let executor = Role::Executor { driver: "a:1".to_owned(), id: "5".to_owned() };
    assert_eq!(parse("executor a:1 5"), Ok(executor));
    for bad in ["", "a b", "--top", "--top x a", "--what a", "executor a:1"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
