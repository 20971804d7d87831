//! Specs from `key=value` words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use muster_core::TokenSpec;
use muster_types::{
    AllocatedResources, ApplicationSpec, Command, DriverSpec, ExecutorProfile, ExecutorTemplate, Principal, ProfileId,
    Resources, RestartCondition, RestartPolicy, SessionLostPolicy, TokenDigest, TokenId, WorkerLostPolicy,
};

/// `key=value` words of a line, and the words without `=`.
#[derive(Debug, Default, Clone)]
pub struct Words {
    pub plain: Vec<String>,
    pub keys: BTreeMap<String, String>,
}

impl Words {
    pub fn parse(line: &str) -> Words {
        let mut words = Words::default();
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => drop(words.keys.insert(key.to_owned(), value.to_owned())),
                None => words.plain.push(word.to_owned()),
            }
        }
        words
    }

    pub fn number(&self, key: &str, default: u64) -> u64 {
        self.keys.get(key).map_or(default, |value| size(value))
    }

    pub fn length(&self, key: &str, default: u64) -> Duration {
        self.keys.get(key).map_or(Duration::from_secs(default), |value| length(value))
    }

    pub fn has(&self, word: &str) -> bool {
        self.plain.iter().any(|plain| plain == word)
    }
}

/// `4G`, `512M`, `7`.
pub fn size(text: &str) -> u64 {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'G') => (&text[..text.len() - 1], 30),
        Some(b'M') => (&text[..text.len() - 1], 20),
        _ => (text, 0),
    };
    digits.parse::<u64>().unwrap() << shift
}

/// `5s`, `250ms`, `2h`.
pub fn length(text: &str) -> Duration {
    if let Some(text) = text.strip_suffix("ms") {
        return Duration::from_millis(text.parse().unwrap());
    }
    match text.as_bytes().last() {
        Some(b'h') => Duration::from_secs(3600 * text[..text.len() - 1].parse::<u64>().unwrap()),
        Some(b's') => Duration::from_secs(text[..text.len() - 1].parse().unwrap()),
        _ => panic!("not a length: {text}"),
    }
}

pub fn restart(words: &Words) -> RestartPolicy {
    RestartPolicy {
        condition: match words.keys.get("restart").map(String::as_str) {
            None | Some("never") => RestartCondition::Never,
            Some("on-failure") => RestartCondition::OnFailure,
            Some("always") => RestartCondition::Always,
            Some(other) => panic!("not a restart condition: {other}"),
        },
        max_attempts: u32::try_from(words.number("max-attempts", 10)).unwrap(),
        ..RestartPolicy::default()
    }
}

pub fn resources(words: &Words) -> Resources {
    let mut resources =
        Resources::new(u32::try_from(words.number("cores", 1)).unwrap(), words.number("memory", 512 << 20));
    if words.keys.contains_key("gpu") {
        resources.custom.insert(Arc::from("gpu"), u32::try_from(words.number("gpu", 0)).unwrap());
    }
    resources
}

pub fn total(words: &Words) -> AllocatedResources {
    let mut total = AllocatedResources {
        cores: u32::try_from(words.number("cores", 4)).unwrap(),
        memory: words.number("memory", 4 << 30),
        addresses: BTreeMap::new(),
    };
    let gpus = words.number("gpu", 0);
    if gpus > 0 {
        total.addresses.insert(Arc::from("gpu"), (0..gpus).map(|i| Arc::from(format!("g{i}"))).collect());
    }
    total
}

pub fn driver(words: &Words) -> Arc<DriverSpec> {
    let restart = restart(words);
    Arc::new(DriverSpec {
        command: Arc::new(Command {
            program: words.keys.get("program").cloned().unwrap_or_else(|| "/bin/true".to_owned()),
            ..Command::default()
        }),
        resources: resources(words),
        artifacts: Arc::from([]),
        on_worker_lost: match words.keys.get("lost").map(String::as_str) {
            None => WorkerLostPolicy::default_for(restart.condition),
            Some("rerun") => WorkerLostPolicy::Rerun,
            Some("wait") => WorkerLostPolicy::Wait,
            Some(other) => panic!("not a loss policy: {other}"),
        },
        restart,
        kill_grace: Duration::from_secs(10),
        labels: BTreeMap::new(),
        worker_selector: BTreeMap::new(),
        log_limit: 64 << 20,
        run_as: None,
    })
}

pub fn application(words: &Words) -> Arc<ApplicationSpec> {
    let profile = profile(0, words);
    Arc::new(ApplicationSpec {
        name: "job".to_owned(),
        user: "ann".to_owned(),
        labels: BTreeMap::new(),
        ui_address: String::new(),
        profiles: BTreeMap::from([(ProfileId(0), profile)]),
        template: Arc::new(ExecutorTemplate {
            command: Arc::new(Command { program: "/bin/executor".to_owned(), ..Command::default() }),
            artifacts: Arc::from([]),
            resources_component: Arc::from("executor"),
            kill_grace: Duration::from_secs(10),
            log_limit: 64 << 20,
        }),
        max_cores: u32::try_from(words.number("max-cores", 0)).unwrap(),
        session_grace: words.length("grace", 60),
        on_session_lost: if words.has("keep") { SessionLostPolicy::Keep } else { SessionLostPolicy::End },
        executor_restart: restart(words),
        worker_selector: BTreeMap::new(),
    })
}

pub fn profile(id: u32, words: &Words) -> ExecutorProfile {
    ExecutorProfile {
        id: ProfileId(id),
        resources: resources(words),
        target: u32::try_from(words.number("target", 1)).unwrap(),
        variables: BTreeMap::new(),
        template: None,
    }
}

/// `7` is the id `000000000007`.
pub fn token_id(number: &str) -> TokenId {
    format!("{number:0>12}").parse().unwrap()
}

/// `user/ann` or `group/ops`.
pub fn principal(text: &str) -> Principal {
    match text.split_once('/').unwrap() {
        ("user", name) => Principal::User(name.to_owned()),
        (_, name) => Principal::Group(name.to_owned()),
    }
}

/// `name=lab for=worker ttl=1h secret=7`.
pub fn token(words: &Words, number: &str) -> TokenSpec {
    let grant = words.keys.get("for").map_or("worker", String::as_str);
    TokenSpec {
        id: token_id(number),
        name: words.keys.get("name").map_or("lab", String::as_str).to_owned(),
        digest: TokenDigest::new([u8::try_from(words.number("secret", 1)).unwrap(); 32]),
        grant: grant.parse().unwrap(),
        ttl: words.keys.get("ttl").map(|text| length(text)),
        parent: None,
    }
}
