//! Who calls, and what each may do: credentials, the table of methods, and the layers around the
//! services.

mod file;
mod layer;
mod table;
mod token;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use muster_proto::errors::Failure;
use muster_proto::methods::Method;
use muster_types::{Caller, WallTime};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::header::AUTHORIZATION;

pub use file::{AccessFileError, TokenUse, add_token};
pub(crate) use layer::{Authenticate, Authorize};

use crate::clock;
use crate::leader::LeaderSlot;
use file::AccessTable;
use token::Bearer;

/// How often the access file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who may do what on this master.
#[derive(Debug)]
pub(crate) struct AccessControl {
    credentials: Option<Credentials>,
    slot: Arc<LeaderSlot>,
}

/// The tokens that are known, and the file that they are in.
#[derive(Debug)]
struct Credentials {
    path: PathBuf,
    table: ArcSwap<AccessTable>,
    /// Raised with each change of the table.
    changes: watch::Sender<u64>,
}

/// What a caller has shown, judged as far as this master can.
#[derive(Debug, Clone, PartialEq, Eq)]
enum CredentialCheck {
    /// This caller.
    Known(Caller, Option<WallTime>),
    /// A credential that this master does not know, and the leader may.
    ForLeader,
}

impl AccessControl {
    /// Without a file, whoever reaches this master may do everything.
    pub(crate) fn new(file: Option<&Path>, slot: Arc<LeaderSlot>) -> Result<AccessControl, AccessFileError> {
        let credentials = file.map(|path| {
            let table = ArcSwap::from_pointee(AccessTable::load(path)?);
            Ok(Credentials { path: path.to_owned(), table, changes: watch::Sender::new(0) })
        });
        Ok(AccessControl { credentials: credentials.transpose()?, slot })
    }

    /// Reads the file again whenever it has changed. A file that makes no sense leaves the table as
    /// it was, and is reported once.
    pub(crate) async fn keep_read(&self) {
        let Some(credentials) = &self.credentials else { return std::future::pending().await };
        let mut reported = String::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let path = credentials.path.clone();
            let read = tokio::task::spawn_blocking(move || AccessTable::load(&path)).await;
            let Ok(read) = read else { continue };
            match read {
                Ok(table) if table != **credentials.table.load() => {
                    tracing::info!(tokens = table.tokens.len(), "the access file has changed");
                    credentials.table.store(Arc::new(table));
                    credentials.changes.send_modify(|changes| *changes += 1);
                    reported.clear();
                }
                Ok(_) => reported.clear(),
                Err(error) => {
                    let line = crate::error_line(&error);
                    if line != reported {
                        tracing::error!(error = line, "the access file is not used; what was read before stands");
                        reported = line;
                    }
                }
            }
        }
    }

    /// Who makes a call that this master answers itself, if that caller may make it.
    fn admit(&self, method: Method, headers: &HeaderMap) -> Result<(Caller, Option<WallTime>), Failure> {
        match self.examine(headers)? {
            CredentialCheck::Known(caller, expires) => {
                table::permit(method, &caller)?;
                Ok((caller, expires))
            }
            // What only a leader can tell is nobody here.
            CredentialCheck::ForLeader if table::permit(method, &Caller::Anonymous).is_ok() => {
                Ok((Caller::Anonymous, None))
            }
            CredentialCheck::ForLeader => Err(unknown()),
        }
    }

    /// Refuses what no leader could make good. A leader's table may be newer than this one's, so a
    /// token that is not known here goes on to it.
    fn screen(&self, method: Method, headers: &HeaderMap) -> Result<(), Failure> {
        match self.examine(headers) {
            Ok(CredentialCheck::Known(caller, _)) => table::permit(method, &caller),
            Ok(CredentialCheck::ForLeader) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn examine(&self, headers: &HeaderMap) -> Result<CredentialCheck, Failure> {
        let Some(credentials) = &self.credentials else { return Ok(CredentialCheck::Known(Caller::Local, None)) };
        let Some(bearer) = bearer(headers)? else { return Ok(CredentialCheck::Known(Caller::Anonymous, None)) };
        match bearer {
            Bearer::Token { id, secret } => {
                let table = credentials.table.load();
                let Some(entry) = table.tokens.get(id).filter(|entry| entry.digest.is_of(secret)) else {
                    return if self.leads() { Err(unknown()) } else { Ok(CredentialCheck::ForLeader) };
                };
                if entry.expires.is_some_and(|expires| expires <= clock::wall()) {
                    return Err(Failure::CredentialExpired { credential: format!("token {id}") });
                }
                let name = entry.name.clone();
                let caller = match entry.is_for {
                    TokenUse::User(role) => Caller::User { name, role },
                    TokenUse::Worker => Caller::Worker { name },
                };
                Ok(CredentialCheck::Known(caller, entry.expires))
            }
            Bearer::Attempt { driver, number, token } => {
                let Ok(leading) = self.slot.leading() else { return Ok(CredentialCheck::ForLeader) };
                // By its uid alone: another's name may look like it.
                let found = leading.view.read().drivers.get(driver.0).cloned();
                let open = found.as_ref().and_then(|driver| driver.record.attempts.last());
                let is_open = open.is_some_and(|attempt| {
                    attempt.number == number
                        && attempt.outcome.is_none()
                        && bool::from(attempt.token.expose().as_bytes().ct_eq(token.as_bytes()))
                });
                if is_open {
                    Ok(CredentialCheck::Known(Caller::Attempt { driver, number }, None))
                } else {
                    Err(unknown())
                }
            }
        }
    }

    fn leads(&self) -> bool {
        self.slot.leading().is_ok()
    }

    /// Ready once a stream that was admitted must end, with the reason.
    async fn ended(
        self: Arc<AccessControl>,
        method: Method,
        headers: HeaderMap,
        mut expires: Option<WallTime>,
    ) -> Failure {
        let Some(credentials) = &self.credentials else { return std::future::pending().await };
        let mut changes = credentials.changes.subscribe();
        loop {
            let expired = async {
                match expires {
                    // The wall clock decides, and may be set: it is looked at again and again.
                    Some(at) => tokio::time::sleep(until(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = expired => {}
                // The sender lives as long as this.
                _ = changes.changed() => {}
            }
            match self.admit(method, &headers) {
                Ok((_, newer)) => expires = newer,
                Err(failure) => return failure,
            }
        }
    }
}

/// The longest pause between two looks at the wall clock.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(30);

fn until(at: WallTime) -> Duration {
    let left = Duration::from_millis(at.0.saturating_sub(clock::wall().0));
    left.clamp(Duration::from_millis(10), LOOK_AT_CLOCK)
}

fn unknown() -> Failure {
    let message = "this credential is not known here, or was revoked; see who gave it to you".to_owned();
    Failure::BadCredential { message }
}

/// The bearer of a call; `None` where there is none. The scheme is compared as HTTP does.
fn bearer(headers: &HeaderMap) -> Result<Option<Bearer<'_>>, Failure> {
    let malformed = |message: &str| Failure::BadCredential { message: message.to_owned() };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed("there is more than one authorization header"));
    }
    let text = value.to_str().map_err(|_| malformed("the authorization header is not text"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(malformed("the authorization header does not begin with `Bearer`"));
    }
    let bearer = Bearer::parse(token.trim()).ok_or_else(|| malformed("the token has not the form of one"))?;
    Ok(Some(bearer))
}
