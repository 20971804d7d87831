//! Clients: they submit, ask again until they are answered (and sometimes after that), kill, and
//! act for applications.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_core::{Answer, ProfileTarget, Rejection, Request};
use muster_types::{
    ApplicationSpec, ApplicationUid, Command, Commit, DriverSpec, DriverUid, ExecutorId, ExecutorProfile,
    ExecutorTemplate, KilledBy, ProfileId, RequestId, Resources, RestartCondition, RestartPolicy, SessionLostPolicy,
    WorkerLostPolicy, WorkerUid,
};

use super::World;
use super::event::{Event, Reply};
use super::network::Node;

/// Drivers of one run: enough to fill every worker and have some wait.
const DRIVERS: usize = 40;
/// A call that is not answered in this time is made again, elsewhere.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a client wants.
#[derive(Debug, Clone)]
pub(super) struct Intent {
    pub(super) request: Request,
    pub(super) id: Option<RequestId>,
    pub(super) answered: bool,
    pub(super) call: Option<u64>,
    pub(super) driver: Option<DriverUid>,
    /// How often it was asked again after its answer.
    again: u32,
}

#[derive(Debug, Default)]
pub(super) struct Clients {
    pub(super) intents: Vec<Intent>,
    /// Calls that wait, and the request that each is for.
    calls: BTreeMap<u64, usize>,
    next_call: u64,
    next_request: u64,
    /// Workers that will never come back.
    pub(super) gone: BTreeSet<WorkerUid>,
    pub(super) applications: BTreeMap<ApplicationUid, Option<String>>,
    pub(super) sequence: u64,
    /// The master that is asked most often.
    pub(super) leader: usize,
    /// The newest event that the watcher has seen.
    pub(super) seen: Commit,
}

impl World {
    pub(super) fn ask(&mut self) {
        let pause = self.plan.ask_every.mul_f64(self.rng.between(100, 1900) as f64 / 1000.0);
        self.after(pause, Event::Ask);
        if self.calm {
            return self.retry();
        }
        match self.rng.roll(20) {
            0..=5 => self.submit(),
            6..=8 => self.retry(),
            9 => self.ask_again(),
            10 | 11 => self.kill_some(),
            12 | 13 => self.register(),
            14 => self.open_session(),
            15 => self.set_targets(),
            16 => self.change_executors(),
            17 => self.end_application(),
            _ => self.watch(),
        }
    }

    fn new_id(&mut self) -> RequestId {
        self.clients.next_request += 1;
        RequestId::new(format!("request-{}", self.clients.next_request))
    }

    fn intent(&mut self, request: Request, id: Option<RequestId>, driver: Option<DriverUid>) {
        self.clients.intents.push(Intent { request, id, answered: false, call: None, driver, again: 0 });
        self.make_call(self.clients.intents.len() - 1);
    }

    fn make_call(&mut self, index: usize) {
        self.clients.next_call += 1;
        let call = self.clients.next_call;
        let master = if self.rng.chance(700) { self.clients.leader } else { self.rng.roll(self.masters.len()) };
        let intent = &mut self.clients.intents[index];
        intent.call = Some(call);
        let request = Box::new(intent.request.clone());
        self.clients.calls.insert(call, index);
        self.after(PATIENCE, Event::GaveUp { call });
        let latency = self.latency();
        if self.network.blocked(Node::Client, Node::Master(master), self.now).is_some() {
            return;
        }
        self.after(latency, Event::Called { master, call, request });
    }

    fn submit(&mut self) {
        if self.clients.intents.iter().filter(|intent| matches!(intent.request, Request::SubmitDriver { .. })).count()
            >= DRIVERS
        {
            return self.retry();
        }
        let id = self.new_id();
        let spec = Arc::new(self.driver_spec());
        let request = Some(id.clone());
        self.intent(
            Request::SubmitDriver { id: None, spec, request, owner: None, trace: None, validate_only: false },
            Some(id),
            None,
        );
    }

