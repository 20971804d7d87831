//! Tokens in the store: made, used at a leader and at a standby, listed, revoked, and kept over a
//! restart.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::path::Path;

use common::follower::leader_and_standby;
use common::*;
use muster_master::add_token;
use muster_proto::fresh_token::FreshToken;
use muster_proto::v1;
use muster_proto::v1::access_service_client::AccessServiceClient;
use muster_proto::v1::create_token_request::Grant;
use muster_store::{Candidacy, Location, NewCluster};
use muster_types::{Role, Secret, TokenGrant, WallTime};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// An access file with one admin and one operator.
struct AccessFile {
    flags: [String; 2],
    admin: Secret,
    operator: Secret,
    dir: tempfile::TempDir,
}

impl AccessFile {
    fn new() -> AccessFile {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.toml");
        let add = |role: Role| add_token(&path, role.as_str(), TokenGrant::User(role), None).unwrap();
        let (admin, operator) = (add(Role::Admin), add(Role::Operator));
        AccessFile { flags: ["--access-file".to_owned(), path.to_str().unwrap().to_owned()], admin, operator, dir }
    }

    fn flags(&self) -> [&str; 2] {
        [&self.flags[0], &self.flags[1]]
    }
}

async fn access(master: &Master) -> AccessServiceClient<Channel> {
    AccessServiceClient::new(master.channel().await)
}

fn request(token: &FreshToken, grant: Grant) -> v1::CreateTokenRequest {
    v1::CreateTokenRequest {
        token_id: token.id.to_string(),
        holder: "bob".to_owned(),
        secret_digest: token.digest.expose(),
        grant: Some(grant),
        ttl: None,
    }
}

fn viewer() -> Grant {
    Grant::Role(v1::Role::Viewer.into())
}

/// Makes a token at a master, as the admin of its access file.
async fn create(master: &Master, file: &AccessFile, grant: Grant, ttl: Option<i64>) -> FreshToken {
    let token = FreshToken::random().unwrap();
    let ttl = ttl.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    let request = v1::CreateTokenRequest { ttl, ..request(&token, grant) };
    access(master).await.create_token(signed(file.admin.expose(), request)).await.unwrap();
    token
}

fn revoke(token: &FreshToken) -> v1::RevokeTokenRequest {
    v1::RevokeTokenRequest { token_id: token.id.to_string() }
}

