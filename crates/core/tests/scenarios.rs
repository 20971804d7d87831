//! Scenarios as text. Each file in `tests/scenarios/` is a list of commands; the effects of each
//! are recorded below it, indented. `UPDATE=1 cargo test -p muster-core --test scenarios` records
//! them anew; a person then judges the difference.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; its output is for who reads it"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use muster_core::invariants::Fold;
use muster_core::{CallId, Config, Group, Input, LinkId, ProfileTarget, Request, SessionNumber};
use muster_types::{ApplicationUid, ExecutorId, KilledBy, ProfileId, Report, RequestId, Session};

use support::specs::{self, Words};
use support::words::{self, worker_uid};
use support::{text, world::World};

struct Scenario {
    world: World,
    /// The store at the last `save`.
    saved: Fold,
    /// For each worker, the words of its registration and its newest session.
    workers: BTreeMap<String, (Words, u64)>,
    sessions: BTreeMap<ApplicationUid, u64>,
    sequence: u64,
    calls: u64,
}

impl Scenario {
    fn new() -> Scenario {
        Scenario {
            world: World::new(Config::default()),
            saved: Fold::default(),
            workers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            sequence: 0,
            calls: 0,
        }
    }

    fn run(&mut self, line: &str) -> Vec<String> {
        let words = Words::parse(line);
        let groups = self.carry_out(&words);
        text::groups(&groups, &self.world.ledger.fold)
    }

    fn carry_out(&mut self, words: &Words) -> Vec<Group> {
        let name = words.plain.get(1).cloned().unwrap_or_default();
        match words.plain[0].as_str() {
            "config" => self.configure(words),
            "worker" => {
                let mut groups = self.hello(&name, words);
                groups.extend(self.inventory(&name, &[], true));
                groups
            }
            "hello" => self.hello(&name, words),
            "inventory" => self.inventory(&name, &words.plain[2..], true),
            "inventory-part" => self.inventory(&name, &words.plain[2..], false),
            "report" => {
                let reports = self.reports(&words.plain[2..]);
                let link = self.link(&name, words);
                self.world.step(Input::Reports(link, reports))
            }
            "break" => {
                let link = self.link(&name, words);
                self.world.step(Input::LinkBroken(link))
            }
            "expire" => {
                let workers = words.plain[1..].iter().map(|name| worker_uid(name)).collect();
                self.world.step(Input::Expired(workers))
            }
            "tick" => {
                self.world.pass(specs::length(&name));
                self.world.step(Input::Tick)
            }
            "crash" => {
                self.sessions.clear();
                self.world.crash()
            }
            "save" => {
                self.saved = self.world.ledger.fold.clone();
                Vec::new()
            }
            "restore" => {
                self.sessions.clear();
                self.world.restore(self.saved.clone())
            }
            "break-session" => {
                let uid = self.application(&name);
                let session = SessionNumber(words.number("session", self.sessions[&uid]));
                self.world.step(Input::SessionBroken(uid, session))
            }
            _ => {
                let request = self.request(words, name);
                self.call(request)
            }
        }
    }

    fn configure(&mut self, words: &Words) -> Vec<Group> {
        let config = &mut self.world.config;
        config.kept_records = usize::try_from(words.number("kept", 100_000)).unwrap();
        config.kept_executors = usize::try_from(words.number("kept-executors", 1_000)).unwrap();
        config.max_launch_failures = u32::try_from(words.number("max-launch-failures", 10)).unwrap();
        config.policy.max_drivers = words.keys.get("max-drivers").map(|text| text.parse().unwrap());
        self.world.generation = words.number("generation", 1);
        self.world.crash()
    }

