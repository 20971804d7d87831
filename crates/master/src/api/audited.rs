//! What the audit is told of a call: the object that the request and the answer name.

use muster_proto::trace::of_headers;
use muster_proto::v1;
use muster_types::{Caller, TokenId, TraceContext};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response};

use super::caller_of;
use crate::access::AuditNote;

/// A call whose message was taken out.
pub(crate) struct AuditedCall {
    /// Who makes it.
    pub(crate) caller: Caller,
    /// Its headers.
    pub(crate) metadata: MetadataMap,
    /// The span that it is made for.
    pub(crate) trace: Option<TraceContext>,
    note: Option<AuditNote>,
}

impl AuditedCall {
    /// Takes the message out of a call, and tells the audit what it is about.
    pub(crate) fn of<Q: AuditedRequest>(request: Request<Q>) -> (AuditedCall, Q) {
        let (metadata, mut extensions, wire) = request.into_parts();
        let note = extensions.remove::<AuditNote>();
        if let Some(note) = &note {
            note.asked(wire.resource(), wire.request_id());
        }
        // Below the span of the call, where there is one.
        let trace = extensions.get().copied().or_else(|| of_headers(metadata.as_ref()));
        (AuditedCall { caller: caller_of(&extensions), metadata, trace, note }, wire)
    }

    /// Whether its caller has said in which trace it is made.
    pub(crate) fn names_a_trace(&self) -> bool {
        of_headers(self.metadata.as_ref()).is_some()
    }

    /// Answers, and tells the audit which object it was.
    pub(crate) fn answer<A: AuditedAnswer>(&self, answer: A) -> Response<A> {
        if let (Some(note), Some((resource, uid))) = (&self.note, answer.object()) {
            note.answered(resource, uid);
        }
        Response::new(answer)
    }
}

/// A request that has a line in the audit.
pub(crate) trait AuditedRequest {
    /// What it names, as `driver/NAME`. Nothing of a secret, also where one was put by mistake.
    fn resource(&self) -> String;

    /// Its request id; empty where it has none.
    fn request_id(&self) -> &str {
        ""
    }
}

/// An answer to such a request.
pub(crate) trait AuditedAnswer {
    /// What it names, and its uid.
    fn object(&self) -> Option<(String, &str)>;
}

macro_rules! requests {
    ($($message:ident: $kind:literal, $name:ident;)*) => {$(
        impl AuditedRequest for v1::$message {
            fn resource(&self) -> String {
                format!(concat!($kind, "/{}"), self.$name)
            }
            fn request_id(&self) -> &str {
                &self.request_id
            }
        }
    )*};
}

requests! {
    SubmitDriverRequest: "driver", driver_id;
    KillDriverRequest: "driver", driver_id;
    KillApplicationRequest: "application", application_id;
    RegisterApplicationRequest: "application", application_id;
    RequestExecutorsRequest: "application", application_id;
    KillExecutorsRequest: "application", application_id;
    UnregisterApplicationRequest: "application", application_id;
    DrainWorkerRequest: "worker", worker_id;
    UndrainWorkerRequest: "worker", worker_id;
    ForgetWorkerRequest: "worker", worker_id;
    RevokeWorkerRequest: "worker", worker_id;
}

impl AuditedRequest for v1::ForgetAttemptRequest {
    fn resource(&self) -> String {
        format!("worker/{}/attempt/{}", self.worker_id, self.attempt_id)
    }
    fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl AuditedRequest for v1::EndQuarantinedRequest {
    fn resource(&self) -> String {
        format!("worker/{}/attempt/{}", self.worker_id, self.attempt_id)
    }
    fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl AuditedRequest for v1::StepDownRequest {
    fn resource(&self) -> String {
        "leader".to_owned()
    }
    fn request_id(&self) -> &str {
        &self.request_id
    }
}

impl AuditedRequest for v1::BackupRequest {
    fn resource(&self) -> String {
        "store".to_owned()
    }
}

impl AuditedRequest for v1::WatchApplicationRequest {
    fn resource(&self) -> String {
        format!("application/{}", self.application_id)
    }
}

impl AuditedRequest for v1::ReadLogRequest {
    fn resource(&self) -> String {
        use v1::read_log_request::Subject;
        match &self.subject {
            Some(Subject::DriverId(driver)) => format!("driver/{driver}/log"),
            Some(Subject::ApplicationId(application)) => {
                let executor = self.executor_id.unwrap_or_default();
                format!("application/{application}/executor/{executor}/log")
            }
            None => String::new(),
        }
    }
}

impl AuditedRequest for v1::IssueWorkerCertificateRequest {
    fn resource(&self) -> String {
        format!("worker/{}", self.worker_uid)
    }
}

impl AuditedRequest for v1::CreateTokenRequest {
    fn resource(&self) -> String {
        token(&self.token_id)
    }
}

impl AuditedRequest for v1::RevokeTokenRequest {
    fn resource(&self) -> String {
        token(&self.token_id)
    }
}

impl AuditedRequest for v1::BindRoleRequest {
    fn resource(&self) -> String {
        use v1::role_binding::Principal;
        let Some(binding) = &self.binding else { return String::new() };
        let role = muster_types::Role::try_from(binding.role()).map_or("?", muster_types::Role::as_str);
        match &binding.principal {
            Some(Principal::User(name)) => format!("user/{name}/role/{role}"),
            Some(Principal::Group(name)) => format!("group/{name}/role/{role}"),
            None => String::new(),
        }
    }
}

impl AuditedRequest for v1::UnbindRoleRequest {
    fn resource(&self) -> String {
        use v1::unbind_role_request::Principal;
        match &self.principal {
            Some(Principal::User(name)) => format!("user/{name}/role"),
            Some(Principal::Group(name)) => format!("group/{name}/role"),
            None => String::new(),
        }
    }
}

/// The whole token is a likely slip where its id is meant.
fn token(id: &str) -> String {
    id.parse::<TokenId>().map_or_else(|_| "token/?".to_owned(), |id| format!("token/{id}"))
}

macro_rules! answers {
    ($($message:ident: $kind:literal, $field:ident, $name:ident;)*) => {$(
        impl AuditedAnswer for v1::$message {
            fn object(&self) -> Option<(String, &str)> {
                self.$field.as_ref().map(|object| (format!(concat!($kind, "/{}"), object.$name), object.uid.as_str()))
            }
        }
    )*};
}

answers! {
    SubmitDriverResponse: "driver", driver, driver_id;
    KillDriverResponse: "driver", driver, driver_id;
    KillApplicationResponse: "application", application, application_id;
    RegisterApplicationResponse: "application", application, application_id;
    UnregisterApplicationResponse: "application", application, application_id;
    DrainWorkerResponse: "worker", worker, name;
    UndrainWorkerResponse: "worker", worker, name;
    ForgetWorkerResponse: "worker", worker, name;
    RevokeWorkerResponse: "worker", worker, name;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_token_in_place_of_its_id_is_not_shown() {
        let asked = |id: &str| v1::RevokeTokenRequest { token_id: id.to_owned() }.resource();
        assert_eq!(asked("0123456789ab"), "token/0123456789ab");
        assert_eq!(asked("mst_0123456789ab_5ec2e7"), "token/?");
    }
}
