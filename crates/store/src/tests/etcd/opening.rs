//! Stores that are refused before anything is touched, each with one clear line.

use std::error::Error as _;
use std::time::Duration;

use super::server::Etcd;
use super::{Prefix, soon};
use crate::conformance::Reopen as _;
use crate::conformance::{candidacy, new_cluster};
use crate::{Candidacy, CommitError, EtcdCandidate, EtcdLocation, NewCluster, OpenError, Password, Store, Transaction};

async fn refused(location: &EtcdLocation) -> OpenError {
    refused_as(location, new_cluster(), candidacy()).await
}

async fn refused_as(location: &EtcdLocation, new_cluster: NewCluster, candidacy: Candidacy) -> OpenError {
    let opened = soon("it is refused", EtcdCandidate::open(location, new_cluster, candidacy)).await;
    let error = opened.unwrap_err();
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

/// All keys of an etcd.
async fn keys(etcd: &Etcd) -> Vec<String> {
    let options = etcd_client::GetOptions::new().with_all_keys();
    let answer = etcd.client().await.get("", Some(options)).await.unwrap();
    answer.kvs().iter().map(|kv| kv.key_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    drop(held);
    let error = refused(&format!("etcd://127.0.0.1:{port}/p").parse().unwrap()).await;
    assert!(matches!(error, OpenError::EtcdUnreachable { .. }), "{error}");
    assert_eq!(error.to_string(), format!("cannot reach the store etcd://127.0.0.1:{port}/p"));
    assert!(error.source().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_that_answers_is_enough() {
    let etcd = Etcd::start().await;
    let mut location = etcd.location("p");
    location.endpoints.insert(0, "127.0.0.1:1".into());
    let place = Prefix(location);
    let (_candidate, mut leader) = place.lead().await;
    leader.store.load().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_holds_something_else() {
    let etcd = Etcd::start().await;
    etcd.client().await.put("/p/config/color", "blue", None).await.unwrap();
    let error = refused(&etcd.location("p")).await;
    assert!(error.to_string().contains("something else than a Muster cluster: the key \"/p/config/color\""), "{error}");
    etcd.client().await.put("/q/m/schema", "not ours", None).await.unwrap();
    let error = refused(&etcd.location("q")).await;
    assert!(matches!(&error, OpenError::EtcdForeign { key, .. } if key == "/q/m/schema"), "{error}");
    assert_eq!(keys(&etcd).await, ["/p/config/color", "/q/m/schema",], "nothing was touched");
    // A prefix that merely begins alike is free.
    Prefix(etcd.location("p/conf")).lead().await;
}

/// The keys of the inner would be records of the outer that cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_within_that_of_a_cluster_or_around_one() {
    let etcd = Etcd::start().await;
    drop(Prefix(etcd.location("a/b")).open().await);
    let before = keys(&etcd).await;
    for inner in ["a/b/c", "a/b/c/d", "a/b/d"] {
        let error = refused(&etcd.location(inner)).await;
        assert!(matches!(&error, OpenError::EtcdNested { outer, .. } if outer == "/a/b"), "{inner}: {error}");
    }
    let error = refused(&etcd.location("a")).await;
    assert!(matches!(&error, OpenError::EtcdForeign { key, .. } if key.starts_with("/a/b/")), "{error}");
    assert_eq!(keys(&etcd).await, before, "nothing was touched");
    drop(Prefix(etcd.location("a/bc/d")).open().await);
    // A prefix that a backup is being restored into is taken, too.
    etcd.client().await.put("/r/m/restoring", "someone", None).await.unwrap();
    let error = refused(&etcd.location("r/s")).await;
    assert!(matches!(&error, OpenError::EtcdNested { outer, .. } if outer == "/r"), "{error}");
}

/// Whichever is made first, the other is refused.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_prefixes_one_within_the_other_that_are_opened_together_one_is_made() {
    let etcd = Etcd::start().await;
    for round in 0..20 {
        let open = |prefix: String| {
            let location = etcd.location(&prefix);
            tokio::spawn(async move { EtcdCandidate::open(&location, new_cluster(), candidacy()).await.is_ok() })
        };
        let (outer, inner) = (open(format!("o{round}")), open(format!("o{round}/i")));
        let made = [soon("it is opened", outer).await.unwrap(), soon("it is opened", inner).await.unwrap()];
        assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    }
}

/// A user who may read its own prefix alone founds a cluster there.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_one_prefix_need_not_read_those_around_it() {
    let etcd = Etcd::start().await;
    let mut root = etcd.client().await;
    let own = etcd_client::Permission::read_write("/p/q/").with_prefix();
    for (name, permission) in [("root", None), ("muster", Some(own))] {
        root.role_add(name).await.unwrap();
        if let Some(permission) = permission {
            root.role_grant_permission(name, permission).await.unwrap();
        }
        root.user_add(name, "right", None).await.unwrap();
        root.user_grant_role(name, name).await.unwrap();
    }
    root.auth_enable().await.unwrap();
    let location = etcd.location("p/q").or_credentials(Some("muster".into()), Some(Password::new("right".into())));
    drop(Prefix(location).open().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named() {
    fn unreadable(_: crate::key::Key, _: Vec<u8>) -> Result<Vec<u8>, crate::codec::DecodeError> {
        crate::codec::proto::HeadRecord::decode(&[0xff]).map(|_| Vec::new())
    }
    use crate::codec::Stored as _;
    let etcd = Etcd::start().await;
    let (_candidate, mut leader) = Prefix(etcd.location("p")).lead().await;
    let mut client = etcd.client().await;
    let named = |error: crate::LoadError| match error {
        crate::LoadError::Damaged { path, .. } => path.to_str().unwrap().to_owned(),
        other => panic!("{other}"),
    };
    let record = format!("d/{:032x}", 7);
    client.put(format!("/p/{record}"), "x", None).await.unwrap();
    let migrated = leader.store.migrate(crate::schema::Schema::with_steps(&[unreadable])).await;
    assert_eq!(named(migrated.err().unwrap().into()), record);
    for key in ["m/head", "m/migration", "m/schema"] {
        client.put(format!("/p/{key}"), [0xff], None).await.unwrap();
        assert_eq!(named(leader.store.load().await.unwrap_err()), key);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    drop(prefix.open().await);
    // Field 1, the number 2.
    etcd.client().await.put("/p/m/schema", [8, 2], None).await.unwrap();
    let error = refused(&prefix.0).await;
    assert!(matches!(error, OpenError::NewerSchema { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("use a newer Muster"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_another_name() {
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    drop(prefix.open().await);
    let named = |name: &str| NewCluster { name: name.into(), is_name_default: false, ..new_cluster() };
    let error = refused_as(&prefix.0, named("other"), candidacy()).await;
    assert!(matches!(&error, OpenError::OtherCluster { found, asked, .. } if found == "test" && asked == "other"));
    EtcdCandidate::open(&prefix.0, named("test"), candidacy()).await.unwrap();
    let default = NewCluster { is_name_default: true, ..named("other") };
    EtcdCandidate::open(&prefix.0, default, candidacy()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_shorter_than_what_is_granted() {
    let etcd = Etcd::start().await;
    let short = Candidacy { lease: Duration::from_millis(900), ..candidacy() };
    let error = refused_as(&etcd.location("p"), new_cluster(), short).await;
    assert_eq!(error.to_string(), "a lease of 900ms is shorter than etcd grants: it grants 2s");
    assert_eq!(keys(&etcd).await, [""; 0], "nothing was touched");
    assert_eq!(etcd.client().await.leases().await.unwrap().leases().len(), 0, "the trial was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_right_one() {
    let etcd = Etcd::start().await;
    let mut root = etcd.client().await;
    root.role_add("root").await.unwrap();
    root.user_add("root", "right", None).await.unwrap();
    root.user_grant_role("root", "root").await.unwrap();
    root.auth_enable().await.unwrap();
    let location = etcd.location("p");
    let as_root =
        |password: &str| location.clone().or_credentials(Some("root".into()), Some(Password::new(password.into())));
    let error = refused(&as_root("wrong")).await;
    assert!(matches!(error, OpenError::EtcdDenied { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("wrong"), "a password is never shown");
    let error = refused(&location).await;
    assert!(matches!(error, OpenError::EtcdDenied { .. }), "{error:?}");

    let (_candidate, mut leader) = Prefix(as_root("right")).lead().await;
    leader.store.commit(Transaction { commit: muster_types::Commit(1), writes: Vec::new() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_said_to_be_full_and_goes_on_once_there_is_space() {
    let etcd = Etcd::start_with(1, &["--quota-backend-bytes=2000000"]).await;
    let prefix = Prefix(etcd.location("p"));
    let (_candidate, mut leader) = prefix.lead().await;
    let mut sample = crate::conformance::Sample::new(1);
    let mut commit = 1;
    let error = loop {
        let writes = (0..50).map(|_| muster_types::Write::PutDriver(sample.driver())).collect();
        match leader.store.commit(Transaction { commit: muster_types::Commit(commit), writes }).await {
            Ok(()) => commit += 1,
            Err(error) => break error,
        }
        assert!(commit < 1000, "it never fills");
    };
    assert!(matches!(error, CommitError::NoSpace { .. }), "{error:?}");
    assert!(error.is_full() && error.may_repeat() && !error.is_fatal());
    assert_eq!(error.verdict(), muster_types::Verdict::NotApplied);
    assert_eq!(leader.store.newest().await.unwrap().0, commit - 1, "the term stands, and it was not applied");
    assert!(matches!(refused(&prefix.0).await, OpenError::EtcdFull { .. }), "nobody can stand for election");

    let mut client = etcd.client().await;
    let header = client.get("x", None).await.unwrap().take_header().unwrap();
    let (member, revision) = (header.member_id(), header.revision());
    let all = etcd_client::DeleteOptions::new().with_prefix();
    client.delete("/p/d/", Some(all)).await.unwrap();
    client.compact(revision + 1, Some(etcd_client::CompactionOptions::new().with_physical())).await.unwrap();
    client.defragment().await.unwrap();
    let mut own = etcd_client::AlarmOptions::new();
    own.with_member(member);
    client.alarm(etcd_client::AlarmAction::Deactivate, etcd_client::AlarmType::Nospace, Some(own)).await.unwrap();
    let writes = Vec::new();
    let transaction = Transaction { commit: muster_types::Commit(commit), writes };
    leader.store.commit(transaction).await.unwrap_or_else(|error| panic!("{error}: {:?}", error.source()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_supported_or_can_lose_data() {
    for (version, said) in
        [("3.3.27", "is not supported: use 3.4 to 3.6"), ("3.5.1", "can lose data"), ("x", "not supported")]
    {
        let endpoint = super::fake::serve(version).await;
        let error = refused(&format!("etcd://{endpoint}/p").parse().unwrap()).await;
        assert!(matches!(error, OpenError::EtcdVersion { .. }), "{error}");
        assert!(error.to_string().contains(said) && error.to_string().contains(version), "{error}");
    }
    // When the version is allowed, further calls follow, which this server does not know.
    let endpoint = super::fake::serve("3.5.1").await;
    let error = refused(&format!("etcd://{endpoint}/p?allow_lossy=true").parse().unwrap()).await;
    assert!(matches!(error, OpenError::EtcdUnreachable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_brought_to_a_newer_by_whoever_leads_and_goes_on_where_it_was_left() {
    use crate::schema::Schema;
    fn append(_: crate::key::Key, mut value: Vec<u8>) -> Result<Vec<u8>, crate::codec::DecodeError> {
        value.push(b'2');
        Ok(value)
    }
    let newer = Schema::with_steps(&[append]);
    let etcd = Etcd::start().await;
    let prefix = Prefix(etcd.location("p"));
    let mut client = etcd.client().await;
    let (candidate, mut leader) = prefix.lead().await;
    for uid in 0..250 {
        client.put(format!("/p/d/{uid:032x}"), "old", None).await.unwrap();
    }
    // The progress of an earlier leader: field 1 is the number 2, and field 2 the key.
    let reached = format!("/p/d/{:032x}", 9);
    let mark = [&[8, 2, 18, u8::try_from(reached.len()).unwrap()], reached.as_bytes()].concat();
    client.put("/p/m/migration", mark, None).await.unwrap();
    let error = refused(&prefix.0).await;
    assert!(matches!(error, OpenError::NewerSchema { found: 2, known: 1, .. }), "{error}");

    assert!(leader.store.migrate(newer).await.is_ok_and(|migrated| migrated));
    assert!(leader.store.migrate(newer).await.is_ok_and(|migrated| !migrated), "once");
    let all = etcd_client::GetOptions::new().with_prefix();
    let records = client.get("/p/d/", Some(all)).await.unwrap();
    let values: Vec<&str> = records.kvs().iter().map(|kv| kv.value_str().unwrap()).collect();
    assert_eq!(values.len(), 250);
    assert!(values[..10].iter().all(|value| *value == "old") && values[10..].iter().all(|value| *value == "old2"));
    assert_eq!(client.get("/p/m/migration", None).await.unwrap().kvs().len(), 0);
    // A schema that this program does not know is neither opened nor loaded.
    assert!(matches!(refused(&prefix.0).await, OpenError::NewerSchema { found: 2, known: 1, .. }));
    let error = leader.store.load().await.unwrap_err();
    assert!(matches!(error, crate::LoadError::NewerSchema { found: 2, known: 1 }), "{error}");
    assert!(error.is_fatal());
    drop(candidate);
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_that_start_together_found_one_cluster() {
    let etcd = Etcd::start().await;
    for round in 0..20 {
        let location = etcd.location(&format!("together/{round}"));
        let opening: Vec<_> = (0..4)
            .map(|_| {
                let location = location.clone();
                tokio::spawn(async move { EtcdCandidate::open(&location, new_cluster(), candidacy()).await })
            })
            .collect();
        for opened in opening {
            soon("it is opened", opened).await.unwrap().unwrap();
        }
    }
}
