//! `AccessService`: who a caller is.

use std::sync::Arc;

use muster_proto::v1;
use muster_proto::v1::access_service_server::AccessService;
use muster_types::{Caller, Role};
use tonic::{Request, Response, Status};

use super::caller_of;
use crate::leader::LeaderSlot;

#[derive(Debug, Clone)]
pub(crate) struct AccessApi {
    slot: Arc<LeaderSlot>,
}

impl AccessApi {
    pub(crate) fn new(slot: Arc<LeaderSlot>) -> AccessApi {
        AccessApi { slot }
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn get_caller(
        &self,
        request: Request<v1::GetCallerRequest>,
    ) -> Result<Response<v1::GetCallerResponse>, Status> {
        // A leader's table is the newest.
        self.slot.leading()?;
        Ok(Response::new(show(&caller_of(request.extensions()))))
    }
}

fn show(caller: &Caller) -> v1::GetCallerResponse {
    let role = match caller.role() {
        None => v1::Role::Unspecified,
        Some(Role::Viewer) => v1::Role::Viewer,
        Some(Role::Submitter) => v1::Role::Submitter,
        Some(Role::Operator) => v1::Role::Operator,
        Some(Role::Admin) => v1::Role::Admin,
    };
    v1::GetCallerResponse {
        caller: caller.to_string(),
        role: role.into(),
        owner: caller.owner().unwrap_or_default().to_owned(),
    }
}
