//! JWTs of an issuer, as a leader and a standby take them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::time::Duration;

use common::follower::{ElectionControl, leader_and_standby};
use common::*;
use muster_master::add_token;
use muster_proto::errors::reason_of;
use muster_proto::v1;
use muster_proto::v1::access_service_client::AccessServiceClient;
use muster_testenv::issuer_key::{AUDIENCE, ISSUER, IssuerKey};
use muster_types::{Role, Secret, TokenGrant};
use tonic::Status;
use v1::master_service_client::MasterServiceClient;

const BINDINGS: &str = "
[[bindings]]
user = 'jwt:ann'
role = 'submitter'

[[bindings]]
group = 'jwt:ops'
role = 'operator'

[[bindings]]
user = 'jwt:system:serviceaccount:jobs:nightly'
role = 'submitter'
";

const HOUR: Duration = Duration::from_secs(3600);

/// A leader and a standby that take the tokens of an issuer whose keys are in a file.
struct Pair {
    leader: Master,
    standby: Master,
    key: IssuerKey,
    root: Secret,
    directory: tempfile::TempDir,
    _control: ElectionControl,
}

impl Pair {
    async fn start() -> Pair {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (access, jwks) = (path("access.toml"), path("jwks.json"));
        let root = add_token(access.as_ref(), "root", TokenGrant::User(Role::Admin), None).unwrap();
        let text = std::fs::read_to_string(&access).unwrap();
        std::fs::write(&access, format!("{text}{BINDINGS}")).unwrap();
        let key = IssuerKey::new("first");
        std::fs::write(&jwks, IssuerKey::set(&[&key])).unwrap();
        let flags = ["--access-file", &access, "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE];
        let flags = [&flags[..], &["--jwt-jwks", &jwks]].concat();
        let (leader, standby, control) = leader_and_standby(&flags).await;
        Pair { leader, standby, key, root, directory, _control: control }
    }

    fn masters(&self) -> [&Master; 2] {
        [&self.leader, &self.standby]
    }

    fn publish(&self, keys: &[&IssuerKey]) {
        std::fs::write(self.directory.path().join("jwks.json"), IssuerKey::set(keys)).unwrap();
    }
}

async fn caller(master: &Master, token: &str) -> Result<(String, v1::Role), Status> {
    let mut client = AccessServiceClient::new(master.channel().await);
    let said = client.get_caller(signed(token, v1::GetCallerRequest {})).await?.into_inner();
    Ok((said.caller.clone(), said.role()))
}

async fn watch(master: &Master, token: &str) -> tonic::Streaming<v1::WatchEventsResponse> {
    let mut client = MasterServiceClient::new(master.channel().await);
    client.watch_events(signed(token, v1::WatchEventsRequest::default())).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_an_issuer_has_its_role_at_a_leader_and_at_a_standby() {
    let pair = Pair::start().await;
    for master in pair.masters() {
        for (user, groups, name, role) in [
            ("ann", vec![], "jwt:ann", v1::Role::Submitter),
            ("ann", vec!["ops", "none"], "jwt:ann", v1::Role::Operator),
            // As service accounts of Kubernetes are named; it is none of the cluster's own names.
            (
                "system:serviceaccount:jobs:nightly",
                vec![],
                "jwt:system:serviceaccount:jobs:nightly",
                v1::Role::Submitter,
            ),
            ("system:master", vec!["ops"], "jwt:system:master", v1::Role::Operator),
            ("root", vec![], "jwt:root", v1::Role::Unspecified),
        ] {
            let token = pair.key.token(user, &groups, HOUR);
            assert_eq!(caller(master, &token).await.unwrap(), (name.to_owned(), role));
        }
        let stranger = IssuerKey::new("first").token("ann", &["ops"], HOUR);
        let refused = caller(master, &stranger).await.unwrap_err();
        assert_eq!(refusal(&refused), "BAD_CREDENTIAL");
        assert!(!refused.message().contains("ann") && refused.message().contains("signature"), "{refused}");
        let control = pair.key.token("a\nb", &["ops"], HOUR);
        assert_eq!(refusal(&caller(master, &control).await.unwrap_err()), "BAD_CREDENTIAL");
        let roleless = pair.key.token("root", &[], HOUR);
        let mut client = MasterServiceClient::new(master.channel().await);
        let refused = client.get_cluster(signed(&roleless, v1::GetClusterRequest {})).await.unwrap_err();
        assert_eq!(refusal(&refused), "ROLE_REQUIRED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token() {
    let pair = Pair::start().await;
    let token = pair.key.token("ann", &[], Duration::from_secs(3));
    let streams = [watch(&pair.leader, &token).await, watch(&pair.standby, &token).await];
    for stream in streams {
        assert_eq!(refusal(&failure_of(stream).await), "CREDENTIAL_EXPIRED");
    }
    assert_eq!(refusal(&caller(&pair.standby, &token).await.unwrap_err()), "CREDENTIAL_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_known_with_its_first_token_and_an_old_one_ends_its_streams() {
    let pair = Pair::start().await;
    let (old, next) = (pair.key.token("ann", &[], HOUR), IssuerKey::new("next"));
    let streams = [watch(&pair.leader, &old).await, watch(&pair.standby, &old).await];
    pair.publish(&[&next]);
    // Nobody waits for the next look.
    for master in pair.masters() {
        assert_eq!(caller(master, &next.token("ann", &[], HOUR)).await.unwrap().0, "jwt:ann");
    }
    for stream in streams {
        assert_eq!(refusal(&failure_of(stream).await), "BAD_CREDENTIAL");
    }
    assert_eq!(refusal(&caller(&pair.leader, &old).await.unwrap_err()), "BAD_CREDENTIAL");
}

/// The store's roles stand beside those of the file, and the leader's decide.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_bound_and_taken_away_while_its_user_watches() {
    use v1::role_binding::Principal;
    let pair = Pair::start().await;
    let root = pair.root.expose();
    let bob = pair.key.token("bob", &["staff"], HOUR);
    for master in pair.masters() {
        assert_eq!(reason_of(&listing(master, &bob).await.unwrap_err()).as_deref(), Some("ROLE_REQUIRED"));
        assert_eq!(caller(master, &bob).await.unwrap(), ("jwt:bob".to_owned(), v1::Role::Unspecified));
    }
    let mut access = AccessServiceClient::new(pair.standby.channel().await);
    let bind = |principal, role: v1::Role| v1::BindRoleRequest {
        binding: Some(v1::RoleBinding { principal: Some(principal), role: role.into() }),
    };
    let (user, group) = (Principal::User("jwt:bob".to_owned()), Principal::Group("jwt:staff".to_owned()));
    access.bind_role(signed(root, bind(group, v1::Role::Viewer))).await.unwrap();
    let mut streams = Vec::new();
    for master in pair.masters() {
        assert_eq!(caller(master, &bob).await.unwrap(), ("jwt:bob".to_owned(), v1::Role::Viewer));
        streams.push(watch(master, &bob).await);
    }
    access.bind_role(signed(root, bind(user, v1::Role::Submitter))).await.unwrap();
    for master in pair.masters() {
        assert_eq!(caller(master, &bob).await.unwrap().1, v1::Role::Submitter, "the highest counts");
    }
    // The file's stands whatever the store says.
    let ann = pair.key.token("ann", &["staff"], HOUR);
    assert_eq!(caller(&pair.leader, &ann).await.unwrap().1, v1::Role::Submitter);
    // A standby whose own table says less hands on what the leader decides.
    access.bind_role(signed(root, bind(Principal::User("jwt:ann".to_owned()), v1::Role::Operator))).await.unwrap();
    let drain = v1::DrainWorkerRequest { worker_id: "nobody".to_owned(), ..Default::default() };
    let missing = pair.standby.client().await.drain_worker(signed(&ann, drain)).await.unwrap_err();
    assert_failure(&missing, tonic::Code::NotFound, "NOT_FOUND");
    let listed = access.list_role_bindings(signed(root, v1::ListRoleBindingsRequest {})).await.unwrap().into_inner();
    let roles: Vec<v1::Role> = listed.bindings.iter().map(v1::RoleBinding::role).collect();
    assert_eq!(roles, [v1::Role::Operator, v1::Role::Submitter, v1::Role::Viewer]);

    use v1::unbind_role_request::Principal as Unbound;
    for principal in [Unbound::User("jwt:bob".to_owned()), Unbound::Group("jwt:staff".to_owned())] {
        let unbind = v1::UnbindRoleRequest { principal: Some(principal) };
        access.unbind_role(signed(root, unbind)).await.unwrap();
    }
    for stream in streams {
        assert_failure(&failure_of(stream).await, tonic::Code::PermissionDenied, "ROLE_REQUIRED");
    }
    for master in pair.masters() {
        assert_eq!(reason_of(&listing(master, &bob).await.unwrap_err()).as_deref(), Some("ROLE_REQUIRED"));
    }
    let audit = pair.leader.into_audit().await;
    let is_refusal = |line: &str| line.contains(r#""caller":"jwt:bob","by":"jwt""#) && line.contains("ROLE_REQUIRED");
    assert!(audit.lines().any(is_refusal), "{audit}");
}

/// Calls a method that asks for a role.
async fn listing(master: &Master, token: &str) -> Result<(), Status> {
    master.client().await.list_drivers(signed(token, v1::ListDriversRequest::default())).await.map(drop)
}
