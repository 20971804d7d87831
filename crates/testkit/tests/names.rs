//! The names and the prose of the tree: one meaning per type name, no metaphors, lines that fit.
//!
//! `docs/glossary.md` defines the words that are ours. Every other name is the usual term of the
//! field. The names listed here needed an explanation, and must not come back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Type names that tell nothing to a reader from the field.
const BANNED_TYPES: &[&str] = &[
    "Ask",
    "Bench",
    "Board",
    "Booth",
    "Casting",
    "Changes",
    "Clerk",
    "Consequences",
    "Dice",
    "Doors",
    "Ensemble",
    "Facts",
    "Farewell",
    "Fingerprint",
    "Founding",
    "Front",
    "FrontDoor",
    "Hall",
    "Happening",
    "Held",
    "Hopeless",
    "Hub",
    "Inquiry",
    "Judge",
    "Lab",
    "Leading",
    "Line",
    "Lines",
    "Made",
    "Mailbox",
    "Mark",
    "Moment",
    "News",
    "Order",
    "Outage",
    "Outlets",
    "Owed",
    "Own",
    "Packed",
    "Part",
    "Past",
    "Piece",
    "Place",
    "Prepared",
    "Pump",
    "Refused",
    "Rhythm",
    "Ring",
    "Roll",
    "Said",
    "Seat",
    "Seen",
    "Shelf",
    "Show",
    "Shown",
    "Sight",
    "Sighting",
    "Span",
    "Stamp",
    "Standing",
    "Survey",
    "Tone",
    "Tools",
    "Torn",
    "Trace",
    "Tries",
    "Turn",
    "Ups",
    "Verb",
    "Why",
    "Wish",
    "Witness",
];

/// Words that must not name a function, a field, a variable or a module.
const BANNED_WORDS: &[&str] = &[
    "asked_back",
    "booth",
    "bury",
    "casting",
    "choked",
    "condemn",
    "condemned",
    "doors",
    "ensemble",
    "farewell",
    "forget_condemned",
    "forgive",
    "front_door",
    "gathering",
    "happening",
    "has_strays",
    "heed",
    "hold_absent",
    "inquiry",
    "leave_seat",
    "let_go",
    "look_again",
    "lost_end",
    "mailbox",
    "mind_choking",
    "misfit",
    "objection",
    "orphans",
    "outlets",
    "owed",
    "pulse",
    "reap_strays",
    "rhythm",
    "risen",
    "say_hello",
    "seat",
    "shelf",
    "sighting",
    "standing",
    "stock",
    "strays",
    "strike",
    "takeover",
    "tell_application",
    "tell_driver",
    "tell_executor",
    "tell_worker",
    "told",
    "unsuited",
    "until_farewell",
    "upkeep",
    "went_back",
    "why",
    "wish",
    "wishes",
    "witness",
];

/// Type names that two crates may share: the same thing, seen from two sides.
const SHARED_TYPES: &[&str] = &[
    // The core's state of an application, and the sdk's handle to one.
    "Application",
];

const COLUMNS: usize = 100;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a crate lies two levels down").to_owned()
}

/// Collects every file below a directory whose name has this ending, without build output and
/// hidden directories.
fn collect(directory: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || name == "node_modules" {
            continue;
        }
        if entry.file_type().expect("a type").is_dir() {
            collect(&entry.path(), ending, found);
        } else if name.ends_with(ending) {
            found.push(entry.path());
        }
    }
}

/// The path from the root and the text of every such file except this one.
fn files(below: &str, ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    collect(&root.join(below), ending, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no {ending} below {below:?}");
    let relative = |path: &Path| path.strip_prefix(&root).expect("below the root").display().to_string();
    let all = found.iter().map(|path| (relative(path), std::fs::read_to_string(path).expect("text")));
    all.filter(|(path, _)| !path.ends_with("testkit/tests/names.rs")).collect()
}

/// A line without its comment and without the text between quotes.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if quoted => drop(characters.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && characters.peek() == Some(&'/') => break,
            _ if quoted => {}
            other => code.push(other),
        }
    }
    code
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The type that a line declares at the outermost level.
fn declared(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.strip_prefix(' ')?,
        None => line,
    };
    let kinds = ["struct ", "enum ", "trait ", "type ", "union "];
    words(kinds.iter().find_map(|kind| line.strip_prefix(kind))?).next()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs") || path.contains("/examples/")
}

#[test]
fn no_type_has_a_name_that_needs_explaining() {
    let mut bad = Vec::new();
    for (path, text) in files("crates", ".rs") {
        for name in text.lines().filter_map(declared).filter(|name| BANNED_TYPES.contains(name)) {
            bad.push(format!("{path}: {name}"));
        }
    }
    assert!(bad.is_empty(), "banned type names:\n{}", bad.join("\n"));
}

