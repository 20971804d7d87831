//! A CA takes the place of another while masters and workers run.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use muster_tls::{
    AcceptedConnection, Authority, Connector, HeldCertificate, RotationStep, ServerTls, Stream, TlsError, Trust,
    WorkerKey, rotate,
};
use muster_types::WorkerUid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tower::Service as _;

const PATIENCE: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Cluster {
    directory: tempfile::TempDir,
    tls: Arc<ServerTls>,
    address: String,
}

impl Cluster {
    async fn start() -> Cluster {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::create(&directory.path().join("pki")).unwrap();
        let tls = Arc::new(ServerTls::new(authority, Vec::new(), None, None).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = tls.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = serving.acceptor();
                tokio::spawn(async move {
                    let Ok(AcceptedConnection { stream, .. }) = acceptor.accept(tcp).await else { return };
                    let (mut reads, mut writes) = tokio::io::split(stream);
                    let _ = tokio::io::copy(&mut reads, &mut writes).await;
                });
            }
        });
        Cluster { directory, tls, address }
    }

    fn pki(&self) -> PathBuf {
        self.directory.path().join("pki")
    }

    fn step(&self, now: SystemTime) -> RotationStep {
        let step = rotate(&self.pki(), now, false).unwrap();
        let is_changed = !matches!(step, RotationStep::NotBefore(_));
        assert_eq!(self.tls.look().unwrap(), is_changed, "{step:?}");
        step
    }

    /// A certificate of a worker, as the master signs it now.
    fn certified(&self, key: &WorkerKey) -> HeldCertificate {
        let held = HeldCertificate::default();
        let issued = self.tls.authority().issue_worker(&key.request().unwrap(), WorkerUid(7), DAY).unwrap();
        key.show(&issued.chain, &held).unwrap();
        held
    }

    async fn connect(&self, trust: &Trust) -> Result<Stream, String> {
        let mut connector = Connector::new(Some(trust.clone()), PATIENCE);
        let uri: http::Uri = format!("http://{}", self.address).parse().unwrap();
        let mut stream = connector.call(uri).await.map_err(|error| error.to_string())?.into_inner();
        // A client hears of its own certificate's refusal with the first answer.
        echo(&mut stream).await.map_err(|error| error.to_string())?;
        Ok(stream)
    }
}

async fn echo(stream: &mut Stream) -> std::io::Result<()> {
    let mut answer = [0; 5];
    stream.write_all(b"hello").await?;
    stream.flush().await?;
    stream.read_exact(&mut answer).await.map(drop)
}

#[tokio::test]
async fn nobody_who_learns_the_cas_in_time_notices() {
    let cluster = Cluster::start().await;
    let (old, begun) = (cluster.tls.authority().digest(), SystemTime::now());
    let key = WorkerKey::load_or_make(&cluster.directory.path().join("worker.key")).unwrap();
    let held = cluster.certified(&key);
    // A worker, and a person who never learns anything.
    let (worker, person) = (cluster.tls.trust().pem(), cluster.tls.trust().pem());
    let (worker, person) = (Trust::in_ca(&worker).unwrap(), Trust::in_ca(&person).unwrap());
    let worker = worker.showing(&held);
    // A program, whose file the worker exchanges.
    let file = cluster.directory.path().join("of-programs.crt");
    std::fs::write(&file, worker.pem()).unwrap();
    let program = Trust::named(&file).unwrap();
    assert!(cluster.connect(&program).await.is_ok());
    let mut stream = cluster.connect(&worker).await.unwrap();

    let RotationStep::Added(new, from) = cluster.step(begun) else { unreachable!() };
    assert_eq!((cluster.tls.authority().digest(), from), (old, begun + DAY), "it is trusted and does not sign");
    assert!(cluster.connect(&worker).await.is_ok() && cluster.connect(&person).await.is_ok());
    assert!(matches!(cluster.step(begun + HOUR), RotationStep::NotBefore(_)));

    // The worker renews its certificate, and learns the CAs.
    assert!(worker.replace(cluster.tls.authority().pem()).unwrap());
    std::fs::write(&file, worker.pem()).unwrap();
    let RotationStep::Signs(signs, _) = cluster.step(begun + DAY + HOUR) else { unreachable!() };
    assert_eq!((signs, cluster.tls.authority().digest()), (new, new));
    assert!(cluster.connect(&worker).await.is_ok(), "its certificate is of the old CA");
    assert!(cluster.connect(&program).await.is_ok());
    assert!(cluster.connect(&person).await.is_err());
    assert!(matches!(cluster.step(begun + 2 * DAY), RotationStep::NotBefore(_)));

    let renewed = cluster.certified(&key);
    let RotationStep::Alone(alone) = cluster.step(begun + 9 * DAY) else { unreachable!() };
    assert_eq!(alone, new);
    assert!(cluster.connect(&worker.showing(&renewed)).await.is_ok());
    assert!(cluster.connect(&worker).await.is_err(), "what the old CA has signed is good no longer");
    echo(&mut stream).await.unwrap();
    assert_eq!(std::fs::read_to_string(cluster.pki().join("ca.crt")).unwrap().matches("BEGIN").count(), 1);
}

#[tokio::test]
async fn a_step_that_was_cut_off_is_done_again_and_masters_go_on_meanwhile() {
    let cluster = Cluster::start().await;
    let (pki, now) = (cluster.pki(), SystemTime::now());
    let file = |name: &str| pki.join(name);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let before = read(&file("ca.crt"));
    rotate(&pki, now, true).unwrap();
    // Its certificate was not written any more.
    let added = read(&file("ca.crt"));
    std::fs::write(file("ca.crt"), &before).unwrap();
    assert!(matches!(rotate(&pki, now, true).unwrap(), RotationStep::Added(..)));
    assert!(cluster.tls.look().unwrap());
    assert_ne!(added, before);

    let (next, both) = (read(&file("ca.next.key")), read(&file("ca.crt")));
    rotate(&pki, now, true).unwrap();
    // The key was written, and nothing after it.
    std::fs::write(file("ca.crt"), &both).unwrap();
    muster_os::file::replace_private(&file("ca.next.key"), &next).unwrap();
    let (trust, signer) = (cluster.tls.trust().clone(), cluster.tls.authority().digest());
    assert!(matches!(cluster.tls.look(), Err(TlsError::Malformed(..))));
    assert!(cluster.connect(&trust).await.is_ok());
    assert_eq!(cluster.tls.authority().digest(), signer);
    assert!(matches!(rotate(&pki, now, true).unwrap(), RotationStep::Signs(..)));
    assert!(cluster.tls.look().unwrap());
    assert!(cluster.connect(&trust).await.is_ok() && !file("ca.next.key").exists());
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&file("ca.key").metadata().unwrap()) & 0o777, 0o600);
}

#[test]
fn two_rotations_at_once_are_one_and_a_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let pki = directory.path().join("pki");
    Authority::create(&pki).unwrap();
    let _other = muster_os::LockFile::take(&pki.join("rotation.lock")).unwrap();
    let refused = rotate(&pki, SystemTime::now(), false);
    assert!(matches!(refused, Err(TlsError::Rotating(_))), "{refused:?}");
    assert!(!pki.join("ca.next.key").exists());
}

#[test]
fn a_directory_without_a_ca_is_told_which_command_makes_one() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Authority::open(directory.path()).map(drop);
    let rotated = rotate(directory.path(), SystemTime::now(), true).map(drop);
    for refused in [opened, rotated] {
        assert!(matches!(refused, Err(TlsError::NoCa(_))), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains("`muster-master init --out DIRECTORY`"));
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "and nothing is left there");
}
