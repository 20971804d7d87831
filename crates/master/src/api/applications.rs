//! Applications and executors: calls of `MasterService`, and `ApplicationService` for drivers.

use std::pin::Pin;
use std::sync::Arc;

use muster_core::{Answer, ApplicationView, ExecutorView, KillResult, ProfileTarget, Request as Wish};
use muster_proto::errors::Failure;
use muster_proto::v1::application_service_server::ApplicationService;
use muster_proto::{v1, validate};
use muster_traces::SpanKind;
use muster_types::{AttemptKey, Caller, ExecutorId, Secret, TraceContext};
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::audited::AuditedCall;
use super::submit::{guard_retry, or_unexplained, unexpected};
use super::{owned, render, session};
use crate::access::attempt_named;
use crate::leader::{LeaderContext, LeaderSlot};
use crate::sessions::executor_to_wire;
use crate::view::{executor_key, filter};

/// Shows an application, with the reasons why its targets are not met.
pub(crate) async fn get(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::GetApplicationRequest,
) -> Result<v1::GetApplicationResponse, Failure> {
    let name = validate::get_application(wire)?;
    let (commit, shown) = leading.view.application(&name);
    let shown = shown.ok_or_else(|| Failure::NotFound { kind: "application", name: name.clone() })?;
    let short = shown.profiles.iter().any(|profile| profile.running + profile.launching < profile.target);
    let application = if short && !shown.record.state.is_terminal() {
        let request = Wish::ExplainApplication { application: shown.record.uid.to_string() };
        or_unexplained(to_request(leading, caller, request).await, || render::application(&shown, caller))?
    } else {
        render::application(&shown, caller)
    };
    leading.answered(v1::GetApplicationResponse {
        application: Some(application),
        resume_token: leading.token(commit).to_string(),
    })
}

pub(crate) async fn list(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::ListApplicationsRequest,
) -> Result<v1::ListApplicationsResponse, Failure> {
    let page = validate::list_applications(wire)?;
    let listing = leading.list(page, None, |_: &ApplicationView| true, filter::application).await?;
    Ok(v1::ListApplicationsResponse {
        applications: listing.items.iter().map(|shown| render::application(shown, caller)).collect(),
        next_page_token: listing.next_page_token,
        resume_token: listing.resume.to_string(),
    })
}

/// Lists executors, of one application or of all.
pub(crate) async fn list_executors(
    leading: &LeaderContext,
    wire: v1::ListExecutorsRequest,
) -> Result<v1::ListExecutorsResponse, Failure> {
    let validate::ListExecutors { application, page } = validate::list_executors(wire)?;
    let only = match application {
        None => None,
        Some(name) => {
            let shown = leading.view.application(&name).1;
            Some(shown.ok_or(Failure::NotFound { kind: "application", name })?)
        }
    };
    let first = only.as_ref().map(|only| executor_key(only.record.uid, None, &only.record.id));
    let within = |executor: &ExecutorView| only.as_ref().is_none_or(|only| executor.application == only.record.uid);
    let listing = leading.list(page, first, within, filter::executor).await?;
    Ok(v1::ListExecutorsResponse {
        executors: listing.items.iter().map(|shown| executor_to_wire(shown)).collect(),
        next_page_token: listing.next_page_token,
        resume_token: listing.resume.to_string(),
    })
}

/// Ends an application on behalf of its owner or an operator.
pub(crate) async fn kill(
    leading: &LeaderContext,
    caller: &Caller,
    metadata: &MetadataMap,
    wire: v1::KillApplicationRequest,
) -> Result<v1::KillApplicationResponse, Failure> {
    let validate::KillApplication { application, request } = validate::kill_application(wire)?;
    // The application's name makes the call idempotent.
    guard_retry(metadata, request.as_ref(), true)?;
    let application = match owned::application(leading, caller, &application)? {
        Some(uid) => uid.to_string(),
        None => application,
    };
    let application = to_request(leading, caller, Wish::KillApplication { application, request }).await?;
    Ok(v1::KillApplicationResponse { application: Some(application) })
}

async fn to_request(leading: &LeaderContext, caller: &Caller, request: Wish) -> Result<v1::Application, Failure> {
    match leading.submit(request).await?.answer {
        Answer::Application(application) => Ok(render::application(&application, caller)),
        other => Err(unexpected(&other)),
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ApplicationApi {
    slot: Arc<LeaderSlot>,
}

impl ApplicationApi {
    pub(crate) fn new(slot: Arc<LeaderSlot>) -> ApplicationApi {
        ApplicationApi { slot }
    }
}

#[tonic::async_trait]
impl ApplicationService for ApplicationApi {
    type WatchApplicationStream = Pin<Box<dyn Stream<Item = Result<v1::WatchApplicationResponse, Status>> + Send>>;

    async fn register_application(
        &self,
        request: Request<v1::RegisterApplicationRequest>,
    ) -> Result<Response<v1::RegisterApplicationResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        let leading = self.slot.leading()?;
        Ok(call.answer(register(&leading, &call, wire).await?))
    }

    async fn watch_application(
        &self,
        request: Request<v1::WatchApplicationRequest>,
    ) -> Result<Response<Self::WatchApplicationStream>, Status> {
        let (call, wire) = AuditedCall::of(request);
        let leading = self.slot.leading()?;
        Ok(Response::new(Box::pin(session::open(leading, &call.caller, wire).await?)))
    }

    async fn request_executors(
        &self,
        request: Request<v1::RequestExecutorsRequest>,
    ) -> Result<Response<v1::RequestExecutorsResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        Ok(Response::new(request_executors(&*self.slot.leading()?, &call.caller, wire).await?))
    }

    async fn kill_executors(
        &self,
        request: Request<v1::KillExecutorsRequest>,
    ) -> Result<Response<v1::KillExecutorsResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        let leading = self.slot.leading()?;
        Ok(Response::new(kill_executors(&leading, &call.caller, &call.metadata, wire).await?))
    }

    async fn unregister_application(
        &self,
        request: Request<v1::UnregisterApplicationRequest>,
    ) -> Result<Response<v1::UnregisterApplicationResponse>, Status> {
        let (call, wire) = AuditedCall::of(request);
        Ok(call.answer(unregister(&*self.slot.leading()?, &call.caller, wire).await?))
    }
}