    fn driver_spec(&mut self) -> DriverSpec {
        use RestartCondition::{Always, Never, OnFailure};
        let condition = [Never, Never, OnFailure, Always][self.rng.roll(4)];
        let mut resources = Resources::new(1 + u32::from(self.rng.chance(200)), 512 << 20);
        if self.rng.chance(250) {
            resources.custom.insert(Arc::from("gpu"), 1);
        }
        DriverSpec {
            command: Arc::new(Command { program: "/bin/true".to_owned(), ..Command::default() }),
            resources,
            artifacts: Arc::from([]),
            restart: RestartPolicy {
                condition,
                max_attempts: 3,
                backoff_max: Duration::from_secs(8),
                ..RestartPolicy::default()
            },
            on_worker_lost: if self.rng.chance(650) { WorkerLostPolicy::Rerun } else { WorkerLostPolicy::Wait },
            kill_grace: Duration::from_millis([0, 500, 3_000][self.rng.roll(3)]),
            labels: BTreeMap::new(),
            worker_selector: BTreeMap::new(),
            log_limit: 1 << 20,
            run_as: None,
        }
    }

    /// Makes the calls again that are neither answered nor under way, a few at a time.
    pub(super) fn retry(&mut self) {
        let open: Vec<usize> = (0..self.clients.intents.len())
            .filter(|index| !self.clients.intents[*index].answered && self.clients.intents[*index].call.is_none())
            .collect();
        for index in open.into_iter().take(8) {
            self.count("call made again");
            self.make_call(index);
        }
    }

    /// A retry after the answer, by a library or a person.
    fn ask_again(&mut self) {
        let answered: Vec<usize> = (0..self.clients.intents.len())
            .filter(|index| {
                let intent = &self.clients.intents[*index];
                intent.answered && intent.call.is_none() && intent.again < 2 && intent.id.is_some()
            })
            .collect();
        if let Some(index) = self.rng.pick(&answered) {
            self.clients.intents[index].again += 1;
            self.make_call(index);
        }
    }

    fn acknowledged(&self) -> Vec<DriverUid> {
        self.recorder.acknowledged.values().copied().collect()
    }

    fn kill_some(&mut self) {
        let all = self.acknowledged();
        if let Some(uid) = self.rng.pick(&all) {
            self.kill_driver(uid);
        }
    }

    pub(super) fn kill_driver(&mut self, uid: DriverUid) {
        let asked = self
            .clients
            .intents
            .iter()
            .any(|w| w.driver == Some(uid) && matches!(w.request, Request::KillDriver { .. }));
        if asked {
            return;
        }
        let id = self.new_id();
        let request = Request::KillDriver {
            driver: uid.to_string(),
            request: Some(id.clone()),
            version: None,
            by: KilledBy::Operator,
        };
        self.intent(request, Some(id), Some(uid));
    }

    /// The token of an executing attempt, or none.
    fn token(&mut self) -> Option<String> {
        let tokens: Vec<String> = self
            .workers
            .iter()
            .flat_map(|machine| machine.trees.values())
            .filter(|tree| tree.executes())
            .filter_map(|tree| tree.token.clone())
            .collect();
        if tokens.is_empty() || self.rng.chance(300) { None } else { Some(tokens[self.rng.roll(tokens.len())].clone()) }
    }

    fn register(&mut self) {
        if self.clients.applications.len() >= 6 {
            return;
        }
        let token = self.token();
        let target = 1 + self.rng.roll(3) as u32;
        let spec = Arc::new(application_spec(target));
        let id = self.new_id();
        self.intent(
            Request::RegisterApplication { id: None, spec, owner: None, trace: None, request: Some(id.clone()), token },
            Some(id),
            None,
        );
    }

    fn application(&mut self) -> Option<(String, Option<String>)> {
        let all: Vec<ApplicationUid> = self.clients.applications.keys().copied().collect();
        let uid = self.rng.pick(&all)?;
        Some((uid.to_string(), self.clients.applications.get(&uid).cloned().flatten()))
    }

    fn open_session(&mut self) {
        if let Some((application, token)) = self.application() {
            self.intent(Request::OpenSession { application, token }, None, None);
        }
    }

    fn set_targets(&mut self) {
        let Some((application, token)) = self.application() else { return };
        self.clients.sequence += 1;
        let (sequence, target) = (self.clients.sequence, self.rng.roll(4) as u32);
        let targets =
            vec![ProfileTarget { profile: ProfileId(0), target, new_profile: None, preferred_hosts: BTreeMap::new() }];
        let excluded_hosts = BTreeSet::new();
        let request =
            Request::RequestExecutors { application, token, sequence, targets, excluded_hosts, request: None };
        self.intent(request, None, None);
    }

    fn change_executors(&mut self) {
        let Some((application, token)) = self.application() else { return };
        let executors = vec![ExecutorId(self.rng.roll(8) as u32)];
        let replace = self.rng.chance(500);
        self.intent(Request::KillExecutors { application, token, executors, replace, request: None }, None, None);
    }

