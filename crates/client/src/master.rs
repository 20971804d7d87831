//! The calls of `MasterService`, one method each. A mutation without a request id gets a new one.

use muster_proto::v1;
use muster_proto::v1::master_service_client::MasterServiceClient;
use tonic::transport::Channel;

use crate::client::fill;
use crate::{CallError, Client, MessageStream};

/// Room for a page of a thousand drivers with specs of 64 KiB each.
pub(crate) const MAX_ANSWER: usize = 96 << 20;

pub(crate) fn master(channel: Channel) -> MasterServiceClient<Channel> {
    MasterServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER)
}

/// A method that makes one call and returns the whole answer.
macro_rules! verb {
    ($(#[$doc:meta])* $name:ident, $method:literal, $request:ident => $response:ident) => {
        $(#[$doc])*
        pub async fn $name(&self, request: v1::$request) -> Result<v1::$response, CallError> {
            self.call($method, request, |channel, request| async move { master(channel).$name(request).await }).await
        }
    };
}

/// A method that makes a mutation and returns the one resource in its answer.
macro_rules! mutation {
    ($(#[$doc:meta])* $name:ident, $method:literal, $request:ident, $thing:ident: $answer:ident) => {
        $(#[$doc])*
        pub async fn $name(&self, mut request: v1::$request) -> Result<v1::$answer, CallError> {
            fill(&mut request.request_id);
            let send = |channel, request| async move { master(channel).$name(request).await };
            Ok(self.call($method, request, send).await?.$thing.unwrap_or_default())
        }
    };
}

impl Client {
    mutation! {
        /// Submits a driver. The answer comes once the driver is durable.
        submit_driver, "SubmitDriver", SubmitDriverRequest, driver: Driver
    }
    mutation! {
        /// Asks for a driver's end. The answer comes once the request is durable.
        kill_driver, "KillDriver", KillDriverRequest, driver: Driver
    }
    mutation! {
        /// Asks for an application's end.
        kill_application, "KillApplication", KillApplicationRequest, application: Application
    }
    mutation! {
        /// Drains a worker: nothing more is placed on it.
        drain_worker, "DrainWorker", DrainWorkerRequest, worker: Worker
    }
    mutation! {
        /// Undoes a drain.
        undrain_worker, "UndrainWorker", UndrainWorkerRequest, worker: Worker
    }
    mutation! {
        /// Declares a worker gone for ever.
        forget_worker, "ForgetWorker", ForgetWorkerRequest, worker: Worker
    }
    mutation! {
        /// Takes a worker's key from it.
        revoke_worker, "RevokeWorker", RevokeWorkerRequest, worker: Worker
    }
    mutation! {
        /// Declares that nothing of an attempt is left.
        forget_attempt, "ForgetAttempt", ForgetAttemptRequest, worker: Worker
    }
    mutation! {
        /// Ends an attempt that the store does not name.
        end_quarantined, "EndQuarantined", EndQuarantinedRequest, worker: Worker
    }
    verb! {
        /// Shows a driver, with the token to watch from.
        get_driver, "GetDriver", GetDriverRequest => GetDriverResponse
    }
    verb! {
        /// A page of drivers.
        list_drivers, "ListDrivers", ListDriversRequest => ListDriversResponse
    }
    verb! {
        /// Shows an application, with the token to watch from.
        get_application, "GetApplication", GetApplicationRequest => GetApplicationResponse
    }
    verb! {
        /// A page of applications.
        list_applications, "ListApplications", ListApplicationsRequest => ListApplicationsResponse
    }
    verb! {
        /// A page of executors.
        list_executors, "ListExecutors", ListExecutorsRequest => ListExecutorsResponse
    }
    verb! {
        /// Shows a worker, with the token to watch from.
        get_worker, "GetWorker", GetWorkerRequest => GetWorkerResponse
    }
    verb! {
        /// A page of workers.
        list_workers, "ListWorkers", ListWorkersRequest => ListWorkersResponse
    }

    /// Shows the cluster.
    pub async fn get_cluster(&self) -> Result<v1::Cluster, CallError> {
        let send = |channel, request| async move { master(channel).get_cluster(request).await };
        Ok(self.call("GetCluster", v1::GetClusterRequest {}, send).await?.cluster.unwrap_or_default())
    }

    /// Makes the leader hand over to the next master in standby order. The epoch names the leader
    /// that is meant, by default the present one. It makes a repetition harmless, because the next
    /// leader has another epoch and does not step down.
    pub async fn step_down(&self, mut request: v1::StepDownRequest) -> Result<v1::StepDownResponse, CallError> {
        fill(&mut request.request_id);
        if request.epoch.is_empty() {
            request.epoch = self.get_cluster().await?.epoch;
        }
        self.call("StepDown", request, |channel, request| async move { master(channel).step_down(request).await }).await
    }

    /// Follows which master leads, as one master sees it: first the present leader, then each
    /// change, until the stream breaks.
    pub async fn watch_leader(&self) -> Result<MessageStream<v1::WatchLeaderResponse>, CallError> {
        let send = |channel, request| async move { master(channel).watch_leader(request).await };
        self.open("WatchLeader", v1::WatchLeaderRequest {}, send).await
    }

    /// Everything that is durable, as a file for a restore. The file is complete when the stream
    /// ends without an error. A broken stream is not resumed.
    pub async fn backup(&self) -> Result<MessageStream<v1::BackupResponse>, CallError> {
        let send = |channel, request| async move { master(channel).backup(request).await };
        self.open("Backup", v1::BackupRequest {}, send).await
    }
}
