//! What any gRPC client can ask of a worker.

use muster_worker::config::WorkerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::stage::*;

async fn connect(endpoint: String) -> Channel {
    let endpoint = Endpoint::from_shared(endpoint).expect("an address");
    soon("the service", async {
        loop {
            match endpoint.connect().await {
                Ok(channel) => return channel,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    })
    .await
}

async fn health(address: &str, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(connect(format!("http://{address}")).await);
    let request = HealthCheckRequest { service: service.to_owned() };
    client.check(request).await.expect("a known service").into_inner().status()
}

fn free_port() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// The status of a page of the HTTP port.
async fn page(address: std::net::SocketAddr, path: &str) -> u16 {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[tokio::test]
async fn health_tells_life_from_readiness() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    let listen = free_port();
    let http = free_port();
    stage.start_with(WorkerConfig { listen, http: Some(http), ..stage.config(&master) });
    let address = listen.to_string();
    let mut talk = stage.runner.adopted().await;
    let mut stream = master.hello().await;
    for service in ["", "muster.v1.WorkerService", "liveness"] {
        assert_eq!(health(&address, service).await, ServingStatus::Serving, "{service}");
    }
    assert_eq!(health(&address, "readiness").await, ServingStatus::NotServing);
    assert_eq!((page(http, "/healthz").await, page(http, "/readyz").await), (200, 503));
    stream.welcome();
    talk.answer_inventory(vec![]).await;
    stream.inventory().await;
    soon("readiness", async {
        while health(&address, "readiness").await != ServingStatus::Serving {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!((page(http, "/healthz").await, page(http, "/readyz").await), (200, 200));
}

#[tokio::test]
async fn both_versions_of_reflection_name_the_service_and_health_knows_all_that_are_listed() {
    let mut stage = Stage::set();
    let mut master = Master::lead(5).await;
    stage.start(&master);
    let (_stream, _talk) = stage.register(&mut master, vec![]).await;
    stage.client().await;
    let address = std::fs::read_to_string(stage.path("address")).expect("written");
    let endpoint = format!("http://{}", address.trim());

    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(connect(endpoint.clone()).await);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("answered").into_inner();
    let answer = answers.message().await.expect("no error").expect("an answer");
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(listed)) = answer.message_response
    else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    assert!(names.iter().any(|name| name == "muster.v1.WorkerService"), "{names:?}");
    for name in names {
        assert_eq!(health(address.trim(), &name).await, ServingStatus::Serving, "{name}");
    }

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(connect(endpoint).await);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("answered").into_inner();
    let answer = answers.message().await.expect("no error").expect("an answer");
    assert!(format!("{answer:?}").contains("muster.v1.WorkerService"));
}
