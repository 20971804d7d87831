//! The protobuf of the messages. Numbers are never reused; version 1 is in use from the first
//! release on.

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ToRunner {
    #[prost(oneof = "to_runner::Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    pub(super) body: Option<to_runner::Body>,
}

pub(super) mod to_runner {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in super::super) enum Body {
        #[prost(message, tag = "1")]
        Hello(super::AgentHello),
        #[prost(message, tag = "2")]
        Renew(super::Renewal),
        #[prost(message, tag = "3")]
        Accept(super::Accepted),
        #[prost(message, boxed, tag = "4")]
        Start(Box<super::Start>),
        #[prost(message, tag = "5")]
        Abandon(super::Abandon),
        #[prost(message, tag = "6")]
        Kill(super::Kill),
        #[prost(message, tag = "7")]
        Closed(super::Closed),
        #[prost(uint64, tag = "8")]
        Inventory(u64),
        #[prost(uint64, tag = "9")]
        Ping(u64),
        #[prost(uint64, tag = "10")]
        ShutdownNanos(u64),
        #[prost(message, tag = "11")]
        Thaw(super::Attempt),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ToAgent {
    #[prost(oneof = "to_agent::Body", tags = "1, 2, 3, 4, 5")]
    pub(super) body: Option<to_agent::Body>,
}

pub(super) mod to_agent {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in super::super) enum Body {
        #[prost(message, tag = "1")]
        Hello(super::RunnerHello),
        #[prost(string, tag = "2")]
        Refused(String),
        #[prost(message, tag = "3")]
        Report(super::Report),
        #[prost(message, tag = "4")]
        Inventory(super::Inventory),
        #[prost(uint64, tag = "5")]
        Pong(u64),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AgentHello {
    #[prost(uint32, tag = "1")]
    pub(super) version_min: u32,
    #[prost(uint32, tag = "2")]
    pub(super) version_max: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Renewal {
    #[prost(fixed64, tag = "1")]
    pub(super) sent_nanos: u64,
    #[prost(fixed64, tag = "2")]
    pub(super) sent_wall_millis: u64,
    #[prost(uint64, tag = "3")]
    pub(super) lease_nanos: u64,
}

/// Also in the journal.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Attempt {
    #[prost(bool, tag = "1")]
    pub(crate) executor: bool,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) uid: Vec<u8>,
    #[prost(uint32, tag = "3")]
    pub(crate) number: u32,
}

/// Also in the journal.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Accepted {
    #[prost(message, optional, tag = "1")]
    pub(crate) attempt: Option<Attempt>,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
    #[prost(bool, tag = "3")]
    pub(crate) leased: bool,
    #[prost(message, optional, tag = "4")]
    pub(crate) resources: Option<Resources>,
    #[prost(uint64, tag = "5")]
    pub(crate) kill_grace_nanos: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Resources {
    #[prost(uint32, tag = "1")]
    pub(crate) cores: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) memory: u64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) custom: Vec<Custom>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Custom {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) addresses: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Start {
    #[prost(message, optional, tag = "1")]
    pub(super) accepted: Option<Accepted>,
    #[prost(string, tag = "2")]
    pub(super) program: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) args: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) env: Vec<Variable>,
    #[prost(string, tag = "5")]
    pub(super) work_dir: String,
    #[prost(string, tag = "6")]
    pub(super) stdout: String,
    #[prost(string, tag = "7")]
    pub(super) stderr: String,
    #[prost(uint64, optional, tag = "8")]
    pub(super) memory: Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    pub(super) cpu_millis: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    pub(super) pids: Option<u64>,
    /// Since version 3.
    #[prost(message, optional, tag = "11")]
    pub(super) credentials: Option<ProcessCredentials>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProcessCredentials {
    #[prost(uint32, tag = "1")]
    pub(super) uid: u32,
    #[prost(uint32, tag = "2")]
    pub(super) gid: u32,
    #[prost(uint32, repeated, tag = "3")]
    pub(super) groups: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Variable {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Abandon {
    #[prost(message, optional, tag = "1")]
    pub(super) attempt: Option<Attempt>,
    #[prost(message, optional, tag = "2")]
    pub(super) outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Kill {
    #[prost(message, optional, tag = "1")]
    pub(super) attempt: Option<Attempt>,
    #[prost(bool, tag = "2")]
    pub(super) at_once: bool,
    #[prost(uint64, optional, tag = "3")]
    pub(super) grace_nanos: Option<u64>,
    /// A word of `KilledBy`, or `log-limit`.
    #[prost(string, tag = "4")]
    pub(super) reason: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Closed {
    #[prost(message, optional, tag = "1")]
    pub(super) attempt: Option<Attempt>,
    #[prost(uint64, tag = "2")]
    pub(super) sequence: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RunnerHello {
    #[prost(uint32, tag = "1")]
    pub(super) version: u32,
    #[prost(uint64, tag = "2")]
    pub(super) incarnation_counter: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) incarnation_random: u64,
    #[prost(string, tag = "4")]
    pub(super) boot_id: String,
    #[prost(message, optional, tag = "5")]
    pub(super) capabilities: Option<Capabilities>,
    #[prost(uint32, tag = "6")]
    pub(super) pid: u32,
    #[prost(message, optional, tag = "7")]
    pub(super) renewal: Option<Renewal>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Capabilities {
    #[prost(bool, tag = "1")]
    pub(super) tree: bool,
    #[prost(bool, tag = "2")]
    pub(super) memory_limit: bool,
    #[prost(bool, tag = "3")]
    pub(super) cpu_limit: bool,
    #[prost(bool, tag = "4")]
    pub(super) pids_limit: bool,
    #[prost(bool, tag = "5")]
    pub(super) freezer: bool,
    #[prost(bool, tag = "6")]
    pub(super) dies_with_runner: bool,
    #[prost(string, tag = "7")]
    pub(super) tree_method: String,
    /// Older runners leave it out: for them it equals `tree`.
    #[prost(bool, optional, tag = "8")]
    pub(super) earlier_ended: Option<bool>,
    /// Since version 3.
    #[prost(bool, tag = "9")]
    pub(super) own_users: bool,
    /// Runners that make no private directories leave it out.
    #[prost(bool, tag = "10")]
    pub(super) private_tmp: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Report {
    #[prost(message, optional, tag = "1")]
    pub(super) attempt: Option<Attempt>,
    #[prost(uint64, tag = "2")]
    pub(super) sequence: u64,
    #[prost(oneof = "report::State", tags = "3, 4, 5, 6, 7")]
    pub(super) state: Option<report::State>,
    #[prost(uint32, optional, tag = "8")]
    pub(super) pid: Option<u32>,
    #[prost(uint64, optional, tag = "9")]
    pub(super) started_millis: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    pub(super) ended_millis: Option<u64>,
    #[prost(message, optional, tag = "11")]
    pub(super) resources: Option<Resources>,
    #[prost(string, tag = "12")]
    pub(super) id: String,
}

pub(super) mod report {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(in super::super) enum State {
        #[prost(message, tag = "3")]
        Accepted(super::Empty),
        #[prost(message, tag = "4")]
        Running(super::Empty),
        #[prost(message, tag = "5")]
        Killing(super::Killing),
        #[prost(message, tag = "6")]
        Frozen(super::Empty),
        #[prost(message, tag = "7")]
        Ended(super::Outcome),
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Killing {
    #[prost(string, optional, tag = "1")]
    pub(super) wait_channel: Option<String>,
}

/// Also in the journal.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Outcome {
    #[prost(oneof = "outcome::Exit", tags = "1, 2")]
    pub(crate) exit: Option<outcome::Exit>,
    #[prost(bool, tag = "3")]
    pub(crate) out_of_memory: bool,
    /// 1 program, 2 platform, 3 user.
    #[prost(uint32, tag = "4")]
    pub(crate) fault: u32,
    /// The stable word.
    #[prost(string, tag = "5")]
    pub(crate) reason: String,
    #[prost(string, tag = "6")]
    pub(crate) message: String,
}

pub(crate) mod outcome {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(crate) enum Exit {
        #[prost(sint32, tag = "1")]
        Code(i32),
        #[prost(sint32, tag = "2")]
        Signal(i32),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Inventory {
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) reports: Vec<Report>,
    #[prost(bool, tag = "3")]
    pub(super) last: bool,
}
