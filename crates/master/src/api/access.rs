//! `AccessService`: who a caller is, tokens, and certificates of workers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster_proto::errors::Failure;
use muster_proto::time::timestamp;
use muster_proto::v1::access_service_server::AccessService;
use muster_proto::{FieldViolations, v1, validate};
use muster_tls::{Authority, ServerTls, TlsError};
use muster_types::{Caller, WallTime};
use tonic::{Request, Response, Status};

use super::audited::AuditedCall;
use super::{caller_of, roles, tokens};
use crate::access::{AccessControl, check_key};
use crate::leader::{LeaderContext, LeaderSlot};

#[derive(Debug, Clone)]
pub(crate) struct AccessApi {
    slot: Arc<LeaderSlot>,
    /// The CA that certifies workers; none without TLS.
    tls: Option<Arc<ServerTls>>,
    access: Arc<AccessControl>,
}

/// How long a worker's certificate holds.
const LIFE: Duration = Duration::from_secs(24 * 3600);

impl AccessApi {
    pub(crate) fn new(slot: Arc<LeaderSlot>, tls: Option<Arc<ServerTls>>, access: Arc<AccessControl>) -> AccessApi {
        AccessApi { slot, tls, access }
    }

    fn authority(&self) -> Result<Arc<Authority>, Failure> {
        self.tls.as_ref().map(|tls| tls.authority()).ok_or_else(|| {
            let message = "it does not speak TLS, so there are no certificates".to_owned();
            Failure::WrongState { subject: "this master".to_owned(), message }
        })
    }

    fn issue(
        &self,
        leading: &LeaderContext,
        caller: &Caller,
        wire: v1::IssueWorkerCertificateRequest,
    ) -> Result<v1::IssueWorkerCertificateResponse, Failure> {
        let validate::IssueWorkerCertificate { worker, certificate_request } =
            validate::issue_worker_certificate(wire)?;
        let authority = self.authority()?;
        let proves_none = |error: TlsError| {
            tracing::debug!(%worker, error = crate::error_line(&error), "no certificate");
            FieldViolations::of("certificate_request", "is none, or its signature does not prove its key")
        };
        let key = Authority::key_of_request(&certificate_request).map_err(proves_none)?;
        let known = leading.view.read().workers.get(worker.0).cloned();
        if let Some(known) = &known {
            check_key(&known.record, key)?;
        }
        // Where the key is known, the certificate is of use to its holder alone.
        if known.is_none_or(|known| known.record.key.is_none()) {
            may_join(caller)?;
        }
        let issued = authority.issue_worker(&certificate_request, worker, LIFE).map_err(proves_none)?;
        let expires = issued.expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expires = WallTime(u64::try_from(expires.as_millis()).unwrap_or(u64::MAX));
        self.access.note_issued(worker, key, expires);
        tracing::info!(%worker, %key, "issued a certificate");
        leading.answered(v1::IssueWorkerCertificateResponse {
            certificate_chain: issued.chain,
            ca_certificates: authority.pem().to_owned(),
            expire_time: Some(timestamp(expires)),
        })
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn get_caller(
        &self,
        request: Request<v1::GetCallerRequest>,
    ) -> Result<Response<v1::GetCallerResponse>, Status> {
        // A leader's table is the newest.
        let leading = self.slot.leading()?;
        Ok(Response::new(leading.answered(show(&caller_of(request.extensions())))?))
    }

    async fn get_trust_bundle(
        &self,
        _request: Request<v1::GetTrustBundleRequest>,
    ) -> Result<Response<v1::GetTrustBundleResponse>, Status> {
        let ca_certificates = self.authority()?.pem().to_owned();
        Ok(Response::new(v1::GetTrustBundleResponse { ca_certificates }))
    }

    async fn issue_worker_certificate(
        &self,
        request: Request<v1::IssueWorkerCertificateRequest>,
    ) -> Result<Response<v1::IssueWorkerCertificateResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        let issued = self.issue(&*self.slot.leading()?, &call.caller, wire)?;
        Ok(Response::new(issued))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let shown = request.extensions().get().copied();
        let (call, wire) = AuditedCall::of(request);
        let token = tokens::create(&*self.slot.leading()?, &call.caller, shown, wire).await?;
        Ok(Response::new(v1::CreateTokenResponse { token: Some(token) }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let caller = caller_of(request.extensions());
        Ok(Response::new(tokens::list(&*self.slot.leading()?, &caller, &request.into_inner())?))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let shown = request.extensions().get().copied();
        let (call, wire) = AuditedCall::of(request);
        let token = tokens::revoke(&*self.slot.leading()?, &call.caller, shown, &wire).await?;
        Ok(Response::new(v1::RevokeTokenResponse { token: Some(token) }))
    }

    async fn bind_role(&self, request: Request<v1::BindRoleRequest>) -> Result<Response<v1::BindRoleResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        Ok(Response::new(roles::bind(&*self.slot.leading()?, &call.caller, wire).await?))
    }

    async fn unbind_role(
        &self,
        request: Request<v1::UnbindRoleRequest>,
    ) -> Result<Response<v1::UnbindRoleResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        Ok(Response::new(roles::unbind(&*self.slot.leading()?, &call.caller, wire).await?))
    }

    async fn list_role_bindings(
        &self,
        _request: Request<v1::ListRoleBindingsRequest>,
    ) -> Result<Response<v1::ListRoleBindingsResponse>, Status> {
        Ok(Response::new(roles::list(&*self.slot.leading()?)?))
    }
}

/// Whether a worker that is not known yet may get a certificate.
fn may_join(caller: &Caller) -> Result<(), Failure> {
    match caller {
        Caller::Local | Caller::Joining { .. } => Ok(()),
        Caller::Anonymous => Err(Failure::NoCredential),
        other => Err(Failure::RoleRequired { caller: other.to_string(), needed: "a token of workers".to_owned() }),
    }
}

fn show(caller: &Caller) -> v1::GetCallerResponse {
    let role = caller.role().map_or(v1::Role::Unspecified, v1::Role::from);
    v1::GetCallerResponse {
        caller: caller.to_string(),
        role: role.into(),
        owner: caller.owner().unwrap_or_default().to_owned(),
    }
}
