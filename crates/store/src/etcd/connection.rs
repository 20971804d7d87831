//! Connections to the members of an etcd. Each task has its own, so that a slow call delays no
//! other task.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Channel, Client, ConnectOptions};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::failure::{EtcdFailure, FailureKind};
use super::location::{EtcdLocation, EtcdTls};
use crate::OpenError;

/// A member that accepts no connection in this time is skipped.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// The interval of pings on an idle connection. etcd closes connections that ping more often than
/// every 5 s; calls that must fail sooner have their own deadlines.
const PING_EVERY: Duration = Duration::from_secs(6);
const PING_WITHIN: Duration = Duration::from_secs(2);
/// The pause between attempts that fail at once.
const PAUSE: Duration = Duration::from_millis(50);

/// The client is boxed because it takes some kilobytes, which every future that holds one would
/// carry.
pub(super) type ClientHandle = Box<Client>;

/// How to reach the members.
pub(super) struct Access {
    endpoints: Vec<Endpoint>,
    names: Vec<String>,
    options: ConnectOptions,
}

impl Access {
    /// Reads the files that the location names.
    pub(super) fn new(location: &EtcdLocation) -> Result<Access, OpenError> {
        let tls = location.tls.as_ref().map(tls).transpose()?;
        let endpoints = location.endpoints.iter().map(|name| endpoint(name, tls.as_ref()));
        let mut options = ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
        if let Some(user) = &location.user {
            let password = location.password.as_ref().map_or("", |password| password.reveal());
            options = options.with_user(user, password);
        }
        Ok(Access { endpoints: endpoints.collect::<Result<_, _>>()?, names: location.endpoints.clone(), options })
    }

    /// Their number; at least one.
    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// A connection to one of them.
    pub(super) fn connection(self: &Arc<Access>, index: usize) -> EtcdConnection {
        EtcdConnection { access: self.clone(), index: index % self.len(), client: None }
    }

    async fn client(&self, index: usize) -> Result<Client, EtcdFailure> {
        let channel = self.endpoints[index].connect_lazy();
        Client::from_channel(Channel::Tonic(channel), Some(self.options.clone())).await.map_err(EtcdFailure::from)
    }
}

fn tls(files: &EtcdTls) -> Result<ClientTlsConfig, OpenError> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).map_err(|source| OpenError::Directory { path: path.clone(), source })
    };
    let mut tls = ClientTlsConfig::new();
    if let Some(ca) = &files.ca {
        tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
    }
    if let (Some(cert), Some(key)) = (&files.cert, &files.key) {
        tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(tls)
}

fn endpoint(name: &str, tls: Option<&ClientTlsConfig>) -> Result<Endpoint, OpenError> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let wrong = |_| OpenError::EtcdLocation { reason: "an endpoint or a certificate is not understood" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{name}")).map_err(wrong)?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_WITHIN)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN)
        .keep_alive_while_idle(true)
        // A page of a load or a large transaction fits the window.
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    match tls {
        Some(tls) => endpoint.tls_config(tls.clone()).map_err(wrong),
        None => Ok(endpoint),
    }
}

/// A connection to one member at a time; it moves to the next after a failure.
pub(super) struct EtcdConnection {
    access: Arc<Access>,
    index: usize,
    client: Option<ClientHandle>,
}

impl EtcdConnection {
    /// Another connection, which begins with the same member.
    pub(super) fn another(&self) -> EtcdConnection {
        self.access.connection(self.index)
    }

    /// The name of the present member.
    pub(super) fn name(&self) -> &str {
        &self.access.names[self.index]
    }

    /// The access that it uses.
    pub(super) fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// A handle of the open client, if there is one.
    pub(super) fn current(&self) -> Option<ClientHandle> {
        self.client.clone()
    }

    /// Switches to the next member.
    pub(super) fn rotate(&mut self) {
        self.client = None;
        self.index = (self.index + 1) % self.access.len();
    }

    /// One attempt at one member.
    pub(super) async fn once<T, F>(
        &mut self,
        within: Duration,
        ask: impl FnOnce(ClientHandle) -> F,
    ) -> Result<T, EtcdFailure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let attempt = async {
            let client = match &self.client {
                Some(client) => client.clone(),
                None => self.client.insert(Box::new(self.access.client(self.index).await?)).clone(),
            };
            Box::pin(ask(client)).await.map_err(EtcdFailure::from)
        };
        let answer = tokio::time::timeout(within, attempt).await;
        let answer = answer.unwrap_or_else(|_| Err(EtcdFailure::unanswered("no answer in time")));
        if let Err(EtcdFailure { kind: FailureKind::Unanswered | FailureKind::Denied, .. }) = &answer {
            self.rotate();
        }
        answer
    }

    /// Makes attempts at one member after the other, until one answers or the total time has
    /// passed; each attempt has `within`. Only for calls that may be made more than once.
    pub(super) async fn persist<T, F>(
        &mut self,
        within: Duration,
        total: Duration,
        mut ask: impl FnMut(ClientHandle) -> F,
    ) -> Result<T, EtcdFailure>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let begun = Instant::now();
        loop {
            let left = total.saturating_sub(begun.elapsed());
            match self.once(within.min(left), &mut ask).await {
                Err(failure) if failure.kind == FailureKind::Unanswered && begun.elapsed() + PAUSE < total => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}
