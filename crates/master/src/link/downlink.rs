//! Messages to a worker.

use std::time::SystemTime;

use muster_core::HelloRefusal;
use muster_proto::{LeaderWelcome, v1};
use muster_traces::Traces;
use muster_types::{Acknowledgement, Epoch, Incarnation, Session, WorkerCommand, WorkerUid};
use tokio::sync::watch;
use v1::goodbye::Reason;
use v1::link_response::Message;

use crate::traced;

/// One message to a worker. The writer adds the epoch and the session to each.
#[derive(Debug)]
pub(crate) enum Downlink {
    /// The hello is taken.
    Welcome,
    /// Commands in order, and when they were released.
    Commands(Vec<WorkerCommand>, SystemTime),
    /// Reports that are durable.
    Acknowledge(Vec<Acknowledgement>),
}

/// The last message of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// This master goes away.
    Shutdown,
    /// The worker must say hello again, at once.
    SayHello,
    /// A newer stream of this worker was taken.
    Superseded,
    /// The hello or the link is refused, with a stable reason and a sentence.
    Refused(&'static str, String),
    /// Too many hellos at once.
    Busy,
    /// This master does not lead. Holds the leader's address, if it is known.
    NotLeader(Option<String>),
}

/// Sets the goodbye, which ends the link. The first one that is set stands.
pub(crate) fn say(goodbye: &watch::Sender<Option<Goodbye>>, last: Goodbye) {
    goodbye.send_if_modified(|set| {
        let first = set.is_none();
        set.get_or_insert(last);
        first
    });
}

impl Goodbye {
    /// The goodbye for a hello that the core refused.
    pub(crate) fn refused(refusal: HelloRefusal) -> Goodbye {
        let message = match refusal {
            HelloRefusal::NameTaken => "another live worker has this name; choose another with --name",
            HelloRefusal::NameIsUid => "32 hexadecimal digits are a uid, and no name; choose another with --name",
            HelloRefusal::OldIncarnation => "a newer runner of this worker is known",
            HelloRefusal::OldSession => "a newer session of this worker is known",
            HelloRefusal::ClonedState => "this state directory is in use on another machine or boot",
            HelloRefusal::WrongCluster => "this worker joined another cluster; use --rejoin to join this one",
            HelloRefusal::Forgotten => {
                "an operator declared this worker gone for ever; start it with an empty state directory"
            }
            HelloRefusal::Revoked => {
                "an operator revoked this worker's key; once nothing of it runs, start it with an empty state directory"
            }
            HelloRefusal::KeyMismatch => {
                "this worker's certificate is of another key than the one that is known for it: start it with its own \
                 state directory; if that is lost, `muster worker revoke` it, and start it with an empty one"
            }
        };
        Goodbye::Refused(refusal.as_str(), message.to_owned())
    }

    /// The goodbye of a master that does not lead, and so has no epoch.
    pub(crate) fn without_epoch(&self, session: Session) -> v1::LinkResponse {
        v1::LinkResponse { epoch: None, session: session.0, message: Some(Message::Goodbye(self.to_wire())) }
    }

    fn to_wire(&self) -> v1::Goodbye {
        let leader = match self {
            Goodbye::NotLeader(Some(leader)) => leader.clone(),
            _ => String::new(),
        };
        let (reason, refusal, message) = match self {
            Goodbye::Shutdown => (Reason::Shutdown, "", "this master goes away"),
            Goodbye::SayHello => (Reason::SayHello, "", "say hello anew"),
            Goodbye::Superseded => (Reason::Superseded, "", "a newer stream of this worker was taken"),
            Goodbye::Refused(word, message) => (Reason::Refused, *word, message.as_str()),
            Goodbye::Busy => (Reason::Busy, "", "too many workers say hello at once"),
            Goodbye::NotLeader(_) => (Reason::NotLeader, "", "this master does not lead"),
        };
        v1::Goodbye { reason: reason.into(), refusal: refusal.to_owned(), message: message.to_owned(), leader }
    }
}

/// The numbers of a link, which the writer puts on every message.
#[derive(Debug, Clone)]
pub(crate) struct MessageHeader {
    /// Not on the messages: whose they are.
    pub worker: WorkerUid,
    pub epoch: Epoch,
    pub session: Session,
    /// On commands only.
    pub incarnation: Incarnation,
}

impl MessageHeader {
    fn with_header(&self, message: Message) -> v1::LinkResponse {
        v1::LinkResponse { epoch: Some(self.epoch.into()), session: self.session.0, message: Some(message) }
    }

    pub(crate) fn message(&self, down: &Downlink, welcome: &LeaderWelcome, traces: Traces) -> v1::LinkResponse {
        self.with_header(match down {
            Downlink::Welcome => Message::Welcome(welcome.into()),
            Downlink::Commands(commands, released) => {
                let mut wire = v1::Commands::of(self.incarnation, commands);
                traced::launching(traces, self.worker, *released, commands, &mut wire);
                Message::Commands(wire)
            }
            Downlink::Acknowledge(reports) => Message::Acknowledgements(v1::Acknowledgements {
                reports: reports.iter().copied().map(Into::into).collect(),
            }),
        })
    }

    pub(crate) fn masters(&self, addresses: Vec<String>) -> v1::LinkResponse {
        self.with_header(Message::Masters(v1::Masters { addresses }))
    }

    /// The answer to a heartbeat.
    pub(crate) fn answer(&self, number: u64) -> v1::LinkResponse {
        self.with_header(Message::HeartbeatAnswer(v1::HeartbeatAnswer { number }))
    }

    pub(crate) fn goodbye(&self, goodbye: &Goodbye) -> v1::LinkResponse {
        self.with_header(Message::Goodbye(goodbye.to_wire()))
    }
}
