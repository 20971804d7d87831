//! The handle of an application.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_client::{CallError, Client, v1};
use muster_types::Secret;

use crate::{ApplicationSession, Context};

/// A registered application. It is cheap to clone; dropping it does not end the application.
#[derive(Debug, Clone)]
pub struct Application {
    client: Client,
    token: Option<Secret>,
    uid: String,
    name: String,
    sequence: Arc<AtomicU64>,
}

impl Application {
    /// Registers an application under a name that the master makes.
    pub async fn register(context: &Context, spec: v1::ApplicationSpec) -> Result<Application, CallError> {
        Application::register_as(context, String::new(), spec).await
    }

    /// Registers an application under a name; an empty one lets the master make one.
    pub async fn register_as(
        context: &Context,
        application_id: String,
        application: v1::ApplicationSpec,
    ) -> Result<Application, CallError> {
        let client = context.client();
        let request = v1::RegisterApplicationRequest {
            application: Some(application),
            application_id,
            driver_token: exposed(context.token.as_ref()),
            ..Default::default()
        };
        let shown = client.register_application(request).await?;
        Ok(Application {
            client,
            token: context.token.clone(),
            uid: shown.uid,
            name: shown.application_id,
            sequence: Arc::new(AtomicU64::new(first_sequence())),
        })
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Opens the session that keeps the application alive. It resumes by itself; a later session
    /// ends an earlier one. It must be called within a tokio runtime.
    pub fn open_session(&self) -> ApplicationSession {
        let request = v1::WatchApplicationRequest {
            application_id: self.uid.clone(),
            driver_token: exposed(self.token.as_ref()),
            resume_revision: 0,
        };
        ApplicationSession::open(self.client.clone(), request)
    }

    /// Sets the total number of executors of each profile. Profiles that are not named keep theirs.
    /// Returns false when the master already knew a later request.
    pub async fn request_executors(&self, totals: &BTreeMap<u32, u32>) -> Result<bool, CallError> {
        let target = |(profile, target): (&u32, &u32)| v1::ProfileTarget {
            profile_id: *profile,
            target: *target,
            ..Default::default()
        };
        self.request_targets(totals.iter().map(target).collect(), Vec::new()).await
    }

    /// The same with all fields of a target; `excluded_hosts` replaces the former set.
    pub async fn request_targets(
        &self,
        targets: Vec<v1::ProfileTarget>,
        excluded_hosts: Vec<String>,
    ) -> Result<bool, CallError> {
        let request = v1::RequestExecutorsRequest {
            application_id: self.uid.clone(),
            driver_token: exposed(self.token.as_ref()),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            targets,
            excluded_hosts,
            ..Default::default()
        };
        Ok(self.client.request_executors(request).await?.accepted)
    }

    /// Ends executors. With `replace` the target stays, and others take their place. Returns a
    /// result for each, in order.
    pub async fn kill_executors(
        &self,
        executor_ids: Vec<u32>,
        replace: bool,
    ) -> Result<Vec<v1::kill_executors_response::Result>, CallError> {
        let request = v1::KillExecutorsRequest {
            application_id: self.uid.clone(),
            driver_token: exposed(self.token.as_ref()),
            executor_ids,
            replace,
            ..Default::default()
        };
        Ok(self.client.kill_executors(request).await?.results)
    }

    /// Ends the application; remaining executors are killed.
    pub async fn unregister(&self, success: bool, message: &str) -> Result<(), CallError> {
        self.unregister_within(success, message, Duration::ZERO).await
    }

    /// The same, with time for executors to end by themselves.
    pub async fn unregister_within(&self, success: bool, message: &str, grace: Duration) -> Result<(), CallError> {
        let grace = prost_types::Duration::try_from(grace).ok();
        let request = v1::UnregisterApplicationRequest {
            application_id: self.uid.clone(),
            driver_token: exposed(self.token.as_ref()),
            success,
            message: message.to_owned(),
            grace,
            ..Default::default()
        };
        self.client.unregister_application(request).await.map(|_| ())
    }
}

fn exposed(token: Option<&Secret>) -> String {
    token.map(|token| token.expose().to_owned()).unwrap_or_default()
}

/// Sequences begin at the wall clock in microseconds, so that requests of a restarted program do
/// not count as older ones.
fn first_sequence() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(1).max(1)
}
