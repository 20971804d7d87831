//! A client without any code of ours: reflection tells it everything, and health answers.

use std::time::Duration;

use muster_testkit::{Cluster, Options, wait_for_file};
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn both(cluster: &Cluster) -> [(Channel, Vec<&'static str>); 2] {
    let worker = wait_for_file(&cluster.ready_file("w1"), Duration::from_secs(10));
    let worker = Endpoint::from_shared(format!("http://{worker}")).expect("the address is one");
    let worker = worker.connect().await.expect("the worker answers");
    [
        (
            cluster.channel(),
            vec![
                "muster.v1.AccessService",
                "muster.v1.ApplicationService",
                "muster.v1.MasterService",
                "muster.v1.WorkerLinkService",
            ],
        ),
        (worker, vec!["muster.v1.WorkerService"]),
    ]
}

/// Lists the services and asks for the file of the first named, with one version of the reflection
/// protocol.
macro_rules! reflect {
    ($version:ident, $channel:expr, $names:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let requests = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol($names[0].to_owned())),
            // The types of an error's details, with which grpcurl prints them.
            ask(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned())),
            ask(MessageRequest::FileContainingSymbol("google.rpc.Status".to_owned())),
        ];
        let mut client = ServerReflectionClient::new($channel);
        let answers = client.server_reflection_info(tokio_stream::iter(requests)).await.expect("reflection answers");
        let mut answers = answers.into_inner();
        let first = answers.next().await.expect("it goes on").expect("it is sound").message_response;
        let Some(MessageResponse::ListServicesResponse(list)) = first else { panic!("{first:?}") };
        let services: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        let mut ours: Vec<_> = services.iter().filter(|name| name.starts_with("muster.")).collect();
        ours.sort();
        assert_eq!(ours, $names, "what it serves, and nothing else");
        for _ in 0..3 {
            let file = answers.next().await.expect("it goes on").expect("it is sound").message_response;
            assert!(matches!(file, Some(MessageResponse::FileDescriptorResponse(_))), "{file:?}");
        }
    }};
}

#[tokio::test]
async fn reflection_tells_all_in_both_versions() {
    let cluster = Cluster::start(Options { workers: 1, ..Options::default() });
    for (channel, names) in both(&cluster).await {
        reflect!(v1, channel.clone(), names);
        reflect!(v1alpha, channel, names);
    }
}

#[tokio::test]
async fn health_answers_for_each_service_and_probe() {
    let cluster = Cluster::start(Options { workers: 1, ..Options::default() });
    for (channel, names) in both(&cluster).await {
        let mut client = HealthClient::new(channel);
        for name in ["", "liveness", "readiness"].into_iter().chain(names) {
            let request = HealthCheckRequest { service: name.to_owned() };
            let answer = client.check(request).await.unwrap_or_else(|status| panic!("{name:?}: {status:?}"));
            assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{name:?}");
        }
        let request = HealthCheckRequest { service: "nobody".to_owned() };
        assert_eq!(client.check(request).await.expect_err("nobody is not served").code(), tonic::Code::NotFound);
    }
}
