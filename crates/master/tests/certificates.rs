//! Certificates of clients, as a leader and a standby take them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::follower::{ElectionControl, leader_and_standby};
use common::*;
use muster_master::add_token;
use muster_proto::server::{FORWARDED, FORWARDED_CERTIFICATE};
use muster_proto::v1;
use muster_proto::v1::access_service_client::AccessServiceClient;
use muster_proto::v1::worker_link_service_client::WorkerLinkServiceClient;
use muster_testenv::company::{Company, Signed};
use muster_tls::{Authority, ClientChain, Connector, Mismatch, OwnCertificate, Trust, mismatch, names};
use muster_types::{Role, TokenGrant, WorkerUid};
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use v1::master_service_client::MasterServiceClient;

const DAY: Duration = Duration::from_secs(24 * 3600);

const BINDINGS: &str = "
[[bindings]]
user = 'cert:ann'
role = 'submitter'

[[bindings]]
group = 'cert:ops'
role = 'operator'
";

/// A leader and a standby that take the certificates of a company's clients.
struct Pair {
    leader: Master,
    standby: Master,
    company: Company,
    trust: Trust,
    directory: tempfile::TempDir,
    _control: ElectionControl,
}

impl Pair {
    async fn start() -> Pair {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let company = Company::new("Company");
        company.write_ca(path("clients.crt").into());
        std::fs::write(path("clients.crl"), company.revoked(&[99])).unwrap();
        let authority = Authority::create(Path::new(&path("pki"))).unwrap();
        add_token(Path::new(&path("access.toml")), "root", TokenGrant::User(Role::Admin), None).unwrap();
        let text = std::fs::read_to_string(path("access.toml")).unwrap();
        std::fs::write(path("access.toml"), format!("{text}{BINDINGS}")).unwrap();
        let flags: Vec<String> = ["--tls", "--pki"].map(str::to_owned).into_iter().chain([path("pki")]).collect();
        let files =
            [("access-file", "access.toml"), ("tls-client-ca", "clients.crt"), ("tls-client-crl", "clients.crl")];
        let files = files.into_iter().flat_map(|(flag, name)| [format!("--{flag}"), path(name)]);
        let flags: Vec<String> = flags.into_iter().chain(files).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let (leader, standby, control) = leader_and_standby(&flags).await;
        let trust = Trust::in_ca(authority.pem()).unwrap();
        Pair { leader, standby, company, trust, directory, _control: control }
    }

    async fn channel(&self, master: &Master, shown: Option<&Signed>) -> Channel {
        let trust = match shown {
            Some(signed) => {
                let (certificate, key) = signed.write(self.directory.path(), "client");
                self.trust.showing_own(Arc::new(OwnCertificate::open(certificate, key).unwrap()))
            }
            None => self.trust.clone(),
        };
        let connector = Connector::new(Some(trust), SOON);
        let endpoint = Endpoint::from_shared(format!("http://{}", master.address)).unwrap();
        endpoint.connect_with_connector(connector).await.unwrap()
    }

    /// For whom a master takes who shows a certificate.
    async fn caller(&self, master: &Master, shown: &Signed) -> (String, v1::Role) {
        let mut client = AccessServiceClient::new(self.channel(master, Some(shown)).await);
        let said = client.get_caller(v1::GetCallerRequest {}).await.unwrap().into_inner();
        (said.caller.clone(), said.role())
    }

    async fn watch(&self, master: &Master, shown: &Signed) -> tonic::Streaming<v1::WatchEventsResponse> {
        let mut client = MasterServiceClient::new(self.channel(master, Some(shown)).await);
        client.watch_events(v1::WatchEventsRequest::default()).await.unwrap().into_inner()
    }