async fn caller(master: &Master, bearer: &Secret) -> Result<String, Status> {
    let answer = access(master).await.get_caller(signed(bearer.expose(), v1::GetCallerRequest {})).await?;
    Ok(answer.into_inner().caller)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_at_every_master_until_it_is_revoked() {
    let file = AccessFile::new();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    // It is made through the standby, and asked for twice.
    let token = create(&standby, &file, viewer(), None).await;
    let again =
        access(&leader).await.create_token(signed(file.admin.expose(), request(&token, viewer()))).await.unwrap();
    let made = again.into_inner().token.unwrap();
    assert_eq!((made.holder.as_str(), made.created_by.as_str(), made.revoke_time), ("bob", "admin", None));
    let other = request(&token, Grant::Role(v1::Role::Submitter.into()));
    let refused = access(&leader).await.create_token(signed(file.admin.expose(), other)).await.unwrap_err();
    assert_failure(&refused, Code::AlreadyExists, "ALREADY_EXISTS");

    let mut streams = Vec::new();
    for master in [&leader, &standby] {
        assert_eq!(caller(master, &token.bearer).await.unwrap(), "bob");
        let watch = signed(token.bearer.expose(), v1::WatchEventsRequest::default());
        streams.push(master.client().await.watch_events(watch).await.unwrap().into_inner());
        let refused = master.client().await.submit_driver(signed(token.bearer.expose(), Default::default())).await;
        assert_failure(&refused.unwrap_err(), Code::PermissionDenied, "ROLE_REQUIRED");
    }
    let revoked =
        access(&leader).await.revoke_token(signed(file.admin.expose(), revoke(&token))).await.unwrap().into_inner();
    for stream in streams {
        assert_failure(&failure_of(stream).await, Code::Unauthenticated, "BAD_CREDENTIAL");
    }
    for master in [&leader, &standby] {
        let refused = caller(master, &token.bearer).await.unwrap_err();
        assert_failure(&refused, Code::Unauthenticated, "BAD_CREDENTIAL");
    }
    let again =
        access(&standby).await.revoke_token(signed(file.admin.expose(), revoke(&token))).await.unwrap().into_inner();
    assert_eq!(again, revoked);
    let unknown = FreshToken::random().unwrap();
    let refused = access(&leader).await.revoke_token(signed(file.admin.expose(), revoke(&unknown))).await.unwrap_err();
    assert_failure(&refused, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_expires() {
    let file = AccessFile::new();
    let leader = Master::start(&file.flags()).await;
    let token = create(&leader, &file, viewer(), Some(5)).await;
    let watch = signed(token.bearer.expose(), v1::WatchEventsRequest::default());
    let mut stream = leader.client().await.watch_events(watch).await.unwrap().into_inner();
    let ended = soon("the stream ends", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    });
    assert_failure(&ended.await.unwrap_err(), Code::Unauthenticated, "CREDENTIAL_EXPIRED");
    let refused = caller(&leader, &token.bearer).await.unwrap_err();
    assert_failure(&refused, Code::Unauthenticated, "CREDENTIAL_EXPIRED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_makes_tokens_of_workers_alone() {
    let file = AccessFile::new();
    let leader = Master::start(&file.flags()).await;
    let users = create(&leader, &file, viewer(), None).await;
    let mut access = access(&leader).await;
    let token = FreshToken::random().unwrap();
    let refused = access.create_token(signed(file.operator.expose(), request(&token, viewer()))).await.unwrap_err();
    assert_failure(&refused, Code::PermissionDenied, "ROLE_REQUIRED");
    let refused = access.revoke_token(signed(file.operator.expose(), revoke(&users))).await.unwrap_err();
    assert_failure(&refused, Code::PermissionDenied, "ROLE_REQUIRED");
    let worker = request(&token, Grant::Worker(v1::WorkerGrant {}));
    access.create_token(signed(file.operator.expose(), worker)).await.unwrap();
    assert_eq!(caller(&leader, &token.bearer).await.unwrap(), "system:worker:bob");
    access.revoke_token(signed(file.operator.expose(), revoke(&token))).await.unwrap();
    let refused = caller(&leader, &token.bearer).await.unwrap_err();
    assert_failure(&refused, Code::Unauthenticated, "BAD_CREDENTIAL");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_is_listed_once_and_no_digest_is_shown() {
    let file = AccessFile::new();
    let leader = Master::start(&file.flags()).await;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(create(&leader, &file, viewer(), Some(3600)).await);
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let wanted = v1::ListTokensRequest { page_size: 2, page_token };
        let page =
            access(&leader).await.list_tokens(signed(file.operator.expose(), wanted)).await.unwrap().into_inner();
        assert!(page.tokens.len() <= 2);
        seen.extend(page.tokens);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut expected: Vec<String> = tokens.iter().map(|token| token.id.to_string()).collect();
    expected.sort();
    assert_eq!(seen.iter().map(|token| token.token_id.clone()).collect::<Vec<_>>(), expected);
    let wrong = v1::ListTokensRequest { page_size: 2, page_token: "x".to_owned() };
    let refused = access(&leader).await.list_tokens(signed(file.operator.expose(), wrong)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let watch = v1::WatchEventsRequest { from_oldest: true, ..Default::default() };
    let mut events =
        leader.client().await.watch_events(signed(file.operator.expose(), watch)).await.unwrap().into_inner();
    let events = soon("the events", events.message()).await.unwrap().unwrap().events;
    let shown = format!("{seen:?} {events:?}");
    for token in tokens {
        assert!(shown.contains(&token.id.to_string()));
        let secret = token.bearer.expose().rsplit('_').next().unwrap();
        let digest = token.digest.expose();
        assert!(!shown.contains(secret) && !shown.contains(digest.trim_start_matches("sha256:")), "{shown}");
    }
}

async fn embedded(directory: &Path) -> impl muster_store::Candidate + use<> {
    let location = Location::Embedded(directory.to_owned());
    let cluster = NewCluster { name: "test".into(), is_name_default: true, now: WallTime(1) };
    let candidacy = Candidacy::new("127.0.0.1:1".to_owned(), "0".to_owned(), std::time::Duration::from_secs(3));
    muster_store::open(&location, cluster, candidacy).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_tokens_and_revocations() {
    let file = AccessFile::new();
    let store = file.dir.path().join("store");
    let master = Master::start_on(embedded(&store).await, &file.flags()).await;
    let (kept, gone) = (create(&master, &file, viewer(), None).await, create(&master, &file, viewer(), None).await);
    access(&master).await.revoke_token(signed(file.admin.expose(), revoke(&gone))).await.unwrap();
    master.stop().await.unwrap();
    let master = Master::start_on(embedded(&store).await, &file.flags()).await;
    assert_eq!(caller(&master, &kept.bearer).await.unwrap(), "bob");
    let refused = caller(&master, &gone.bearer).await.unwrap_err();
    assert_failure(&refused, Code::Unauthenticated, "BAD_CREDENTIAL");
    master.stop().await.unwrap();
}