#[test]
fn no_function_field_or_module_has_a_name_that_needs_explaining() {
    let mut bad = Vec::new();
    for (path, text) in files("crates", ".rs") {
        let stem = path.rsplit('/').next().and_then(|file| file.strip_suffix(".rs")).expect("a stem");
        if BANNED_WORDS.contains(&stem) {
            bad.push(format!("{path}: the file's name"));
        }
        for (number, line) in text.lines().enumerate() {
            let code = code_of(line);
            for word in words(&code).filter(|word| BANNED_WORDS.contains(word)) {
                bad.push(format!("{path}:{}: {word}", number + 1));
            }
        }
    }
    assert!(bad.is_empty(), "banned names:\n{}", bad.join("\n"));
}

/// Messages of a wire (`wire.rs`) carry the names of what they encode, and the simulated world
/// names the parts that it plays after them: both mean the same thing.
#[test]
fn a_type_name_has_one_meaning_in_the_workspace() {
    let mut declarations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files("crates", ".rs") {
        if is_test(&path) || path.ends_with("/wire.rs") || path.contains("/testkit/src/world/") {
            continue;
        }
        for name in text.lines().filter_map(declared) {
            declarations.entry(name.to_owned()).or_default().push(path.clone());
        }
    }
    let twice = declarations.iter().filter(|(name, paths)| paths.len() > 1 && !SHARED_TYPES.contains(&name.as_str()));
    let bad: Vec<_> = twice.map(|(name, paths)| format!("{name}: {}", paths.join(", "))).collect();
    assert!(bad.is_empty(), "one name, several types:\n{}", bad.join("\n"));
}

/// Whether a line cannot be broken: a single long word, such as an address, or a row of a table.
fn is_unbreakable(line: &str) -> bool {
    line.split_whitespace().count() <= 3 || line.contains("| ")
}

#[test]
fn comments_fit_their_lines() {
    let mut bad = Vec::new();
    for (path, text) in files("crates", ".rs").into_iter().chain(files("proto", ".proto")) {
        for (number, line) in text.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            if is_comment && line.chars().count() > COLUMNS && !is_unbreakable(line) {
                bad.push(format!("{path}:{}", number + 1));
            }
        }
    }
    assert!(bad.is_empty(), "comments beyond {COLUMNS} columns:\n{}", bad.join("\n"));
}

#[test]
fn documents_fit_their_lines() {
    let mut bad = Vec::new();
    for (path, text) in files("", ".md") {
        let mut fenced = false;
        for (number, line) in text.lines().enumerate() {
            fenced ^= line.trim_start().starts_with("```");
            if !fenced && line.chars().count() > COLUMNS && !is_unbreakable(line) {
                bad.push(format!("{path}:{}", number + 1));
            }
        }
    }
    assert!(bad.is_empty(), "lines beyond {COLUMNS} columns:\n{}", bad.join("\n"));
}

#[test]
fn no_text_cites_a_document_that_is_not_here() {
    let mut bad = Vec::new();
    for (path, text) in files("crates", ".rs").into_iter().chain(files("proto", ".proto")).chain(files("", ".md")) {
        if text.contains('§') || text.contains("BEHAVIOUR") {
            bad.push(path);
        }
    }
    assert!(bad.is_empty(), "cite an invariant by its name in ARCHITECTURE.md:\n{}", bad.join("\n"));
}

/// `docs/loss.md` names a test for each loss; a name without a test covers nothing.
#[test]
fn every_test_and_scenario_of_the_table_of_loss_is_there() {
    let (_, table) = files("docs", "loss.md").pop().expect("the document is there");
    let code: String = files("crates", ".rs").into_iter().map(|(_, text)| text).collect();
    let quoted = table.split('`').skip(1).step_by(2);
    let (mut missing, mut checked) = (Vec::new(), 0);
    for name in quoted {
        let scenario = name.rsplit('/').next().filter(|file| file.ends_with(".txt"));
        let test = name.rsplit("::").next().filter(|word| word.matches('_').count() > 2 && !word.contains(['/', ' ']));
        let is_there = match (scenario, test) {
            (Some(file), _) => root().join("tests/scenarios").join(file).exists(),
            (None, Some(test)) => code.contains(&format!("fn {test}(")),
            (None, None) => continue,
        };
        checked += 1;
        if !is_there {
            missing.push(name);
        }
    }
    assert!(checked > 40, "the table was not understood: {checked}");
    assert!(missing.is_empty(), "named in docs/loss.md, and not there:\n{}", missing.join("\n"));
}
