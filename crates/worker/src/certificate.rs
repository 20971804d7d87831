//! The certificate that this worker shows to masters: found on disk, asked for, and renewed in
//! time.
//!
//! The key never leaves the machine. A master knows a worker by it from the first hello on, so the
//! certificate for a known key is given without a token, even long after the last one has ended.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_proto::BearerToken;
use muster_proto::errors::{reason, reason_of};
use muster_proto::v1::IssueWorkerCertificateRequest;
use muster_proto::v1::access_service_client::AccessServiceClient;
use muster_tls::{
    Connector, HeldCertificate, PeerCertificate, TlsError, Trust, WORKER_CA_FILE, WORKER_CHAIN_FILE, WORKER_KEY_FILE,
    WorkerKey, digest_of_ca, fetch_ca, renewal_time,
};
use muster_types::{KeyDigest, WallTime, WorkerUid};
use tokio::sync::watch;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

use crate::clock;
use crate::config::MasterTrust;
use crate::launch::in_one_line;
use crate::link::explained;
use crate::status::AgentStatus;

/// What stands before the digest of a CA that is no longer the first. Readers of PEM skip it.
const JOINED_BY: &str = "# joined by ";

/// How long a master may take for a connection, and for its answer.
const CONNECT_WITHIN: Duration = Duration::from_millis(1_500);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest pause between two looks at the wall clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The least pause after a failure: where there is no certificate that holds, and else. Up to as
/// much again is added by chance.
const RETRY_WITHOUT: Duration = Duration::from_millis(500);
const RETRY: Duration = Duration::from_secs(60);

/// What is shown to masters, and until when it holds.
#[derive(Debug, Clone)]
pub struct ShownCertificate {
    /// Shown by whoever dials a master, and by this worker's own server.
    pub held: HeldCertificate,
    /// The end of the one that is held; `None` before the first.
    pub until: watch::Receiver<Option<WallTime>>,
}

/// A worker's certificate and its key.
#[derive(Debug)]
pub struct WorkerCertificate {
    uid: WorkerUid,
    key: WorkerKey,
    held: HeldCertificate,
    newest: Option<PeerCertificate>,
    until: watch::Sender<Option<WallTime>>,
    /// Where the chain is kept.
    file: PathBuf,
    trust: Trust,
    /// Where the CAs are kept for the next start, and where for programs, if they are this
    /// worker's to keep.
    ca_files: Option<(PathBuf, Option<PathBuf>)>,
    token: Option<BearerToken>,
    /// How much of a tenth of its life earlier than others this worker renews.
    of_tenth: f64,
}

/// Trust in the masters of the cluster: as it was given, as an earlier join left it, or by the
/// digest that a token holds, in which case a master is asked for the CA until one answers. `None`
/// where connections are in the clear.
pub async fn find_trust(
    given: Option<MasterTrust>,
    pin: Option<KeyDigest>,
    masters: &[String],
    state_dir: &Path,
    for_programs: &Path,
) -> Result<Option<MasterTrust>, TlsError> {
    if given.is_some() {
        return Ok(given);
    }
    let Some(pem) = find_ca(pin, masters, state_dir).await? else { return Ok(None) };
    let file = for_programs.join(WORKER_CA_FILE);
    // Programs run as others, who may not enter the state directory.
    muster_os::file::replace(&file, &pem).map_err(|error| TlsError::File(file.clone(), error))?;
    Ok(Some(MasterTrust { trust: Trust::in_ca(&pem)?, file }))
}

/// The CA that an earlier join left, or the one of a digest, in which case a master is asked for it
/// until one answers. `None` where there is neither.
pub async fn find_ca(pin: Option<KeyDigest>, masters: &[String], state_dir: &Path) -> Result<Option<String>, TlsError> {
    let kept = state_dir.join(WORKER_CA_FILE);
    let failed = |error| TlsError::File(kept.clone(), error);
    let stored = match fs::read_to_string(&kept) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        stored => Some(stored.map_err(failed)?),
    };
    let is_of = |pem: &str, pin| digest_of_ca(pem) == Some(pin) || joined_by(pem).contains(&pin);
    let stored = stored.filter(|pem| pin.is_none_or(|pin| is_of(pem, pin)));
    match (stored, pin) {
        (Some(pem), _) => {
            Ok(Some(pem.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()))
        }
        (None, None) => Ok(None),
        (None, Some(pin)) => {
            let pem = ask_for_ca(masters, pin).await;
            muster_os::file::replace_private(&kept, &pem).map_err(failed)?;
            Ok(Some(pem))
        }
    }
}

