//! `MasterService`: finds the leader, calls the function of the verb, and turns failures into
//! statuses.

use std::pin::Pin;
use std::sync::Arc;

use muster_proto::v1::master_service_server::MasterService;
use muster_proto::v1::{self, WatchEventsResponse};
use muster_store::{Archive, LeaderWatch};
use prost::Message;
use prost::bytes::BytesMut;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::audited::AuditedCall;
use super::backup::{self, BackupStream};
use super::leader::{self, LeaderStream};
use super::logs::{LogSources, LogStream};
use super::{applications, caller_of, cluster, drivers, logs, watch, workers};
use crate::leader::LeaderSlot;

#[derive(Debug, Clone)]
pub(crate) struct MasterApi {
    slot: Arc<LeaderSlot>,
    sources: Arc<LogSources>,
    election: LeaderWatch,
    archive: Archive,
}

impl MasterApi {
    pub(crate) fn new(
        slot: Arc<LeaderSlot>,
        sources: Arc<LogSources>,
        election: LeaderWatch,
        archive: Archive,
    ) -> MasterApi {
        MasterApi { slot, sources, election, archive }
    }
}

#[tonic::async_trait]
impl MasterService for MasterApi {
    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<WatchEventsResponse, Status>> + Send>>;
    type ReadLogStream = LogStream;
    type WatchLeaderStream = LeaderStream;
    type BackupStream = BackupStream;