    fn end_application(&mut self) {
        let Some((application, token)) = self.application() else { return };
        let request = if self.rng.chance(500) {
            Request::KillApplication { application, request: None }
        } else {
            let grace = Duration::from_secs(5);
            Request::Unregister { application, token, success: true, message: String::new(), grace, request: None }
        };
        self.intent(request, None, None);
    }

    pub(super) fn operator(&mut self, request: Request) {
        self.intent(request, None, None);
    }

    pub(super) fn give_up(&mut self, call: u64) {
        if let Some(index) = self.clients.calls.remove(&call) {
            self.count("call not answered");
            self.forget_call(index, call);
            self.clients.leader = self.rng.roll(self.masters.len());
        }
    }

    fn forget_call(&mut self, index: usize, call: u64) {
        let intent = &mut self.clients.intents[index];
        if intent.call == Some(call) {
            intent.call = None;
        }
        // A request that is not idempotent is not sent twice.
        if intent.id.is_none() && !self.calm {
            intent.answered = true;
        }
    }

    pub(super) fn take_reply(&mut self, call: u64, reply: Reply) {
        let Some(index) = self.clients.calls.remove(&call) else { return };
        self.forget_call(index, call);
        let answer = match reply {
            Reply::Core(answer) => *answer,
            Reply::NotLeader => {
                self.clients.leader = self.rng.roll(self.masters.len());
                return;
            }
        };
        let intent = self.clients.intents[index].clone();
        match (&intent.request, answer) {
            (Request::SubmitDriver { .. }, Ok(Answer::Driver(shown))) => {
                let Some(id) = &intent.id else { return };
                self.witness_acknowledged(id, &shown.record);
                self.clients.intents[index].driver = Some(shown.record.uid);
            }
            (Request::SubmitDriver { .. }, Err(rejection)) => {
                self.violate("a submission is taken", format!("{:?}: {rejection:?}", intent.id));
            }
            // A leader that was deposed and does not know it yet has not heard of the newest
            // drivers.
            (Request::KillDriver { .. }, Err(Rejection::NotFound { .. })) => return,
            (Request::KillDriver { .. }, Ok(Answer::Driver(shown))) => self.witness_kill_answered(&shown.record),
            (Request::RegisterApplication { token, .. }, Ok(Answer::Application(shown))) => {
                self.count("application registered");
                self.clients.applications.insert(shown.record.uid, token.clone());
            }
            // The worker's stream is not known to be broken yet, so the worker seems alive.
            (Request::Forget { .. }, Err(Rejection::WrongState { .. })) => return,
            _ => {}
        }
        self.clients.intents[index].answered = true;
    }

    /// A watcher asks a leader for all events after those that it has seen: without gap or repeat.
    fn watch(&mut self) {
        let master = self.clients.leader;
        if !self.stands(master) || self.masters[master].stopped_until > self.now {
            return;
        }
        let seen = self.clients.seen;
        let Some(active) = self.masters[master].active() else { return };
        if active.newest < seen {
            return;
        }
        let reported: Vec<Commit> = active.log.range(seen.next()..).map(|(commit, _)| *commit).collect();
        if let Some(newest) = reported.last().copied() {
            self.witness_events(seen, &reported);
            self.clients.seen = newest;
        }
    }
}

fn application_spec(target: u32) -> ApplicationSpec {
    let profile = ExecutorProfile {
        id: ProfileId(0),
        resources: Resources::new(1, 256 << 20),
        target,
        variables: BTreeMap::new(),
        template: None,
    };
    ApplicationSpec {
        name: "job".to_owned(),
        user: "ann".to_owned(),
        labels: BTreeMap::new(),
        ui_address: String::new(),
        profiles: BTreeMap::from([(ProfileId(0), profile)]),
        template: Arc::new(ExecutorTemplate {
            command: Arc::new(Command { program: "/bin/executor".to_owned(), ..Command::default() }),
            artifacts: Arc::from([]),
            resources_component: Arc::from("executor"),
            kill_grace: Duration::from_secs(1),
            log_limit: 1 << 20,
        }),
        max_cores: 0,
        session_grace: Duration::from_secs(60),
        on_session_lost: SessionLostPolicy::Keep,
        executor_restart: RestartPolicy { max_attempts: 50, ..RestartPolicy::default() },
        worker_selector: BTreeMap::new(),
    }
}