/// Whether a worker of this state directory knows whom to trust from an earlier join.
pub fn has_joined(state_dir: &Path) -> bool {
    state_dir.join(WORKER_CA_FILE).exists()
}

/// The CAs that a worker has joined by, as the file of those that it trusts tells beside them.
fn joined_by(text: &str) -> Vec<KeyDigest> {
    text.lines().filter_map(|line| line.strip_prefix(JOINED_BY)?.parse().ok()).collect()
}

async fn ask_for_ca(masters: &[String], pin: KeyDigest) -> String {
    let mut said = String::new();
    loop {
        for master in masters {
            match fetch_ca(master, pin, CONNECT_WITHIN).await {
                Ok(pem) => return pem,
                Err(error) => {
                    let error = in_one_line(&error);
                    if error != said {
                        tracing::warn!(master, error, "no CA of the token's digest; trying on");
                        said = error;
                    }
                }
            }
        }
        tokio::time::sleep(spread(RETRY_WITHOUT)).await;
    }
}

impl WorkerCertificate {
    /// Opens the key, which is made at the first start, and the certificate of an earlier run.
    pub fn open(
        state_dir: &Path,
        uid: WorkerUid,
        trust: Trust,
        token: Option<BearerToken>,
    ) -> Result<WorkerCertificate, TlsError> {
        let key = WorkerKey::load_or_make(&state_dir.join(WORKER_KEY_FILE))?;
        let (held, file) = (HeldCertificate::default(), state_dir.join(WORKER_CHAIN_FILE));
        // One that cannot be read is asked for anew, like one that is not there; and so is one of a
        // CA that is trusted no more, since masters would refuse it for as long as it holds.
        let chain = fs::read_to_string(&file).ok().filter(|chain| trust.holds(chain));
        let newest = chain.and_then(|chain| key.show(&chain, &held).ok());
        let until = watch::Sender::new(newest.as_ref().map(|newest| newest.expires));
        #[expect(clippy::cast_precision_loss, reason = "a random number")]
        let of_tenth = clock::entropy() as f64 / u64::MAX as f64;
        Ok(WorkerCertificate { uid, key, held, newest, until, file, trust, ca_files: None, token, of_tenth })
    }

    /// The same, which keeps the CAs that it learns of: those of a state directory were not given
    /// by an operator, who would have to exchange them.
    #[must_use]
    pub fn keeping_cas(self, state_dir: &Path, for_programs: Option<&Path>) -> WorkerCertificate {
        let programs = for_programs.map(|directory| directory.join(WORKER_CA_FILE));
        WorkerCertificate { ca_files: Some((state_dir.join(WORKER_CA_FILE), programs)), ..self }
    }