    fn request(&mut self, words: &Words, name: String) -> Request {
        let request = words.keys.get("request").map(|id| RequestId::new(id.as_str()));
        let token = words.keys.get("token").map(|attempt| self.token(attempt));
        let numbers = || words.plain[2..].iter().filter_map(|word| word.parse().ok().map(ExecutorId)).collect();
        match words.plain[0].as_str() {
            "submit" => Request::SubmitDriver {
                id: (!name.is_empty()).then(|| name.as_str().into()),
                spec: specs::driver(words),
                request,
                owner: words.keys.get("by").map(|user| user.as_str().into()),
                trace: None,
                validate_only: words.has("validate"),
            },
            "kill" => Request::KillDriver {
                driver: name,
                request,
                version: words.keys.get("version").map(|text| text.parse().unwrap()),
                by: KilledBy::Operator,
            },
            "explain" => Request::ExplainDriver { driver: name },
            "app" => Request::RegisterApplication {
                id: Some(name.as_str().into()),
                spec: specs::application(words),
                owner: words.keys.get("by").map(|user| user.as_str().into()),
                trace: None,
                request,
                token,
            },
            "session" => Request::OpenSession { application: name, token },
            "explain-app" => Request::ExplainApplication { application: name },
            "targets" => Request::RequestExecutors {
                application: name,
                token,
                sequence: words.number("sequence", 1),
                targets: targets(words),
                excluded_hosts: words.keys.get("exclude").cloned().into_iter().collect(),
                request,
            },
            "kill-executors" => Request::KillExecutors {
                application: name,
                token,
                executors: numbers(),
                replace: words.has("replace"),
                request,
            },
            "unregister" => Request::Unregister {
                application: name,
                token,
                success: !words.has("failed"),
                message: "done".to_owned(),
                grace: words.length("grace", 0),
                request,
            },
            "kill-app" => Request::KillApplication { application: name, request },
            "drain" => {
                let deadline = words.keys.get("deadline").map(|text| specs::length(text));
                Request::Drain { worker: name, request, deadline }
            }
            "undrain" => Request::Undrain { worker: name, request },
            "forget" => Request::Forget { worker: name, request },
            "revoke" => Request::Revoke { worker: name, request },
            "forget-attempt" => {
                let attempt = words::attempt(&words.plain[2], &self.world.ledger.fold);
                Request::ForgetAttempt { worker: name, attempt, request }
            }
            "end-quarantined" => {
                let attempt = words::attempt(&words.plain[2], &self.world.ledger.fold);
                Request::EndQuarantined { worker: name, attempt, request }
            }
            "token" => Request::CreateToken { token: specs::token(words, &name), by: "ann".to_owned() },
            "revoke-token" => Request::RevokeToken { token: specs::token_id(&name), by: "ann".to_owned() },
            "bind" | "unbind" => Request::BindRole {
                principal: specs::principal(&name),
                role: words.keys.get("role").map(|role| role.parse().unwrap()),
                by: "ann".to_owned(),
            },
            other => panic!("no such command: {other}"),
        }
    }

    fn call(&mut self, request: Request) -> Vec<Group> {
        self.calls += 1;
        let opens = matches!(request, Request::OpenSession { .. });
        let groups = self.world.step(Input::Call(CallId(self.calls), request));
        if opens {
            self.note_sessions(&groups);
        }
        groups
    }

    fn note_sessions(&mut self, groups: &[Group]) {
        for effect in groups.iter().flat_map(|group| &group.effects) {
            if let muster_core::Effect::Reply(_, Ok(muster_core::Answer::Session(uid, session, _))) = effect {
                self.sessions.insert(*uid, session.0);
            }
        }
    }

    fn hello(&mut self, name: &str, words: &Words) -> Vec<Group> {
        let (known, session) = self.workers.get(name).cloned().unwrap_or_default();
        let mut said = known;
        said.keys.extend(words.keys.clone());
        let once = ["session", "machine", "name", "cluster"];
        let session = words.keys.get("session").map_or(session + 1, |text| text.parse().unwrap());
        let hello = words::hello(name, session, &said);
        said.keys.retain(|key, _| !once.contains(&key.as_str()));
        self.workers.insert(name.to_owned(), (said, session));
        let link = LinkId { worker: worker_uid(name), session: Session(session) };
        self.world.step(Input::Hello(link, Box::new(hello)))
    }

    fn inventory(&mut self, name: &str, words: &[String], complete: bool) -> Vec<Group> {
        let reports = self.reports(words);
        let link = self.link(name, &Words::default());
        self.world.step(Input::Inventory(link, reports, complete))
    }

