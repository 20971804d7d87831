//! Who leads: `WatchLeader` and `StepDown`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::errors::Failure;
use muster_proto::v1;
use muster_store::{Election, Standing};
use tokio::sync::oneshot;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use crate::leading::{Leading, Order};

/// Who leads, at first and with each change.
pub(crate) type LeaderStream = Pin<Box<dyn Stream<Item = Result<v1::WatchLeaderResponse, Status>> + Send>>;

/// Follows who leads. Changes that come faster than they are read are seen as one.
pub(crate) fn watch(election: &Election) -> LeaderStream {
    let first = shown(&election.standing());
    let changes = WatchStream::from_changes(election.receiver()).map(|standing| Ok(shown(&standing)));
    Box::pin(tokio_stream::once(Ok(first)).chain(changes))
}

fn shown(standing: &Arc<Standing>) -> v1::WatchLeaderResponse {
    let leader = standing.members.first();
    v1::WatchLeaderResponse {
        leader: leader.map(|leader| leader.address.clone()).unwrap_or_default(),
        epoch: leader.map(|leader| leader.epoch.into()),
        masters: standing.members.iter().map(|member| member.address.clone()).collect(),
    }
}

/// The next in line leads within milliseconds; past this it is not known whether it does.
const SUCCEEDED_WITHIN: Duration = Duration::from_secs(10);

/// Hands over, and waits until another leads.
pub(crate) async fn step_down(leading: &Leading) -> Result<v1::StepDownResponse, Failure> {
    if leading.election.standing().members.len() < 2 {
        return Err(Failure::WrongState {
            subject: "the cluster".to_owned(),
            message: "no other master stands by to lead".to_owned(),
        });
    }
    let (told, given_up) = oneshot::channel();
    leading.orders.send(Order::StepDown(told)).await.map_err(|_| Failure::NoLeader)?;
    given_up.await.map_err(|_| Failure::NoLeader)?;
    let unknown = || Failure::OutcomeUnknown { message: "no other master has been seen to lead yet".to_owned() };
    let mut election = leading.election.clone();
    let succeeded = async {
        loop {
            let standing = election.standing();
            if let Some(next) = standing.members.first().filter(|first| first.epoch != leading.epoch) {
                return v1::StepDownResponse { leader: next.address.clone(), epoch: next.epoch.to_string() };
            }
            election.changed().await;
        }
    };
    tokio::time::timeout(SUCCEEDED_WITHIN, succeeded).await.map_err(|_| unknown())
}