    async fn submit_driver(
        &self,
        request: Request<v1::SubmitDriverRequest>,
    ) -> Result<Response<v1::SubmitDriverResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        let leading = self.slot.leading()?;
        Ok(call.answer(drivers::submit(&leading, &call, wire).await?))
    }

    async fn get_driver(
        &self,
        request: Request<v1::GetDriverRequest>,
    ) -> Result<Response<v1::GetDriverResponse>, Status> {
        let caller = caller_of(request.extensions());
        Ok(Response::new(drivers::get(&*self.slot.leading()?, &caller, request.into_inner()).await?))
    }

    async fn list_drivers(
        &self,
        request: Request<v1::ListDriversRequest>,
    ) -> Result<Response<v1::ListDriversResponse>, Status> {
        let caller = caller_of(request.extensions());
        Ok(Response::new(drivers::list(&*self.slot.leading()?, &caller, request.into_inner()).await?))
    }

    async fn kill_driver(
        &self,
        request: Request<v1::KillDriverRequest>,
    ) -> Result<Response<v1::KillDriverResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        let leading = self.slot.leading()?;
        Ok(call.answer(drivers::kill(&leading, &call.caller, &call.metadata, wire).await?))
    }

    async fn get_application(
        &self,
        request: Request<v1::GetApplicationRequest>,
    ) -> Result<Response<v1::GetApplicationResponse>, Status> {
        let caller = caller_of(request.extensions());
        Ok(Response::new(applications::get(&*self.slot.leading()?, &caller, request.into_inner()).await?))
    }

    async fn list_applications(
        &self,
        request: Request<v1::ListApplicationsRequest>,
    ) -> Result<Response<v1::ListApplicationsResponse>, Status> {
        let caller = caller_of(request.extensions());
        Ok(Response::new(applications::list(&*self.slot.leading()?, &caller, request.into_inner()).await?))
    }

    async fn kill_application(
        &self,
        request: Request<v1::KillApplicationRequest>,
    ) -> Result<Response<v1::KillApplicationResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        let leading = self.slot.leading()?;
        Ok(call.answer(applications::kill(&leading, &call.caller, &call.metadata, wire).await?))
    }

    async fn list_executors(
        &self,
        request: Request<v1::ListExecutorsRequest>,
    ) -> Result<Response<v1::ListExecutorsResponse>, Status> {
        Ok(Response::new(applications::list_executors(&*self.slot.leading()?, request.into_inner()).await?))
    }

    async fn get_worker(
        &self,
        request: Request<v1::GetWorkerRequest>,
    ) -> Result<Response<v1::GetWorkerResponse>, Status> {
        let caller = caller_of(request.extensions());
        Ok(Response::new(workers::get(&*self.slot.leading()?, &caller, request.into_inner())?))
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        Ok(Response::new(workers::list(&*self.slot.leading()?, request.into_inner()).await?))
    }

    async fn drain_worker(
        &self,
        request: Request<v1::DrainWorkerRequest>,
    ) -> Result<Response<v1::DrainWorkerResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        Ok(call.answer(workers::drain(&*self.slot.leading()?, &call.caller, wire).await?))
    }

    async fn undrain_worker(
        &self,
        request: Request<v1::UndrainWorkerRequest>,
    ) -> Result<Response<v1::UndrainWorkerResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        Ok(call.answer(workers::undrain(&*self.slot.leading()?, &call.caller, wire).await?))
    }

    async fn forget_worker(
        &self,
        request: Request<v1::ForgetWorkerRequest>,
    ) -> Result<Response<v1::ForgetWorkerResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        Ok(call.answer(workers::forget(&*self.slot.leading()?, wire).await?))
    }

    async fn revoke_worker(
        &self,
        request: Request<v1::RevokeWorkerRequest>,
    ) -> Result<Response<v1::RevokeWorkerResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        Ok(call.answer(workers::revoke(&*self.slot.leading()?, wire).await?))
    }

    async fn forget_attempt(
        &self,
        request: Request<v1::ForgetAttemptRequest>,
    ) -> Result<Response<v1::ForgetAttemptResponse>, Status> {
        let (_, wire) = AuditedCall::of(request);
        Ok(Response::new(workers::forget_attempt(&*self.slot.leading()?, wire).await?))
    }

    async fn end_quarantined(
        &self,
        request: Request<v1::EndQuarantinedRequest>,
    ) -> Result<Response<v1::EndQuarantinedResponse>, Status> {
        let (_, wire) = AuditedCall::of(request);
        Ok(Response::new(workers::end_quarantined(&*self.slot.leading()?, wire).await?))
    }

    async fn get_cluster(
        &self,
        _request: Request<v1::GetClusterRequest>,
    ) -> Result<Response<v1::GetClusterResponse>, Status> {
        let leading = self.slot.leading()?;
        let cluster = cluster::show(&leading);
        Ok(Response::new(leading.answered(v1::GetClusterResponse { cluster: Some(cluster) })?))
    }

    async fn read_log(&self, request: Request<v1::ReadLogRequest>) -> Result<Response<LogStream>, Status> {
        let (call, wire) = AuditedCall::of(request);
        let leading = self.slot.leading()?;
        Ok(Response::new(logs::read(&leading, &call.caller, &self.sources, wire).await?))
    }

    // `RawWatch` takes this call before it gets here. The two differ in speed alone.
    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let leading = self.slot.leading()?;
        let pieces = watch::open(&leading, request.into_inner())?;
        let decoded = pieces.map(|chunk| {
            let chunk = chunk.map_err(watch::ended)?;
            let mut buffer = BytesMut::new();
            chunk.encode(&mut buffer);
            WatchEventsResponse::decode(buffer).map_err(|error| Status::internal(error.to_string()))
        });
        Ok(Response::new(Box::pin(decoded)))
    }

    async fn watch_leader(
        &self,
        _request: Request<v1::WatchLeaderRequest>,
    ) -> Result<Response<Self::WatchLeaderStream>, Status> {
        Ok(Response::new(leader::watch(&self.election, self.slot.clone())))
    }

    async fn step_down(&self, request: Request<v1::StepDownRequest>) -> Result<Response<v1::StepDownResponse>, Status> {
        let (_, wire) = AuditedCall::of(request);
        Ok(Response::new(leader::step_down(&*self.slot.leading()?, wire).await?))
    }

    async fn backup(&self, request: Request<v1::BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let _ = AuditedCall::of(request);
        Ok(Response::new(backup::begin(&self.archive)))
    }
}