async fn register(
    leading: &LeaderContext,
    call: &AuditedCall,
    wire: v1::RegisterApplicationRequest,
) -> Result<v1::RegisterApplicationResponse, Failure> {
    let validate::RegisterApplication { id, spec, request, token } = validate::register_application(wire)?;
    guard_retry(&call.metadata, request.as_ref(), id.is_some())?;
    owned::check_attempt(leading, &call.caller, token.as_ref())?;
    let owner = call.caller.owner().map(Into::into);
    // A program that says nothing of traces is in the one of its driver.
    let of_driver = || token.as_ref().and_then(|token| trace_of_driver(leading, token));
    let trace = if call.names_a_trace() { call.trace } else { of_driver().or(call.trace) };
    let wanted = Wish::RegisterApplication { id, spec, owner, trace, request, token: exposed(token) };
    let mut span = leading.traces.start("commit", SpanKind::Internal, call.trace);
    // Whoever registers it knows what it registers.
    let answered = to_request(leading, &Caller::Local, wanted).await;
    match &answered {
        Ok(application) => span.set("muster.application.uid", application.uid.clone()),
        Err(failure) => span.fail(failure.reason()),
    }
    Ok(v1::RegisterApplicationResponse { application: Some(answered?) })
}

/// The span of the attempt that has a token. The core refuses a token that is not the attempt's.
fn trace_of_driver(leading: &LeaderContext, token: &Secret) -> Option<TraceContext> {
    let (driver, number) = attempt_named(token.expose())?;
    let trace = leading.view.read().drivers.get(driver.0)?.record.trace?;
    Some(leading.traces.of_attempt(trace, &AttemptKey::Driver(driver, number)))
}

async fn request_executors(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::RequestExecutorsRequest,
) -> Result<v1::RequestExecutorsResponse, Failure> {
    // The sequence makes the call idempotent.
    let asked = validate::request_executors(wire)?;
    let targets = asked.targets.into_iter().map(target).collect();
    let application = owned::steered(leading, caller, asked.application, asked.token.as_ref())?;
    let wanted = Wish::RequestExecutors {
        application,
        token: exposed(asked.token),
        sequence: asked.sequence,
        targets,
        excluded_hosts: asked.excluded_hosts,
        request: asked.request,
    };
    match leading.submit(wanted).await?.answer {
        Answer::Targets(accepted, sequence) => Ok(v1::RequestExecutorsResponse { accepted, sequence }),
        other => Err(unexpected(&other)),
    }
}

fn target(asked: validate::ProfileTargetRequest) -> ProfileTarget {
    let validate::ProfileTargetRequest { profile, target, new_profile, preferred_hosts } = asked;
    ProfileTarget { profile, target, new_profile, preferred_hosts }
}

async fn kill_executors(
    leading: &LeaderContext,
    caller: &Caller,
    metadata: &MetadataMap,
    wire: v1::KillExecutorsRequest,
) -> Result<v1::KillExecutorsResponse, Failure> {
    let validate::KillExecutors { application, token, executors, replace, request } = validate::kill_executors(wire)?;
    // An executor is killed and counted once, so its number makes the call idempotent.
    guard_retry(metadata, request.as_ref(), true)?;
    let application = owned::steered(leading, caller, application, token.as_ref())?;
    let wanted = Wish::KillExecutors { application, token: exposed(token), executors, replace, request };
    match leading.submit(wanted).await?.answer {
        Answer::Killed(results) => {
            Ok(v1::KillExecutorsResponse { results: results.into_iter().map(kill_result).collect() })
        }
        other => Err(unexpected(&other)),
    }
}

fn kill_result((executor, result): (ExecutorId, KillResult)) -> v1::kill_executors_response::Result {
    use v1::kill_executors_response::result::Kind;
    let kind = match result {
        KillResult::Killed => Kind::Killed,
        KillResult::Unknown => Kind::Unknown,
        KillResult::AlreadyGone => Kind::AlreadyGone,
    };
    v1::kill_executors_response::Result { executor_id: executor.0, kind: kind.into() }
}

async fn unregister(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::UnregisterApplicationRequest,
) -> Result<v1::UnregisterApplicationResponse, Failure> {
    // The application's name makes the call idempotent.
    let asked = validate::unregister(wire)?;
    let application = owned::steered(leading, caller, asked.application, asked.token.as_ref())?;
    let wanted = Wish::Unregister {
        application,
        token: exposed(asked.token),
        success: asked.success,
        message: asked.message,
        grace: asked.grace,
        request: asked.request,
    };
    Ok(v1::UnregisterApplicationResponse { application: Some(to_request(leading, &Caller::Local, wanted).await?) })
}

fn exposed(token: Option<Secret>) -> Option<String> {
    token.map(|token| token.expose().to_owned())
}
