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
    let others = request(&token, viewer());
    let refused = access.create_token(signed(file.operator.expose(), others)).await.unwrap_err();
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

/// Asks for a token as somebody, of a name and a role.
async fn ask(master: &Master, by: &Secret, holder: &str, role: Role, ttl: Option<i64>) -> Result<FreshToken, Status> {
    let token = FreshToken::random().unwrap();
    let ttl = ttl.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    let grant = Grant::Role(v1::Role::from(role).into());
    let wanted = v1::CreateTokenRequest { ttl, holder: holder.to_owned(), ..request(&token, grant) };
    access(master).await.create_token(signed(by.expose(), wanted)).await.map(|_| token)
}

async fn listed(master: &Master, by: &Secret) -> Vec<v1::Token> {
    let wanted = v1::ListTokensRequest::default();
    access(master).await.list_tokens(signed(by.expose(), wanted)).await.unwrap().into_inner().tokens
}

/// Every role a user has × every role it wants for a token of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_makes_tokens_of_its_own_name_and_of_no_higher_role() {
    let file = AccessFile::new();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    for role in Role::ALL {
        let first = ask(&leader, &file.admin, "bob", role, Some(3600)).await.unwrap();
        for wanted in Role::ALL {
            let made = ask(&standby, &first.bearer, "bob", wanted, None).await;
            let others = ask(&standby, &first.bearer, "ann", wanted, None).await;
            assert_eq!(made.is_ok(), wanted <= role, "{role} makes {wanted}");
            assert_eq!(others.is_ok(), role == Role::Admin, "{role} makes another's {wanted}");
            for refused in [made.as_ref().err(), others.as_ref().err()].into_iter().flatten() {
                assert_failure(refused, Code::PermissionDenied, "ROLE_REQUIRED");
            }
            // What an admin makes is for whomever it likes, and does not hang on the admin's token.
            let Some(child) = made.ok().filter(|_| role < Role::Admin) else { continue };
            assert_eq!(caller(&leader, &child.bearer).await.unwrap(), "bob");
            let all = listed(&leader, &file.operator).await;
            let by_id = |token: &FreshToken| all.iter().find(|shown| shown.token_id == token.id.to_string()).unwrap();
            let (shown, parent) = (by_id(&child), by_id(&first));
            assert_eq!((&shown.parent_id, &shown.expire_time), (&parent.token_id, &parent.expire_time));
            // It makes no further ones, and takes none away but itself.
            let refused = ask(&leader, &child.bearer, "bob", Role::Viewer, None).await.unwrap_err();
            assert_failure(&refused, Code::PermissionDenied, "ROLE_REQUIRED");
            let refused = access(&leader).await.revoke_token(signed(child.bearer.expose(), revoke(&first))).await;
            assert_failure(&refused.unwrap_err(), Code::PermissionDenied, "ROLE_REQUIRED");
            if wanted == Role::Viewer {
                access(&leader).await.revoke_token(signed(child.bearer.expose(), revoke(&child))).await.unwrap();
                assert_failure(
                    &caller(&leader, &child.bearer).await.unwrap_err(),
                    Code::Unauthenticated,
                    "BAD_CREDENTIAL",
                );
            }
        }
    }
    let bob = ask(&leader, &file.admin, "bob", Role::Submitter, None).await.unwrap();
    let seen = listed(&leader, &bob.bearer).await;
    assert!(seen.len() > 4 && seen.iter().all(|token| token.holder == "bob"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_makes_ends_with_the_token_that_it_was_made_with() {
    let file = AccessFile::new();
    let (leader, standby, _control) = leader_and_standby(&file.flags()).await;
    let first = ask(&leader, &file.admin, "bob", Role::Viewer, Some(3600)).await.unwrap();
    let shorter = ask(&leader, &first.bearer, "bob", Role::Viewer, Some(60)).await.unwrap();
    let longer = ask(&leader, &first.bearer, "bob", Role::Viewer, Some(7200)).await.unwrap();
    let all = listed(&leader, &file.admin).await;
    let end = |token: &FreshToken| {
        let shown = all.iter().find(|shown| shown.token_id == token.id.to_string()).unwrap();
        shown.expire_time.unwrap().seconds
    };
    assert!(end(&shorter) < end(&first) && end(&longer) == end(&first));

    // There is a bound, and what has ended has no place.
    for _ in 2..20 {
        ask(&leader, &first.bearer, "bob", Role::Viewer, None).await.unwrap();
    }
    let refused = ask(&leader, &first.bearer, "bob", Role::Viewer, None).await.unwrap_err();
    assert_failure(&refused, Code::FailedPrecondition, "WRONG_STATE");
    access(&leader).await.revoke_token(signed(first.bearer.expose(), revoke(&shorter))).await.unwrap();
    ask(&leader, &first.bearer, "bob", Role::Viewer, None).await.unwrap();

    let mut streams = Vec::new();
    for master in [&leader, &standby] {
        let watch = signed(longer.bearer.expose(), v1::WatchEventsRequest::default());
        streams.push(master.client().await.watch_events(watch).await.unwrap().into_inner());
    }
    access(&leader).await.revoke_token(signed(file.admin.expose(), revoke(&first))).await.unwrap();
    for stream in streams {
        assert_failure(&failure_of(stream).await, Code::Unauthenticated, "BAD_CREDENTIAL");
    }
    for master in [&leader, &standby] {
        let refused = caller(master, &longer.bearer).await.unwrap_err();
        assert_failure(&refused, Code::Unauthenticated, "BAD_CREDENTIAL");
    }

    // The same where the first is one of the access file, and is taken out of it.
    let path = file.dir.path().join("access.toml");
    let before = std::fs::read_to_string(&path).unwrap();
    let carl = add_token(&path, "carl", TokenGrant::User(Role::Viewer), None).unwrap();
    eventually("the token is known", async || caller(&leader, &carl).await.ok()).await;
    let child = ask(&leader, &carl, "carl", Role::Viewer, None).await.unwrap();
    assert_eq!(caller(&leader, &child.bearer).await.unwrap(), "carl");
    std::fs::write(&path, before).unwrap();
    let refused = eventually("it is good no longer", async || caller(&leader, &child.bearer).await.err()).await;
    assert_failure(&refused, Code::Unauthenticated, "BAD_CREDENTIAL");
}
