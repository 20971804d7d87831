//! The client through which commands call the masters.

use std::future::Future;
use std::time::Duration;

use muster_client::v1::{Application, Driver, GetApplicationRequest, GetDriverRequest, GetWorkerRequest, Worker};
use muster_client::{
    CallError, Client, ConnectOptions, KeyDigest, MasterAddresses, Mismatch, TraceContext, Trust, mismatch,
    new_request_id,
};

use crate::contexts::Target;
use crate::failure::{AnswerRefused, CommandFailure};
use crate::progress::Progress;
use crate::similar::similar;

/// The deadline of a call: long enough for another master to take over, short enough for a person
/// who waits.
const DEADLINE: Duration = Duration::from_secs(10);
/// The deadline of a call that waits for a driver through restarts and upgrades of masters.
const PATIENCE: Duration = Duration::from_secs(3600);
/// People are told when there is no answer after this time.
const UNEASY: Duration = Duration::from_millis(800);
/// The most names that are searched for suggestions.
const NAMES: usize = 10_000;

/// The span that this command runs for, where a program or a pipeline that is traced has started
/// it.
fn trace() -> Option<TraceContext> {
    std::env::var(TraceContext::VARIABLE).ok()?.parse().ok()
}

/// A cluster's masters.
#[derive(Debug, Clone)]
pub(crate) struct MasterClient {
    client: Client,
    masters: String,
    addresses: Vec<String>,
    trust: Option<Trust>,
}

impl MasterClient {
    /// Makes a client of a cluster.
    pub(crate) fn new(target: &Target) -> Result<MasterClient, CommandFailure> {
        MasterClient::with_deadline(target, DEADLINE)
    }

    /// The same with another deadline of calls.
    pub(crate) fn with_deadline(target: &Target, deadline: Duration) -> Result<MasterClient, CommandFailure> {
        let text = &target.masters;
        let masters: MasterAddresses = text.parse().map_err(|_| CommandFailure::Masters(text.clone()))?;
        let trust = target.trust.clone();
        let options = ConnectOptions {
            deadline,
            try_timeout: deadline,
            trust: trust.clone(),
            token: target.token.clone(),
            trace: trace(),
            ..ConnectOptions::default()
        };
        let addresses = masters.addresses().to_vec();
        let (masters, client) = (masters.to_string(), Client::with_options(masters, options));
        Ok(MasterClient { masters, addresses, trust, client })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What the cluster's CA is known by, where connections are over TLS.
    pub(crate) fn ca_digest(&self) -> Option<KeyDigest> {
        self.trust.as_ref().and_then(Trust::ca_digest)
    }

    /// The same client with a deadline that outlasts restarts of masters.
    pub(crate) fn patient(&self) -> MasterClient {
        MasterClient { client: self.client.with_deadline(PATIENCE), ..self.clone() }
    }

    /// Makes a call that changes nothing.
    pub(crate) async fn ask<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CommandFailure> {
        self.watched(call).await?.map_err(|error| self.failure(error, None))
    }

    /// Makes a call that changes something. It gets a request id, so that it is safe to repeat.
    pub(crate) async fn change<T, F>(&self, call: impl FnOnce(String) -> F) -> Result<T, CommandFailure>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        self.change_as(new_request_id(), call).await
    }

