//! Workers that speak the link and run nothing: what they are told to launch runs for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_proto::v1::worker_command::Command;
use muster_proto::v1::worker_link_service_client::WorkerLinkServiceClient;
use muster_proto::v1::{
    AllocatedResources, AttemptState, Capabilities, Heartbeat, Hello, Incarnation, Inventory, LinkRequest, Report,
    Reports, link_request, link_response,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

/// Workers that run nothing.
pub(crate) struct Workers {
    launches: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Workers {
    /// Waits until they were told to launch this much.
    pub(crate) async fn wait_for_launches(&self, count: usize) {
        let done = async || (self.launches.load(Ordering::Relaxed) >= count).then_some(());
        muster_testkit::eventually("the launches", Duration::from_secs(60), done).await;
    }
}

/// Starts `count` workers of `cores` cores each and waits until all are welcome.
pub(crate) async fn workers(address: &str, count: usize, cores: u32) -> Workers {
    let (launches, welcome) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("the address is one");
    let mut channel = None;
    for number in 0..count {
        // A real worker has a connection of its own; a hundred share one here, so that file descriptors suffice.
        if number % 100 == 0 {
            channel = Some(endpoint.connect().await.expect("the master answers"));
        }
        let channel = channel.clone().expect("it was connected");
        tasks.spawn(run(channel, number as u128 + 1, cores, launches.clone(), welcome.clone()));
    }
    let done = async || (welcome.load(Ordering::Relaxed) == count).then_some(());
    muster_testkit::eventually("the welcomes", Duration::from_secs(60), done).await;
    Workers { launches, _tasks: tasks }
}

fn hello(uid: u128, cores: u32) -> Hello {
    Hello {
        version_min: 1,
        version_max: 1,
        worker_uid: uid.to_be_bytes().to_vec().into(),
        name: format!("simulated-{uid}"),
        machine_id: "simulated".into(),
        boot_id: "simulated".into(),
        incarnation: Some(Incarnation { counter: 1, random: 1 }),
        session: 1,
        capabilities: Some(Capabilities { tree: true, tree_method: "simulated".into(), ..Capabilities::default() }),
        total: Some(AllocatedResources { cores, memory_bytes: u64::from(cores) << 30, custom: BTreeMap::new() }),
        host: "127.0.0.1".into(),
        address: "127.0.0.1:1".into(),
        agent_version: env!("CARGO_PKG_VERSION").into(),
        ..Hello::default()
    }
}

async fn run(channel: Channel, uid: u128, cores: u32, launches: Arc<AtomicUsize>, welcome: Arc<AtomicUsize>) {
    let (up, messages) = mpsc::channel(64);
    let send = async |message| up.send(LinkRequest { message: Some(message) }).await.expect("the stream stands");
    send(link_request::Message::Hello(hello(uid, cores).into())).await;
    let mut client = WorkerLinkServiceClient::new(channel);
    let mut down = client.link(ReceiverStream::new(messages)).await.expect("the link opens").into_inner();
    let mut beat = tokio::time::interval(Duration::from_secs(5));
    let (mut number, mut sequence) = (0, 0);
    loop {
        let answer = tokio::select! {
            answer = down.next() => answer.expect("the link stands").expect("the link is sound"),
            _ = beat.tick(), if number > 0 => {
                send(link_request::Message::Heartbeat(Heartbeat { number })).await;
                number += 1;
                continue;
            }
        };
        match answer.message.expect("a message is something") {
            link_response::Message::Welcome(_) => {
                send(link_request::Message::Inventory(Inventory { attempts: Vec::new(), complete: true })).await;
                number = 1;
                welcome.fetch_add(1, Ordering::Relaxed);
            }
            link_response::Message::Commands(commands) => {
                for command in commands.commands {
                    let Some(Command::Launch(launch)) = command.command else { continue };
                    launches.fetch_add(1, Ordering::Relaxed);
                    sequence += 1;
                    let mut report =
                        Report { attempt: launch.attempt, sequence, resources: launch.resources, ..Report::default() };
                    report.set_state(AttemptState::Running);
                    send(link_request::Message::Reports(Reports { reports: vec![report] })).await;
                }
            }
            link_response::Message::Goodbye(goodbye) => panic!("a simulated worker is sent away: {goodbye:?}"),
            link_response::Message::HeartbeatAnswer(_) | link_response::Message::Acknowledgements(_) => {}
        }
    }
}
