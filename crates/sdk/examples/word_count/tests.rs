//! The counts equal those of the shell.

use std::path::Path;

use muster_sdk::{Tasks, TasksOptions};

use crate::{options, run};

fn write_corpus(folder: &Path) {
    let text = "The quick-brown fox\njumps over the LAZY dog's back; caf\u{e9} na\u{ef}ve x1y2z3 ";
    for number in 0..40 {
        let folder = folder.join(format!("f{}", number % 3));
        std::fs::create_dir_all(&folder).unwrap();
        // Many files begin or end within a word, which does not cross into the next file.
        let bytes = &text.as_bytes()[number % 7..text.len() - number % 11];
        std::fs::write(folder.join(format!("{number}.rs")), bytes.repeat(number)).unwrap();
    }
    std::fs::write(folder.join("left-out.txt"), "the the the").unwrap();
}

fn by_shell(folder: &Path, top: usize) -> Vec<(String, u64)> {
    let script = r#"find "$1" -type f -name '*.rs' -exec awk 1 {} + | tr -cs A-Za-z '\n' | tr A-Z a-z |
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

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_are_those_of_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let tasks = Tasks::start(TasksOptions { local: Some(2), progress: false, ..TasksOptions::default() });
    let options = options::parse(["--top", "30", folder.path().to_str().unwrap()].map(str::to_owned)).unwrap();
    let commonest = run(&tasks.await.unwrap(), &options).await.unwrap();
    assert_eq!(commonest, by_shell(folder.path(), 30));
    assert!(commonest.len() > 10);
}

#[test]
fn the_command_line_is_read() {
    let parse = |line: &str| options::parse(line.split_whitespace().map(str::to_owned));
    let options = parse("--executors 2 --suffix .txt corpus").unwrap();
    assert_eq!((options.executors, options.suffix.as_str(), options.top), (2, ".txt", 10));
    for bad in ["", "a b", "--top", "--top x a", "--what a"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