    /// The same under a given request id.
    pub(crate) async fn change_as<T, F>(&self, id: String, call: impl FnOnce(String) -> F) -> Result<T, CommandFailure>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        self.watched(call(id.clone())).await?.map_err(|error| self.failure(error, Some(id)))
    }

    /// The failure of a call that changes nothing.
    pub(crate) fn read_failure(&self, error: CallError) -> CommandFailure {
        self.failure(error, None)
    }

    fn failure(&self, error: CallError, request_id: Option<String>) -> CommandFailure {
        CommandFailure::Server(Box::new(AnswerRefused { error, request_id, masters: self.masters.clone() }))
    }

    /// Says on a terminal when no answer has arrived yet. A master that can never answer, because
    /// one side speaks TLS that the other does not take, is not waited for.
    async fn watched<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<Result<T, CallError>, CommandFailure> {
        tokio::pin!(call);
        let early = tokio::select! {
            answer = &mut call => Some(answer),
            () = tokio::time::sleep(UNEASY) => None,
        };
        let is_in_doubt = early.as_ref().is_none_or(|answer| answer.as_ref().is_err_and(CallError::is_unreachable));
        if is_in_doubt && let Some(failure) = self.mismatch(early.is_some()).await {
            return Err(failure);
        }
        if let Some(answer) = early {
            return Ok(answer);
        }
        let progress = Progress::begin(format!("waiting for an answer from {}", self.masters));
        let answer = call.await;
        drop(progress);
        match answer.as_ref().is_err_and(|error| error.reason().is_none()) {
            true => self.mismatch(true).await.map_or(Ok(answer), Err),
            false => Ok(answer),
        }
    }

    /// Whether TLS keeps this client and the masters apart: any of them once the call has failed,
    /// all of them while one may still answer.
    async fn mismatch(&self, has_failed: bool) -> Option<CommandFailure> {
        let mut found: Option<(&String, Mismatch)> = None;
        for address in &self.addresses {
            match mismatch(address, self.trust.as_ref(), UNEASY).await {
                Some(mismatch) => found = Some((address, mismatch)),
                None if has_failed => {}
                None => return None,
            }
        }
        found.map(|(address, mismatch)| CommandFailure::Mismatch(address.clone(), mismatch))
    }

    /// A driver by name or uid, with the token to watch from; the failure for a missing driver
    /// lists similar names.
    pub(crate) async fn driver(&self, id: &str) -> Result<(Driver, String), CommandFailure> {
        let request = GetDriverRequest { driver_id: id.to_owned() };
        match self.ask(self.client.get_driver(request)).await {
            Ok(answer) => Ok((answer.driver.unwrap_or_default(), answer.resume_token)),
            Err(failure) if failure.is_not_found() => Err(self.no_driver(id).await),
            Err(failure) => Err(failure),
        }
    }

    /// An application by name or uid, likewise.
    pub(crate) async fn application(&self, id: &str) -> Result<(Application, String), CommandFailure> {
        let request = GetApplicationRequest { application_id: id.to_owned() };
        match self.ask(self.client.get_application(request)).await {
            Ok(answer) => Ok((answer.application.unwrap_or_default(), answer.resume_token)),
            Err(failure) if failure.is_not_found() => Err(self.no_application(id).await),
            Err(failure) => Err(failure),
        }
    }

    /// A worker by name or uid, likewise.
    pub(crate) async fn worker(&self, id: &str) -> Result<(Worker, String), CommandFailure> {
        let request = GetWorkerRequest { worker_id: id.to_owned() };
        match self.ask(self.client.get_worker(request)).await {
            Ok(answer) => Ok((answer.worker.unwrap_or_default(), answer.resume_token)),
            Err(failure) if failure.is_not_found() => Err(self.no_worker(id).await),
            Err(failure) => Err(failure),
        }
    }

    /// The failure for a driver that does not exist.
    pub(crate) async fn no_driver(&self, id: &str) -> CommandFailure {
        CommandFailure::NotFound {
            kind: "driver",
            id: id.to_owned(),
            similar: similar(id, self.driver_names().await.iter().map(String::as_str)),
        }
    }

    /// The failure for an application that does not exist.
    pub(crate) async fn no_application(&self, id: &str) -> CommandFailure {
        let names = self.application_names().await;
        CommandFailure::NotFound {
            kind: "application",
            id: id.to_owned(),
            similar: similar(id, names.iter().map(String::as_str)),
        }
    }

    /// The failure for a name that neither a driver nor an application has.
    pub(crate) async fn no_driver_or_application(&self, id: &str) -> CommandFailure {
        let mut names = self.driver_names().await;
        names.extend(self.application_names().await);
        let similar = similar(id, names.iter().map(String::as_str));
        CommandFailure::NotFound { kind: "driver or application", id: id.to_owned(), similar }
    }

    /// The failure for a worker that does not exist.
    pub(crate) async fn no_worker(&self, id: &str) -> CommandFailure {
        // A suggestion that cannot be made is left out.
        let workers = self.client.workers("", NAMES).await.map(|listed| listed.items).unwrap_or_default();
        let similar = similar(id, workers.iter().map(|worker| worker.name.as_str()));
        CommandFailure::NotFound { kind: "worker", id: id.to_owned(), similar }
    }

    async fn driver_names(&self) -> Vec<String> {
        let drivers = self.client.drivers("", NAMES).await.map(|listed| listed.items).unwrap_or_default();
        drivers.into_iter().map(|driver| driver.driver_id).collect()
    }

    async fn application_names(&self) -> Vec<String> {
        let applications = self.client.applications("", NAMES).await.map(|listed| listed.items).unwrap_or_default();
        applications.into_iter().map(|application| application.application_id).collect()
    }
}