    /// Trusts the CAs of the cluster as a master has told them with a certificate: one may be about
    /// to take the place of another.
    fn learn(&self, cas: &str) -> Result<(), TlsError> {
        let before = self.trust.pem();
        if !self.trust.replace(cas)? {
            return Ok(());
        }
        tracing::info!("the CAs of the cluster have changed");
        let Some((kept, programs)) = &self.ca_files else {
            tracing::warn!("exchange the file of --ca before this worker is started again");
            return Ok(());
        };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| TlsError::File(path, error)
        };
        // The token that this worker may be started with again names the CA that it joined by.
        let mut known: Vec<KeyDigest> = fs::read_to_string(kept).map(|text| joined_by(&text)).unwrap_or_default();
        known.extend(digest_of_ca(&before).filter(|digest| !known.contains(digest)));
        let lines: String = known.iter().map(|digest| format!("{JOINED_BY}{digest}\n")).collect();
        muster_os::file::replace_private(kept, format!("{lines}{cas}")).map_err(failed(kept))?;
        match programs {
            Some(file) => muster_os::file::replace(file, cas).map_err(failed(file)),
            None => Ok(()),
        }
    }

    /// What masters are shown from now on.
    pub fn shown(&self) -> ShownCertificate {
        ShownCertificate { held: self.held.clone(), until: self.until.subscribe() }
    }

    /// Asks for the certificate whenever it is time, for ever: of the leader, if it is known, and
    /// of the others.
    pub async fn keep(mut self, masters: Vec<String>, status: AgentStatus) -> Infallible {
        let mut said = String::new();
        loop {
            let now = clock::wall();
            if let Some(left) = self.due().map(|due| due.0.saturating_sub(now.0)).filter(|left| *left > 0) {
                // The wall clock may be set, or the machine be suspended.
                tokio::time::sleep(Duration::from_millis(left).min(LOOK_EVERY)).await;
                continue;
            }
            let leader = status.view().registered.map(|(leader, _)| leader);
            let asked = self.ask_in_turn(leader.into_iter().chain(masters.iter().cloned())).await;
            match asked {
                Ok(()) => {
                    said.clear();
                    if self.due().is_some_and(|due| due <= clock::wall()) {
                        // By the master's clock it is new. Asking on would give the same again.
                        tracing::warn!("a new certificate is due for renewal already: check this machine's clock");
                        tokio::time::sleep(spread(RETRY)).await;
                    }
                }
                Err(NotIssued { message: error, .. }) => {
                    let holds = self.newest.as_ref().is_some_and(|newest| newest.expires > now);
                    if error != said {
                        tracing::warn!(error, "no new certificate; trying on");
                        said = error;
                    }
                    tokio::time::sleep(spread(if holds { RETRY } else { RETRY_WITHOUT })).await;
                }
            }
        }
    }

    /// When the next one is asked for.
    fn due(&self) -> Option<WallTime> {
        self.newest.as_ref().map(|newest| renewal_time(newest.begins, newest.expires, self.of_tenth))
    }

    /// Asks until a master gives a certificate or refuses to.
    ///
    /// # Errors
    /// The refusal, as a sentence.
    pub async fn obtain(mut self, masters: Vec<String>) -> Result<(), String> {
        let mut said = String::new();
        loop {
            match self.ask_in_turn(masters.iter().cloned()).await {
                Ok(()) => return Ok(()),
                Err(refused) if refused.is_final => return Err(refused.message),
                Err(NotIssued { message: error, .. }) if error != said => {
                    tracing::warn!(error, "no certificate yet; trying on");
                    said = error;
                }
                Err(_) => {}
            }
            tokio::time::sleep(spread(RETRY_WITHOUT)).await;
        }
    }

    async fn ask_in_turn(&mut self, masters: impl Iterator<Item = String>) -> Result<(), NotIssued> {
        let mut last = NotIssued::for_now("no master is known".to_owned());
        for master in masters {
            match self.ask(&master).await {
                Ok(()) => return Ok(()),
                Err(NotIssued { message, is_final }) => {
                    last = NotIssued { message: format!("{master}: {message}"), is_final };
                }
            }
        }
        Err(last)
    }

    /// Asks one master, without the token first: an old one would only be refused.
    async fn ask(&mut self, master: &str) -> Result<(), NotIssued> {
        let unusable = |error: &dyn std::error::Error| NotIssued::for_now(in_one_line(error));
        let endpoint = Endpoint::from_shared(format!("http://{master}")).map_err(|error| unusable(&error))?;
        // The certificate itself is not shown: it may have ended.
        let connector = Connector::new(Some(self.trust.clone()), CONNECT_WITHIN);
        let channel = endpoint.timeout(ANSWER_WITHIN).connect_with_connector(connector).await;
        let channel = match channel {
            Ok(channel) => channel,
            Err(error) => {
                let message = explained(in_one_line(&error), master, Some(&self.trust)).await;
                return Err(NotIssued::for_now(message));
            }
        };
        let mut client = AccessServiceClient::new(channel);
        let wanted = IssueWorkerCertificateRequest {
            worker_uid: self.uid.to_string(),
            certificate_request: self.key.request().map_err(|error| unusable(&error))?.into(),
        };
        let answer = match client.issue_worker_certificate(wanted.clone()).await {
            Err(status) if reason_of(&status).as_deref() == Some(reason::NO_CREDENTIAL) => {
                let Some(token) = &self.token else {
                    let message =
                        "the worker is not known yet, so it needs a token of workers: --token-file".to_owned();
                    return Err(NotIssued { message, is_final: true });
                };
                let mut request = Request::new(wanted);
                token.attach_where_private(&mut request, master, true);
                client.issue_worker_certificate(request).await
            }
            answer => answer,
        };
        let refused = |status: Status| NotIssued {
            message: status.message().to_owned(),
            is_final: matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument),
        };
        let issued = answer.map_err(refused)?.into_inner();
        let newest = self.key.show(&issued.certificate_chain, &self.held).map_err(|error| unusable(&error))?;
        if let Err(error) = muster_os::file::replace_private(&self.file, &issued.certificate_chain) {
            // It is asked for again after a restart.
            tracing::warn!(%error, file = %self.file.display(), "cannot keep the certificate");
        }
        if let Err(error) = self.learn(&issued.ca_certificates) {
            // They come again with the next certificate.
            tracing::warn!(error = in_one_line(&error), "cannot keep the CAs of the cluster");
        }
        tracing::info!(master, "has a certificate");
        self.until.send_replace(Some(newest.expires));
        self.newest = Some(newest);
        Ok(())
    }
}

