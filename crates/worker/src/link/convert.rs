//! From messages on the wire to inputs of the machine.

use muster_agent::link::{DownlinkMessage, GoodbyeReason, LeaderSeen, NumberedDownlink, ReceivedGoodbye, Welcome};
use muster_proto::{WireError, v1};
use muster_types::{Epoch, Session};

/// A message that was read, with a part that the machine does not need.
#[derive(Debug)]
pub struct ReadMessage {
    pub(super) down: NumberedDownlink,
    /// Name of the cluster, if it is a welcome.
    pub(super) cluster_name: Option<String>,
}

/// Reads one message. `None` is a kind that this worker does not know, from a newer master: it is
/// ignored.
pub(super) fn read(wire: v1::LinkResponse) -> Result<Option<ReadMessage>, WireError> {
    use v1::link_response::Message as Wire;
    let epoch = wire.epoch.as_ref().map(Epoch::try_from).transpose()?;
    let session = Session(wire.session);
    let mut cluster_name = None;
    let message = match wire.message {
        None => return Ok(None),
        Some(Wire::Welcome(welcome)) => {
            let welcome = muster_proto::LeaderWelcome::try_from(welcome)?;
            cluster_name = Some(welcome.cluster_name);
            DownlinkMessage::Welcome(Welcome {
                cluster: welcome.cluster,
                heartbeat: welcome.heartbeat,
                lease: welcome.lease,
                masters: welcome.masters,
            })
        }
        Some(Wire::HeartbeatAnswer(answer)) => DownlinkMessage::HeartbeatAnswer(answer.number),
        Some(Wire::Commands(commands)) => {
            let (incarnation, commands) = commands.into_parts()?;
            DownlinkMessage::Commands(incarnation, commands)
        }
        Some(Wire::Acknowledgements(list)) => DownlinkMessage::Acknowledgements((&list).try_into()?),
        Some(Wire::Masters(masters)) => DownlinkMessage::Masters(masters.addresses),
        Some(Wire::Goodbye(goodbye)) => DownlinkMessage::Goodbye(read_goodbye(goodbye)),
    };
    Ok(Some(ReadMessage { down: NumberedDownlink { epoch, session, message }, cluster_name }))
}

/// Reads what the master at this address says of the leader.
pub(super) fn read_leader(from: &str, wire: v1::WatchLeaderResponse) -> Result<LeaderSeen, WireError> {
    let epoch = wire.epoch.as_ref().map(Epoch::try_from).transpose()?;
    let leader = Some(wire.leader).filter(|leader| !leader.is_empty()).zip(epoch);
    Ok(LeaderSeen { from: from.to_owned(), leader, masters: wire.masters })
}

fn read_goodbye(wire: v1::Goodbye) -> ReceivedGoodbye {
    use v1::goodbye::Reason;
    let reason = match wire.reason() {
        Reason::Unspecified => GoodbyeReason::Unknown,
        Reason::Shutdown => GoodbyeReason::Shutdown,
        Reason::SayHello => GoodbyeReason::SayHello,
        Reason::Superseded => GoodbyeReason::Superseded,
        Reason::Refused => GoodbyeReason::Refused(wire.refusal),
        Reason::NotLeader => GoodbyeReason::NotLeader(Some(wire.leader).filter(|leader| !leader.is_empty())),
        Reason::Busy => GoodbyeReason::Busy,
    };
    ReceivedGoodbye { reason, message: wire.message }
}
