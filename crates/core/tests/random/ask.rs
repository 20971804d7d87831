//! Random requests of clients.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_core::{CallId, Input, ProfileTarget, Request};
use muster_types::{ExecutorId, KilledBy, ProfileId, RequestId, Role};

use crate::Run;
use crate::support::specs::{self, Words};

impl Run {
    pub(crate) fn call(&mut self, request: Request) {
        self.calls += 1;
        self.note(format!("call {request:?}"));
        let survive = (self.rng.roll(30) == 0).then(|| self.rng.roll(3));
        self.batch(vec![Input::Call(CallId(self.calls), request)], survive);
        if survive.is_some() {
            self.crash();
        }
    }

    pub(crate) fn ask(&mut self) {
        let request = match self.rng.roll(13) {
            0..=3 => {
                let restart = ["never", "on-failure", "always"][self.rng.roll(3)];
                let lost = ["rerun", "wait"][self.rng.roll(2)];
                let gpu = if self.rng.roll(4) == 0 { " gpu=1" } else { "" };
                let words = Words::parse(&format!("restart={restart} lost={lost} max-attempts=2{gpu}"));
                let request = (self.rng.roll(2) == 0).then(|| RequestId::new(format!("r{}", self.rng.roll(40))));
                Request::SubmitDriver {
                    id: None,
                    spec: specs::driver(&words),
                    request,
                    owner: None,
                    trace: None,
                    validate_only: false,
                }
            }
            4 => Request::KillDriver { driver: self.a_driver(), request: None, version: None, by: KilledBy::Operator },
            5 => {
                let token = self.a_token();
                let words = Words::parse("target=2 grace=30s max-attempts=5");
                Request::RegisterApplication {
                    id: None,
                    spec: specs::application(&words),
                    owner: None,
                    trace: None,
                    request: None,
                    token,
                }
            }
            6 | 7 => {
                let (application, token) = self.an_application();
                Request::OpenSession { application, token }
            }
            8 => {
                let (application, token) = self.an_application();
                let target = u32::try_from(self.rng.roll(4)).unwrap();
                let targets = vec![ProfileTarget {
                    profile: ProfileId(0),
                    target,
                    new_profile: None,
                    preferred_hosts: BTreeMap::new(),
                }];
                let excluded_hosts = BTreeSet::new();
                Request::RequestExecutors {
                    application,
                    token,
                    sequence: self.calls,
                    targets,
                    excluded_hosts,
                    request: None,
                }
            }
            9 => {
                let (application, token) = self.an_application();
                let executors = (0..3).map(|_| ExecutorId(u32::try_from(self.rng.roll(12)).unwrap())).collect();
                let replace = self.rng.roll(2) == 0;
                Request::KillExecutors { application, token, executors, replace, request: None }
            }
            11 => {
                let number = self.rng.roll(6).to_string();
                let choice = self.rng.roll(4);
                if choice == 3 {
                    let principal = specs::principal(&format!("user/{number}"));
                    let role = [None, Some(Role::Viewer), Some(Role::Admin)][self.rng.roll(3)];
                    Request::BindRole { principal, role, by: "ann".to_owned() }
                } else if choice == 0 {
                    Request::RevokeToken { token: specs::token_id(&number), by: "ann".to_owned() }
                } else {
                    let ttl = ["", "ttl=1s", "ttl=2h"][self.rng.roll(3)];
                    let words = Words::parse(&format!("for=operator {ttl}"));
                    Request::CreateToken { token: specs::token(&words, &number), by: "ann".to_owned() }
                }
            }
            10 => {
                let (application, token) = self.an_application();
                let grace = Duration::from_secs(u64::try_from(self.rng.roll(2) * 10).unwrap());
                Request::Unregister { application, token, success: true, message: String::new(), grace, request: None }
            }
            _ => {
                let worker = format!("w{}", 1 + self.rng.roll(3));
                if self.rng.roll(2) == 0 {
                    Request::Drain { worker, request: None, deadline: Some(Duration::from_secs(20)) }
                } else {
                    Request::Undrain { worker, request: None }
                }
            }
        };
        self.call(request);
    }

    pub(crate) fn a_driver(&mut self) -> String {
        let all: Vec<_> = self.world.ledger.fold.drivers.keys().copied().collect();
        self.rng.pick(&all).map(ToString::to_string).unwrap_or_default()
    }

    pub(crate) fn a_token(&mut self) -> Option<String> {
        let drivers = self.world.ledger.fold.drivers.values();
        let tokens: Vec<String> = drivers
            .filter_map(|record| record.attempts.last())
            .filter(|a| a.outcome.is_none())
            .map(|a| a.token.expose().to_owned())
            .collect();
        if self.rng.roll(4) == 0 { None } else { self.rng.pick(&tokens).cloned() }
    }

    pub(crate) fn an_application(&mut self) -> (String, Option<String>) {
        let fold = &self.world.ledger.fold;
        let all: Vec<_> = fold.applications.keys().copied().collect();
        let Some(uid) = self.rng.pick(&all).copied() else { return (String::new(), None) };
        let owner = fold.applications[&uid].driver.as_ref();
        let token = owner.and_then(|(driver, _, number)| {
            let record = fold.drivers.get(driver)?;
            record.attempts.iter().find(|a| a.number == *number).map(|a| a.token.expose().to_owned())
        });
        (uid.to_string(), token)
    }
}