/// Why there is no certificate.
struct NotIssued {
    message: String,
    /// Whether a master refused it, so that asking again changes nothing.
    is_final: bool,
}

impl NotIssued {
    fn for_now(message: String) -> NotIssued {
        NotIssued { message, is_final: false }
    }
}

/// A pause, and up to as much again by chance.
fn spread(pause: Duration) -> Duration {
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
    pause + Duration::from_millis(clock::entropy() % millis)
}

#[cfg(test)]
mod tests {
    use muster_tls::Authority;

    use super::*;

    #[tokio::test]
    async fn cas_that_are_learnt_are_kept_for_the_next_start_and_its_old_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let (old, new) = (Authority::create(&path("old")).unwrap(), Authority::create(&path("new")).unwrap());
        let (state, programs) = (path("state"), path("programs"));
        for made in [&state, &programs] {
            fs::create_dir(made).unwrap();
        }
        fs::write(state.join(WORKER_CA_FILE), old.pem()).unwrap();
        let found = find_trust(None, Some(old.digest()), &[], &state, &programs).await.unwrap().unwrap();
        let open = |trust: &Trust| WorkerCertificate::open(&state, WorkerUid(7), trust.clone(), None).unwrap();
        let worker = open(&found.trust).keeping_cas(&state, Some(&programs));
        let both = format!("{}{}", new.pem(), old.pem());
        for learnt in [both.as_str(), new.pem()] {
            worker.learn(learnt).unwrap();
            assert_eq!(found.trust.pem(), learnt, "whoever dials knows it");
            assert_eq!(fs::read_to_string(&found.file).unwrap(), learnt, "programs do, too");
            // A container is started with the token that it was first given.
            for pin in [None, Some(old.digest()), Some(new.digest())] {
                let again = find_trust(None, pin, &[], &state, &programs).await.unwrap().unwrap();
                assert_eq!(again.trust.pem(), learnt, "{pin:?}");
            }
        }
        assert!(worker.learn("no CA").is_err());
        assert_eq!(found.trust.pem(), new.pem(), "what makes no sense takes nothing away");

        // What an operator gave stays as it is.
        let given = Trust::in_ca(old.pem()).unwrap();
        open(&given).learn(&both).unwrap();
        assert_eq!(given.pem(), both);
        assert!(!fs::read_to_string(state.join(WORKER_CA_FILE)).unwrap().contains(old.pem()));
    }
}