    fn masters(&self) -> [&Master; 2] {
        [&self.leader, &self.standby]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_the_highest_role_of_its_user_and_its_groups_at_a_leader_and_at_a_standby() {
    let pair = Pair::start().await;
    let company = &pair.company;
    let expected = [
        (company.client("ann", None, &[], 1, DAY), "cert:ann", v1::Role::Submitter),
        (company.client("ann", Some("ops"), &[], 2, DAY), "cert:ann", v1::Role::Operator),
        (company.client("bob", Some("ops"), &[], 3, DAY), "cert:bob", v1::Role::Operator),
        (company.client("system:master", Some("ops"), &[], 4, DAY), "cert:system:master", v1::Role::Operator),
        // Whoever else has that name, no role is bound to this user.
        (company.client("root", None, &[], 5, DAY), "cert:root", v1::Role::Unspecified),
    ];
    for (signed, caller, role) in expected {
        for master in pair.masters() {
            assert_eq!(pair.caller(master, &signed).await, (caller.to_owned(), role));
        }
    }
    let roleless = company.client("root", None, &[], 5, DAY);
    for master in pair.masters() {
        let mut client = MasterServiceClient::new(pair.channel(master, Some(&roleless)).await);
        let refused = client.get_cluster(v1::GetClusterRequest {}).await.unwrap_err();
        assert_eq!(refusal(&refused), "ROLE_REQUIRED");
        assert!(refused.message().contains("cert:root"), "{refused}");
    }
    let owned =
        MasterServiceClient::new(pair.channel(&pair.standby, Some(&company.client("ann", None, &[], 6, DAY))).await);
    let mut owned = owned;
    assert_eq!(submit(&mut owned, "d").await.owner, "cert:ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_only_told_of_is_nobodys() {
    let pair = Pair::start().await;
    // Its chain is good, and the caller has not proven its key.
    let signed = pair.company.client("ann", Some("ops"), &[], 1, DAY);
    let length = u32::try_from(signed.der.len()).unwrap().to_be_bytes();
    let bytes = [length.as_slice(), &signed.der].concat();
    assert!(ClientChain::from_bytes(&bytes).is_some());
    let stranger = pair.company.client("root", None, &[], 2, DAY);
    for master in pair.masters() {
        for (shown, caller) in [(None, "system:anonymous"), (Some(&stranger), "cert:root")] {
            let mut client = AccessServiceClient::new(pair.channel(master, shown).await);
            let mut request = Request::new(v1::GetCallerRequest {});
            request.metadata_mut().insert_bin(FORWARDED_CERTIFICATE, MetadataValue::from_bytes(&bytes));
            let said = client.get_caller(request).await.unwrap().into_inner();
            assert_eq!(said.caller, caller);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_companys_certificate_opens_no_link_whatever_it_names() {
    let pair = Pair::start().await;
    let worker = names::worker(WorkerUid(7));
    let signed = pair.company.client("ann", Some("ops"), &[&worker, names::MASTER], 1, DAY);
    let mut client = WorkerLinkServiceClient::new(pair.channel(&pair.leader, Some(&signed)).await);
    let refused = client.link(tokio_stream::empty()).await.unwrap_err();
    assert_eq!(refusal(&refused), "ROLE_REQUIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_certificate() {
    let pair = Pair::start().await;
    let signed = pair.company.client("ann", None, &[], 1, Duration::from_secs(4));
    let streams = [pair.watch(&pair.leader, &signed).await, pair.watch(&pair.standby, &signed).await];
    for stream in streams {
        assert_eq!(refusal(&failure_of(stream).await), "CREDENTIAL_EXPIRED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_refused_without_a_restart_and_its_streams_end() {
    let pair = Pair::start().await;
    let (ann, bob) =
        (pair.company.client("ann", None, &[], 1, DAY), pair.company.client("bob", Some("ops"), &[], 2, DAY));
    let streams = [pair.watch(&pair.leader, &ann).await, pair.watch(&pair.standby, &ann).await];
    let mut client = AccessServiceClient::new(pair.channel(&pair.leader, Some(&ann)).await);
    std::fs::write(pair.directory.path().join("clients.crl"), pair.company.revoked(&[99, 1])).unwrap();
    for stream in streams {
        assert_eq!(refusal(&failure_of(stream).await), "BAD_CREDENTIAL");
    }
    // On the connection that stands, too.
    let refused = client.get_caller(v1::GetCallerRequest {}).await.unwrap_err();
    assert_eq!(refusal(&refused), "BAD_CREDENTIAL");
    assert_eq!(pair.caller(&pair.leader, &bob).await.0, "cert:bob");
}

/// Whoever says that a call was forwarded would not have it forwarded.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_a_master_says_that_it_forwards() {
    let pair = Pair::start().await;
    let ann = pair.company.client("ann", None, &[], 1, DAY);
    for shown in [None, Some(&ann)] {
        for master in pair.masters() {
            let mut client = AccessServiceClient::new(pair.channel(master, shown).await);
            let mut request = Request::new(v1::GetCallerRequest {});
            request.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
            let said = client.get_caller(request).await.unwrap().into_inner();
            assert_eq!(said.caller, if shown.is_some() { "cert:ann" } else { "system:anonymous" });
        }
    }
    let mut client = MasterServiceClient::new(pair.channel(&pair.leader, None).await);
    let mut request = Request::new(v1::KillDriverRequest::default());
    request.metadata_mut().insert(FORWARDED, MetadataValue::from_static("1"));
    client.kill_driver(request).await.unwrap_err();
    let audit = pair.leader.into_audit().await;
    assert!(audit.contains("KillDriver") && !audit.contains("forwarded"), "{audit}");
}

/// A client of TLS 1.3 hears of it after its handshake, and the master has no call to audit.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_refused_is_told_why_and_audited() {
    let pair = Pair::start().await;
    let other = Company::new("Other");
    let refused = [
        (pair.company.client("ann", None, &[], 99, DAY), "it was revoked"),
        (other.client("ann", None, &[], 1, DAY), "no CA that the master takes has signed it"),
    ];
    for (signed, reason) in refused {
        let (certificate, key) = signed.write(pair.directory.path(), "refused");
        let trust = pair.trust.showing_own(Arc::new(OwnCertificate::open(certificate, key).unwrap()));
        let found = mismatch(&pair.leader.address, Some(&trust), SOON).await;
        assert!(matches!(found, Some(Mismatch::Refused(found)) if found == reason), "{found:?}");
    }
    let (certificate, key) = pair.company.client("ann", None, &[], 1, DAY).write(pair.directory.path(), "good");
    let trust = pair.trust.showing_own(Arc::new(OwnCertificate::open(certificate, key).unwrap()));
    assert!(mismatch(&pair.leader.address, Some(&trust), SOON).await.is_none());
    let audit = pair.leader.into_audit().await;
    for reason in ["CERTIFICATE_REVOKED", "CERTIFICATE_OF_UNKNOWN_CA"] {
        let line = audit.lines().find(|line| line.contains(reason)).unwrap_or_else(|| panic!("{audit}"));
        assert!(line.contains(r#""method":"handshake","verdict":"denied""#), "{line}");
    }
}
