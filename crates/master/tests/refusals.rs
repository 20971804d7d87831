//! Calls that are refused, and their errors.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing")]

mod common;

use std::time::Duration;

use common::follower::Follower;
use common::gated::Gated;
use common::worker::FakeWorker;
use common::*;
use muster_proto::errors::{retry_after, violations_of};
use muster_proto::v1;
use tonic::{Code, Request};
use v1::driver::State;
use v1::link_response::Message as Down;

#[tokio::test(flavor = "multi_thread")]
async fn every_row_that_a_client_can_reach() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    submit(&mut client, "taken").await;

    let again = v1::SubmitDriverRequest {
        driver: Some(sleeper()),
        driver_id: "taken".into(),
        request_id: "r1".into(),
        ..Default::default()
    };
    assert_failure(&client.submit_driver(again.clone()).await.unwrap_err(), Code::AlreadyExists, "ALREADY_EXISTS");

    let bad = v1::SubmitDriverRequest {
        driver: Some(v1::DriverSpec {
            command: Some(v1::Command::default()),
            log_limit_bytes: 1,
            ..Default::default()
        }),
        driver_id: "NOT A NAME".into(),
        ..Default::default()
    };
    let status = client.submit_driver(bad).await.unwrap_err();
    assert_failure(&status, Code::InvalidArgument, "BAD_REQUEST");
    let fields: Vec<String> = violations_of(&status).into_iter().map(|violation| violation.field).collect();
    assert_eq!(fields, ["driver_id", "driver.command.program", "driver.log_limit_bytes"]);

    let nobody = v1::GetDriverRequest { driver_id: "nobody".into() };
    assert_failure(&client.get_driver(nobody).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let nobody = v1::KillDriverRequest { driver_id: "nobody".into(), ..Default::default() };
    assert_failure(&client.kill_driver(nobody).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    let nobody = v1::GetWorkerRequest { worker_id: "nobody".into() };
    assert_failure(&client.get_worker(nobody).await.unwrap_err(), Code::NotFound, "NOT_FOUND");

    let stale = v1::KillDriverRequest { driver_id: "taken".into(), etag: "v999".into(), ..Default::default() };
    assert_failure(&client.kill_driver(stale).await.unwrap_err(), Code::Aborted, "ETAG_MISMATCH");

    let first = v1::SubmitDriverRequest { driver_id: "one".into(), request_id: "same".into(), ..again.clone() };
    let one = client.submit_driver(first.clone()).await.unwrap().into_inner().driver.unwrap();
    let same = client.submit_driver(first.clone()).await.unwrap().into_inner().driver.unwrap();
    assert_eq!(one.uid, same.uid);
    let other = v1::SubmitDriverRequest { driver_id: "two".into(), ..first };
    assert_failure(&client.submit_driver(other).await.unwrap_err(), Code::InvalidArgument, "REQUEST_ID_REUSED");

    let unread = v1::ReadLogRequest {
        subject: Some(v1::read_log_request::Subject::DriverId("taken".into())),
        ..Default::default()
    };
    assert_failure(&client.read_log(unread).await.unwrap_err(), Code::FailedPrecondition, "WRONG_STATE");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_is_taken_that_could_be_the_uid_of_another() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    submit(&mut client, "one").await;
    let one = v1::GetDriverRequest { driver_id: "one".into() };
    let uid = client.get_driver(one).await.unwrap().into_inner().driver.unwrap().uid;
    for name in [uid.clone(), "0123456789abcdef0123456789abcdef".to_owned()] {
        for validate_only in [false, true] {
            let driver = Some(sleeper());
            let driver_id = name.clone();
            let named = v1::SubmitDriverRequest { driver, driver_id, validate_only, ..Default::default() };
            let status = client.submit_driver(named).await.unwrap_err();
            assert_failure(&status, Code::InvalidArgument, "BAD_REQUEST");
            let violations = violations_of(&status);
            assert_eq!(violations.len(), 1);
            assert_eq!(violations[0].field, "driver_id");
            assert!(violations[0].message.contains("a uid, and no name"), "{violations:?}");
        }
        let spec = v1::ApplicationSpec { name: "app".into(), ..Default::default() };
        let named = v1::RegisterApplicationRequest {
            application: Some(spec),
            application_id: name.clone(),
            ..Default::default()
        };
        let status = master.applications().await.register_application(named).await.unwrap_err();
        assert!(violations_of(&status).iter().any(|violation| violation.field == "application_id"), "{status:?}");

        let mut worker = FakeWorker::new("w1", 4);
        worker.hello.name = name.as_str().into();
        let goodbye = worker.dial(&master).await.goodbye().await;
        assert_eq!((goodbye.reason(), goodbye.refusal.as_str()), (v1::goodbye::Reason::Refused, "NAME_IS_UID"));
    }
    let kill = v1::KillDriverRequest { driver_id: uid, ..Default::default() };
    assert_eq!(client.kill_driver(kill).await.unwrap().into_inner().driver.unwrap().driver_id, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_librarys_retry_that_nothing_makes_idempotent_is_refused() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let retried = |driver_id: &str, request_id: &str| {
        let mut request = Request::new(v1::SubmitDriverRequest {
            driver: Some(sleeper()),
            driver_id: driver_id.into(),
            request_id: request_id.into(),
            ..Default::default()
        });
        request.metadata_mut().insert("grpc-previous-rpc-attempts", "1".parse().unwrap());
        request
    };
    let status = client.submit_driver(retried("", "")).await.unwrap_err();
    assert_failure(&status, Code::Aborted, "RETRY_WITHOUT_REQUEST_ID");
    client.submit_driver(retried("named", "")).await.unwrap();
    client.submit_driver(retried("", "r-1")).await.unwrap();
    let list = client.list_drivers(v1::ListDriversRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.drivers.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_and_filtered_by_name() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    for number in 0..25 {
        let spec = v1::DriverSpec { labels: [("parity".to_owned(), (number % 2).to_string())].into(), ..sleeper() };
        let request =
            v1::SubmitDriverRequest { driver: Some(spec), driver_id: format!("d{number:02}"), ..Default::default() };
        client.submit_driver(request).await.unwrap();
    }
    let mut request = v1::ListDriversRequest { page_size: 5, filter: "labels.parity=1".into(), ..Default::default() };
    let mut names = Vec::new();
    let mut tokens = Vec::new();
    loop {
        let page = client.list_drivers(request.clone()).await.unwrap().into_inner();
        assert!(page.drivers.len() <= 5);
        names.extend(page.drivers.into_iter().map(|driver| driver.driver_id));
        tokens.push(page.resume_token);
        // What is submitted between two pages is seen by a watch from the first page's token.
        submit(&mut client, &format!("between-{}", tokens.len())).await;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(names, (0..25).filter(|n| n % 2 == 1).map(|n| format!("d{n:02}")).collect::<Vec<_>>());
    assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]), "every page has the token of the first");

    request.filter = "labels.parity=0".into();
    assert_failure(&client.list_drivers(request).await.unwrap_err(), Code::InvalidArgument, "BAD_REQUEST");
    let unknown = v1::ListDriversRequest { filter: "user=me".into(), ..Default::default() };
    assert_failure(&client.list_drivers(unknown).await.unwrap_err(), Code::InvalidArgument, "BAD_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_a_master_leads_every_call_says_so() {
    // A store whose campaign is never won.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = muster_master::config::read(
        ["muster-master", "--listen", "127.0.0.1:0", "--store", "memory:"].map(std::ffi::OsString::from),
    )
    .unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (follower, _nobody_leads) = Follower::new();
    let running = tokio::spawn(muster_master::run_on(settings, listener, follower, stopped));
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut client = v1::master_service_client::MasterServiceClient::new(channel.clone());
    let status = client.list_drivers(v1::ListDriversRequest::default()).await.unwrap_err();
    assert_failure(&status, Code::Unavailable, "NO_LEADER");
    assert!(retry_after(&status).is_some());
    let status = client.watch_events(v1::WatchEventsRequest::default()).await.unwrap_err();
    assert_failure(&status, Code::Unavailable, "NO_LEADER");

    use tonic_health::pb::health_check_response::ServingStatus;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let mut check = async |service: &str| {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        health.check(request).await.unwrap().into_inner().status()
    };
    assert_eq!(check("liveness").await, ServingStatus::Serving);
    assert_eq!(check("readiness").await, ServingStatus::NotServing);
    assert_eq!(check("").await, ServingStatus::NotServing);
    stop.send_replace(true);
    soon("it stops", running).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_said_at_once_and_nothing_was_done() {
    // The store commits nothing until the gate opens: everything behind the first commit waits.
    let (store, gate) = Gated::new();
    let master = Master::start_on(store, &[]).await;
    // Several connections, because each has its own bound on streams.
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(master.client().await);
    }
    gate.close();
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..8_000 {
        let mut client = clients[number % 4].clone();
        calls.spawn(async move {
            let request = v1::SubmitDriverRequest {
                driver: Some(sleeper()),
                driver_id: format!("d{number}"),
                ..Default::default()
            };
            client.submit_driver(request).await
        });
    }
    let refused = soon("some are refused", calls.join_next()).await.unwrap().unwrap().unwrap_err();
    assert_failure(&refused, Code::ResourceExhausted, "QUEUE_FULL");
    assert!(retry_after(&refused).is_some_and(|after| after < Duration::from_secs(5)));
    gate.open();
    let mut accepted = 0;
    while let Some(result) = soon("every call is answered", calls.join_next()).await {
        match result.unwrap() {
            Ok(_) => accepted += 1,
            Err(status) => assert_failure(&status, Code::ResourceExhausted, "QUEUE_FULL"),
        }
    }
    let cluster = master.client().await.get_cluster(v1::GetClusterRequest {}).await.unwrap().into_inner();
    assert_eq!(cluster.cluster.unwrap().drivers["PENDING"], accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_alone_stores_nothing_and_says_what_never_fits() {
    let master = Master::start(&[]).await;
    let mut client = master.client().await;
    let _link = FakeWorker::new("small", 2).join(&master, &[]).await;
    eventually("the worker is alive", async || {
        let request = v1::GetWorkerRequest { worker_id: "small".into() };
        let worker = client.get_worker(request).await.ok()?.into_inner().worker?;
        (worker.state() == v1::worker::State::Alive).then_some(())
    })
    .await;
    let asked = |cores| v1::SubmitDriverRequest {
        driver: Some(v1::DriverSpec {
            resources: Some(v1::Resources { cores, memory_bytes: 1 << 20, ..Default::default() }),
            ..sleeper()
        }),
        validate_only: true,
        ..Default::default()
    };
    let fits = client.submit_driver(asked(1)).await.unwrap().into_inner().driver.unwrap();
    assert_eq!(fits.state(), State::Pending);
    let status = client.submit_driver(asked(64)).await.unwrap_err();
    assert_failure(&status, Code::FailedPrecondition, "NEVER_FITS");
    let list = client.list_drivers(v1::ListDriversRequest::default()).await.unwrap().into_inner();
    assert!(list.drivers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_stop_within_their_hello_keep_no_other_out() {
    let master = Master::start(&[]).await;
    let mut stopped = Vec::new();
    // As many hellos as are taken at one time, none with an inventory.
    for number in 0..64 {
        let mut link = FakeWorker::new(&format!("stopped-{number}"), 1).dial(&master).await;
        assert!(matches!(link.next().await, Down::Welcome(_)));
        stopped.push(link);
    }
    let mut worker = FakeWorker::new("w1", 1);
    eventually("the next is welcome", async || {
        let mut link = worker.dial(&master).await;
        matches!(link.next().await, Down::Welcome(_)).then_some(())
    })
    .await;
}
