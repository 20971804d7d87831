//! What goes down a link.

use muster_core::HelloRefusal;
use muster_proto::{LeaderWelcome, v1};
use muster_types::{Acknowledgement, Epoch, Incarnation, Session, WorkerCommand};
use tokio::sync::watch;
use v1::goodbye::Reason;
use v1::link_response::Message;

/// One message. Everything that goes down carries (epoch, session): the writer adds them.
#[derive(Debug)]
pub(crate) enum Downlink {
    /// The hello is taken.
    Welcome,
    /// Commands in order.
    Commands(Vec<WorkerCommand>),
    /// Reports that are durable.
    Acknowledge(Vec<Acknowledgement>),
}

/// The last message of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Goodbye {
    /// This master goes away.
    Shutdown,
    /// Say hello anew, at once.
    SayHello,
    /// A newer stream of this worker was taken.
    Superseded,
    /// Refused: the stable word, and a sentence.
    Refused(&'static str, String),
    /// Too many hellos at once.
    Busy,
    /// This master does not lead; who does, if it is known.
    NotLeader(Option<String>),
}

/// Says a goodbye, which ends the link. The first stands.
pub(crate) fn say(goodbye: &watch::Sender<Option<Goodbye>>, last: Goodbye) {
    goodbye.send_if_modified(|uplink| {
        let first = uplink.is_none();
        uplink.get_or_insert(last);
        first
    });
}

impl Goodbye {
    /// The core refused a hello.
    pub(crate) fn refused(refusal: HelloRefusal) -> Goodbye {
        let message = match refusal {
            HelloRefusal::NameTaken => "another live worker has this name; choose another with --name",
            HelloRefusal::OldIncarnation => "a newer runner of this worker is known",
            HelloRefusal::OldSession => "a newer session of this worker is known",
            HelloRefusal::ClonedState => "this state directory is in use on another machine or boot",
            HelloRefusal::WrongCluster => "this worker joined another cluster; use --rejoin to join this one",
            HelloRefusal::Forgotten => {
                "an operator declared this worker gone for ever; start it with an empty state directory"
            }
        };
        Goodbye::Refused(refusal.as_str(), message.to_owned())
    }

    /// As a message of a master that does not lead: without an epoch.
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

/// Puts the numbers of a link on everything that goes down.
#[derive(Debug, Clone)]
pub(crate) struct MessageHeader {
    /// The leader's.
    pub epoch: Epoch,
    /// The worker's.
    pub session: Session,
    /// The runner's, on commands.
    pub incarnation: Incarnation,
}

impl MessageHeader {
    fn with_header(&self, message: Message) -> v1::LinkResponse {
        v1::LinkResponse { epoch: Some(self.epoch.into()), session: self.session.0, message: Some(message) }
    }

    /// A message.
    pub(crate) fn message(&self, down: &Downlink, welcome: &LeaderWelcome) -> v1::LinkResponse {
        self.with_header(match down {
            Downlink::Welcome => Message::Welcome(welcome.into()),
            Downlink::Commands(commands) => Message::Commands(v1::Commands::of(self.incarnation, commands)),
            Downlink::Acknowledge(reports) => Message::Acknowledgements(v1::Acknowledgements {
                reports: reports.iter().copied().map(Into::into).collect(),
            }),
        })
    }

    /// The masters that are known.
    pub(crate) fn masters(&self, addresses: Vec<String>) -> v1::LinkResponse {
        self.with_header(Message::Masters(v1::Masters { addresses }))
    }

    /// The answer to a heartbeat.
    pub(crate) fn answer(&self, number: u64) -> v1::LinkResponse {
        self.with_header(Message::HeartbeatAnswer(v1::HeartbeatAnswer { number }))
    }

    /// The last message.
    pub(crate) fn goodbye(&self, goodbye: &Goodbye) -> v1::LinkResponse {
        self.with_header(Message::Goodbye(goodbye.to_wire()))
    }
}
