//! Who leads: `WatchLeader` and `StepDown`.

use std::sync::Arc;
use std::time::Duration;

use muster_proto::errors::Failure;
use muster_proto::v1;
use muster_store::{LeaderView, LeaderWatch};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::leader::{LeaderContext, LeaderSlot, RoleCommand};

pub(crate) type LeaderStream = ReceiverStream<Result<v1::WatchLeaderResponse, Status>>;

/// Sends the present leader, then each change, until this master goes away. Changes that come
/// faster than they are read are merged.
pub(crate) fn watch(election: &LeaderWatch, slot: Arc<LeaderSlot>) -> LeaderStream {
    let mut view = election.receiver();
    view.mark_changed();
    let (said, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let changed = tokio::select! {
                changed = view.changed() => changed.is_ok(),
                () = said.closed() => false,
                () = slot.closed() => false,
            };
            let now = shown(&view.borrow_and_update());
            if !changed || said.send(Ok(now)).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(stream)
}

fn shown(view: &Arc<LeaderView>) -> v1::WatchLeaderResponse {
    let leader = view.members.first();
    v1::WatchLeaderResponse {
        leader: leader.map(|leader| leader.address.clone()).unwrap_or_default(),
        epoch: leader.map(|leader| leader.epoch.into()),
        masters: view.members.iter().map(|member| member.address.clone()).collect(),
    }
}

/// How long a hand-over is waited for. The next master leads within milliseconds; after this time
/// the outcome is unknown.
const SUCCEEDED_WITHIN: Duration = Duration::from_secs(10);

/// Hands over, and waits until another master leads. A request that names an earlier leader changes
/// nothing, and is answered with the present one.
pub(crate) async fn step_down(
    leading: &LeaderContext,
    wire: v1::StepDownRequest,
) -> Result<v1::StepDownResponse, Failure> {
    let epoch = leading.epoch.to_string();
    if !wire.epoch.is_empty() && wire.epoch != epoch {
        return leading.answered(v1::StepDownResponse { leader: leading.address.clone(), epoch });
    }
    if leading.election.view().members.len() < 2 {
        return Err(Failure::WrongState {
            subject: "the cluster".to_owned(),
            message: "no other master stands by to lead".to_owned(),
        });
    }
    let (done, given_up) = oneshot::channel();
    leading.role_commands.send(RoleCommand::StepDown(done)).await.map_err(|_| Failure::NoLeader)?;
    given_up.await.map_err(|_| Failure::NoLeader)?;
    let unknown = || Failure::OutcomeUnknown { message: "no other master has been seen to lead yet".to_owned() };
    let mut election = leading.election.clone();
    let succeeded = async {
        loop {
            let view = election.view();
            if let Some(next) = view.members.first().filter(|first| first.epoch != leading.epoch) {
                return v1::StepDownResponse { leader: next.address.clone(), epoch: next.epoch.to_string() };
            }
            election.changed().await;
        }
    };
    tokio::time::timeout(SUCCEEDED_WITHIN, succeeded).await.map_err(|_| unknown())
}
