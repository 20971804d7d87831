//! Records for tests: any that the types allow, made from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_types::*;

use crate::splitmix;

/// SplitMix64: the same seed makes the same records.
#[derive(Debug, Clone)]
pub struct Sample(u64);

impl Sample {
    /// From a seed.
    pub fn new(seed: u64) -> Sample {
        Sample(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(splitmix::STEP);
        splitmix::mix(self.0)
    }

    /// A number.
    pub fn number(&mut self) -> u64 {
        let bits = self.bits();
        // The ends of the range are more frequent than by chance.
        match bits >> 60 {
            0 => 0,
            1 => u64::MAX,
            _ => bits,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    fn small(&mut self) -> u32 {
        (self.number() >> 32) as u32
    }

    fn uid(&mut self) -> u128 {
        u128::from(self.bits()) << 64 | u128::from(self.bits())
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Sample) -> T) -> Option<T> {
        if self.flag() { Some(make(self)) } else { None }
    }

    fn some<T, C: FromIterator<T>>(&mut self, mut make: impl FnMut(&mut Sample) -> T) -> C {
        (0..self.below(3)).map(|_| make(self)).collect()
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn text(&mut self) -> String {
        let texts = ["", "a", "driver-1", "täxt with spaces\nand lines", "🙂", "\0"];
        let text = self.pick(&texts);
        if self.flag() { text.to_owned() } else { format!("{text}{:x}", self.number()) }
    }

    fn shared(&mut self) -> Arc<str> {
        self.text().into()
    }

    fn wall(&mut self) -> WallTime {
        WallTime(self.number())
    }

    fn length(&mut self) -> Duration {
        let nanos = self.pick(&[0, 1, 999_999_999]);
        Duration::new(self.number(), nanos)
    }

    fn texts(&mut self) -> BTreeMap<String, String> {
        self.some(|sample| (sample.text(), sample.text()))
    }

    fn request(&mut self) -> RequestId {
        RequestId::new(self.text())
    }

    fn worker_name(&mut self) -> WorkerName {
        WorkerName::new(self.text())
    }

    fn killed_by(&mut self) -> KilledBy {
        let all = ["application", "operator", "preemption", "drain", "lease", "fence"];
        KilledBy::from_word(self.pick(&all)).unwrap_or(KilledBy::Operator)
    }

    fn incarnation(&mut self) -> Incarnation {
        Incarnation { counter: self.number(), random: self.number() }
    }

    fn command(&mut self) -> Command {
        Command {
            program: self.text(),
            args: self.some(Sample::text),
            env: self.texts(),
            secret_env: self.some(|sample| (sample.text(), Secret::new(sample.text()))),
            work_dir: self.maybe(Sample::text),
        }
    }

    fn artifact(&mut self) -> Artifact {
        Artifact {
            uri: muster_types::ArtifactUri::new(self.text()),
            sha256: self.maybe(|sample| [sample.number() as u8; 32]),
            file_name: self.text(),
            executable: self.flag(),
        }
    }

    fn resources(&mut self) -> Resources {
        Resources {
            cores: self.small(),
            memory: self.number(),
            custom: self.some(|sample| (sample.shared(), sample.small())),
        }
    }

    fn allocated(&mut self) -> AllocatedResources {
        AllocatedResources {
            cores: self.small(),
            memory: self.number(),
            addresses: self.some(|sample| (sample.shared(), sample.some(Sample::shared))),
        }
    }

    fn restart(&mut self) -> RestartPolicy {
        let conditions = [RestartCondition::Never, RestartCondition::OnFailure, RestartCondition::Always];
        RestartPolicy {
            condition: self.pick(&conditions),
            max_attempts: self.small(),
            window: self.length(),
            backoff_initial: self.length(),
            backoff_max: self.length(),
            backoff_reset_after: self.length(),
        }
    }

    fn outcome(&mut self) -> Outcome {
        let code = self.small() as i32;
        Outcome {
            exit: self.pick(&[Exit::Code(code), Exit::Signal(code), Exit::Code(0), Exit::None]),
            out_of_memory: self.flag(),
            fault: self.pick(&[Fault::Program, Fault::Platform, Fault::User]),
            reason: self.pick(&Reason::ALL),
            message: self.text(),
        }
    }

    fn attempt(&mut self) -> AttemptRecord {
        AttemptRecord {
            number: AttemptNumber(self.small()),
            worker: WorkerUid(self.uid()),
            worker_name: self.worker_name(),
            incarnation: self.incarnation(),
            resources: self.allocated(),
            token: Secret::new(self.text()),
            assigned: self.wall(),
            started: self.maybe(Sample::wall),
            ended: self.maybe(Sample::wall),
            outcome: self.maybe(Sample::outcome),
            launch_timed_out: self.flag(),
        }
    }

    fn driver_spec(&mut self) -> DriverSpec {
        DriverSpec {
            command: Arc::new(self.command()),
            resources: self.resources(),
            artifacts: self.some(Sample::artifact),
            restart: self.restart(),
            on_worker_lost: self.pick(&[WorkerLostPolicy::Rerun, WorkerLostPolicy::Wait]),
            kill_grace: self.length(),
            labels: self.texts(),
            worker_selector: self.texts(),
            log_limit: self.number(),
            run_as: self.maybe(Sample::text),
        }
    }

    /// A driver.
    pub fn driver(&mut self) -> Arc<DriverRecord> {
        Arc::new(DriverRecord {
            uid: DriverUid(self.uid()),
            id: DriverId::new(self.text()),
            spec: Arc::new(self.driver_spec()),
            request: self.maybe(Sample::request),
            owner: self.maybe(Sample::shared),
            state: self.pick(&DriverState::ALL),
            created: self.wall(),
            updated: self.wall(),
            ended: self.maybe(Sample::wall),
            attempts: self.some(Sample::attempt),
            kill: self.maybe(|sample| KillRecord {
                by: sample.killed_by(),
                requests: sample.some(Sample::request),
                asked: sample.wall(),
            }),
            failures: self.some(Sample::wall),
            consecutive_failures: self.small(),
            generation: self.number(),
            version: self.number(),
            trace: self.maybe(Sample::trace).flatten(),
        })
    }

    fn trace(&mut self) -> Option<TraceContext> {
        TraceContext::new(self.uid(), self.number(), self.flag())
    }

    fn template(&mut self) -> Arc<ExecutorTemplate> {
        Arc::new(ExecutorTemplate {
            command: Arc::new(self.command()),
            artifacts: self.some(Sample::artifact),
            resources_component: self.shared(),
            kill_grace: self.length(),
            log_limit: self.number(),
        })
    }

    fn profiles(&mut self) -> BTreeMap<ProfileId, ExecutorProfile> {
        self.some(|sample| {
            let profile = ExecutorProfile {
                id: ProfileId(sample.small()),
                resources: sample.resources(),
                target: sample.small(),
                variables: sample.texts(),
                template: sample.maybe(Sample::template),
            };
            (profile.id, profile)
        })
    }

    fn application_spec(&mut self) -> ApplicationSpec {
        ApplicationSpec {
            name: self.text(),
            user: self.text(),
            labels: self.texts(),
            ui_address: self.text(),
            profiles: self.profiles(),
            template: self.template(),
            max_cores: self.small(),
            session_grace: self.length(),
            on_session_lost: self.pick(&[SessionLostPolicy::End, SessionLostPolicy::Keep]),
            executor_restart: self.restart(),
            worker_selector: self.texts(),
        }
    }

    /// An application.
    pub fn application(&mut self) -> Arc<ApplicationRecord> {
        Arc::new(ApplicationRecord {
            uid: ApplicationUid(self.uid()),
            id: ApplicationId::new(self.text()),
            spec: Arc::new(self.application_spec()),
            request: self.maybe(Sample::request),
            owner: self.maybe(Sample::shared),
            driver: self
                .maybe(|sample| (DriverUid(sample.uid()), DriverId::new(sample.text()), AttemptNumber(sample.small()))),
            state: self.pick(&ApplicationState::ALL),
            ending: self.maybe(|sample| EndingRecord {
                state: sample.pick(&ApplicationState::ALL),
                by: sample.text(),
                message: sample.text(),
            }),
            targets: self.some(|sample| (ProfileId(sample.small()), sample.small())),
            added_profiles: self.profiles(),
            preferred_hosts: self
                .some(|sample| (ProfileId(sample.small()), sample.some(|sample| (sample.text(), sample.small())))),
            excluded_hosts: self.some::<_, BTreeSet<_>>(Sample::text),
            sequence: self.number(),
            next_executor: ExecutorId(self.small()),
            next_executors_record: self.number(),
            failures: self.some(Sample::wall),
            requests: self.some(Sample::request),
            created: self.wall(),
            updated: self.wall(),
            ended: self.maybe(Sample::wall),
            generation: self.number(),
            version: self.number(),
            trace: self.maybe(Sample::trace).flatten(),
        })
    }

    fn executor(&mut self) -> ExecutorRecord {
        ExecutorRecord {
            id: ExecutorId(self.small()),
            profile: ProfileId(self.small()),
            worker: WorkerUid(self.uid()),
            worker_name: self.worker_name(),
            host: self.text(),
            incarnation: self.incarnation(),
            resources: self.allocated(),
            state: self.pick(&ExecutorState::ALL),
            killed_by: self.maybe(Sample::killed_by),
            created: self.wall(),
            started: self.maybe(Sample::wall),
            ended: self.maybe(Sample::wall),
            outcome: self.maybe(Sample::outcome),
            launch_timed_out: self.flag(),
        }
    }

    /// Executors of an application.
    pub fn executors(&mut self, application: ApplicationUid, sequence: u64) -> Arc<ExecutorsRecord> {
        Arc::new(ExecutorsRecord { application, sequence, executors: self.some(Sample::executor) })
    }

    /// A worker.
    pub fn worker(&mut self) -> Arc<WorkerRecord> {
        Arc::new(WorkerRecord {
            uid: WorkerUid(self.uid()),
            name: self.worker_name(),
            machine_id: self.text(),
            boot_id: self.text(),
            incarnation: self.incarnation(),
            total: self.allocated(),
            capabilities: Capabilities {
                tree: self.flag(),
                memory_limit: self.flag(),
                cpu_limit: self.flag(),
                pids_limit: self.flag(),
                freezer: self.flag(),
                dies_with_runner: self.flag(),
                earlier_ended: self.flag(),
                punch_hole: self.flag(),
                own_users: self.flag(),
                protected_runner: self.flag(),
                owner_users: self.flag(),
                private_tmp: self.flag(),
                tree_method: self.text(),
            },
            labels: self.texts(),
            variables: self.some::<_, BTreeSet<_>>(Sample::text),
            host: self.text(),
            address: self.text(),
            version: self.text(),
            drain: self.maybe(|sample| DrainRecord { asked: sample.wall(), deadline: sample.maybe(Sample::length) }),
            requests: self.some(Sample::request),
            lost: self.flag(),
            forgotten: self.flag(),
            key: self.maybe(|sample| muster_types::KeyDigest([sample.number() as u8; 32])),
            revoked: self.flag(),
            created: self.wall(),
        })
    }

    fn token_id(&mut self) -> TokenId {
        let [bytes @ .., _, _] = self.number().to_be_bytes();
        TokenId::from_bytes(bytes)
    }

    /// A token.
    pub fn token(&mut self) -> Arc<TokenRecord> {
        let roles = Role::ALL.map(TokenGrant::User);
        Arc::new(TokenRecord {
            id: self.token_id(),
            name: self.text(),
            digest: TokenDigest::new([self.number() as u8; 32]),
            grant: if self.flag() { self.pick(&roles) } else { TokenGrant::Worker },
            created: self.wall(),
            expires: self.maybe(Sample::wall),
            created_by: self.text(),
            revoked: self.maybe(Sample::wall),
            parent: self.maybe(Sample::token_id),
        })
    }

    fn principal(&mut self) -> Principal {
        if self.flag() { Principal::User(self.text()) } else { Principal::Group(self.text()) }
    }

    /// Roles of users and groups.
    pub fn roles(&mut self) -> Arc<RoleBindings> {
        let bindings = (0..3).map(|_| (self.principal(), self.pick(&Role::ALL)));
        Arc::new(RoleBindings(bindings.collect()))
    }

    fn subject(&mut self) -> Subject {
        match self.below(6) {
            0 => Subject::Driver {
                id: DriverId::new(self.text()),
                uid: DriverUid(self.uid()),
                state: self.pick(&DriverState::ALL),
                attempt: self.maybe(|sample| AttemptNumber(sample.small())),
                worker: self.maybe(Sample::worker_name),
                outcome: self.maybe(Sample::outcome),
            },
            1 => Subject::Application {
                id: ApplicationId::new(self.text()),
                uid: ApplicationUid(self.uid()),
                state: self.pick(&ApplicationState::ALL),
            },
            2 => Subject::Executor {
                application: ApplicationId::new(self.text()),
                uid: ApplicationUid(self.uid()),
                executor: ExecutorId(self.small()),
                profile: ProfileId(self.small()),
                state: self.pick(&ExecutorState::ALL),
                worker: self.worker_name(),
                outcome: self.maybe(Sample::outcome),
            },
            4 => {
                Subject::RoleBinding { principal: self.principal(), role: self.maybe(|sample| sample.pick(&Role::ALL)) }
            }
            3 => Subject::Token { id: self.token_id(), name: self.text(), revoked: self.flag() },
            _ => Subject::Worker {
                name: self.worker_name(),
                uid: WorkerUid(self.uid()),
                state: self.pick(&WorkerState::ALL),
                draining: self.flag(),
            },
        }
    }

    /// Events of a commit.
    pub fn events(&mut self, commit: Commit) -> Arc<EventsRecord> {
        let events =
            self.some(|sample| Event { time: sample.wall(), message: sample.text(), subject: sample.subject() });
        Arc::new(EventsRecord { commit, events })
    }
}