    fn link(&self, name: &str, words: &Words) -> LinkId {
        let newest = self.workers.get(name).map_or(1, |(_, session)| *session);
        LinkId { worker: worker_uid(name), session: Session(words.number("session", newest)) }
    }

    /// Reads pairs of words: an attempt and its state.
    fn reports(&mut self, words: &[String]) -> Vec<Report> {
        let fold = &self.world.ledger.fold;
        let mut reports = Vec::new();
        for pair in words.chunks(2) {
            self.sequence += 1;
            let key = words::attempt(&pair[0], fold);
            reports.push(words::report(key, words::state(&pair[1]), self.sequence, self.world.now.wall, fold));
        }
        reports
    }

    fn token(&self, attempt: &str) -> String {
        let (name, number) = attempt.split_once('/').unwrap();
        let drivers = &self.world.ledger.fold.drivers;
        let record = drivers.values().find(|record| record.id.as_str() == name).unwrap();
        let number: u32 = number.parse().unwrap();
        record.attempts.iter().find(|attempt| attempt.number.0 == number).unwrap().token.expose().to_owned()
    }

    fn application(&self, name: &str) -> ApplicationUid {
        let applications = &self.world.ledger.fold.applications;
        applications.values().find(|record| record.id.as_str() == name).unwrap().uid
    }
}

/// `0=3` sets a target; `new.1=2` adds a profile.
fn targets(words: &Words) -> Vec<ProfileTarget> {
    let mut targets = Vec::new();
    for (key, value) in &words.keys {
        let (number, is_new) = key.strip_prefix("new.").map_or((key.as_str(), false), |number| (number, true));
        let Ok(profile) = number.parse::<u32>() else { continue };
        targets.push(ProfileTarget {
            profile: ProfileId(profile),
            target: value.parse().unwrap(),
            new_profile: is_new.then(|| specs::profile(profile, words)),
            preferred_hosts: BTreeMap::new(),
        });
    }
    targets
}

const INDENT: &str = "    ";

/// The commands and comments of a file, with the effects recorded anew.
fn play(recorded: &str) -> String {
    let mut scenario = Scenario::new();
    let mut played = String::new();
    for line in recorded.lines().filter(|line| !line.starts_with(INDENT)) {
        played.push_str(line);
        played.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        println!("{line}");
        for followed in scenario.run(line) {
            println!("    {followed}");
            played.push_str(INDENT);
            played.push_str(&followed);
            played.push('\n');
        }
    }
    played
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "txt")).collect();
    files.sort();
    files
}

#[test]
fn every_story_goes_as_recorded() {
    let files = files();
    assert!(files.len() >= 15, "the stories are gone");
    let mut differing = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        println!("{name}");
        let recorded = fs::read_to_string(&path).unwrap();
        let played = play(&recorded);
        if played == recorded {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, played).unwrap();
        } else {
            let line = played.lines().zip(recorded.lines()).position(|(new, old)| new != old);
            let at = line.unwrap_or_else(|| played.lines().count().min(recorded.lines().count()));
            let show = |text: &str| text.lines().nth(at).unwrap_or("(the end)").to_owned();
            differing.push(format!("{name}:{}: recorded {:?}, now {:?}", at + 1, show(&recorded), show(&played)));
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
fn a_worker_that_is_recorded_under_a_name_like_a_uid_comes_back() {
    let mut scenario = Scenario::new();
    scenario.run("worker w1");
    let name = "0123456789abcdef0123456789abcdef";
    let record = scenario.world.ledger.fold.workers.get_mut(&worker_uid("w1")).unwrap();
    std::sync::Arc::make_mut(record).name = name.into();
    scenario.world.crash();
    let effects = scenario.run(&format!("hello w1 name={name} session=2"));
    assert!(effects.iter().any(|effect| effect.contains("welcome w1.2")), "{effects:?}");
    let effects = scenario.run(&format!("hello w2 name={name}"));
    assert!(effects.iter().any(|effect| effect.contains("refuse w2.1 NAME_IS_UID")), "{effects:?}");
}

#[test]
fn a_changed_record_is_noticed() {
    let story = "submit d1\n";
    let played = play(story);
    assert_ne!(played, story);
    assert_eq!(play(&played), played);
}
