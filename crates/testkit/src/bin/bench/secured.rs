//! What TLS, a token and the audit cost submissions, against none of them.

use muster_proto::v1::master_service_client::MasterServiceClient;
use muster_testkit::{AccessFile, Cluster, Options, Submit};
use tonic::transport::Channel;

use crate::figure::Figures;
use crate::load::{self, CONNECTIONS, submit_as};

/// Submissions of a turn: as few as take a second, so that what a shared machine does beside it
/// meets both.
const TURN: usize = 5_000;
/// Turns of each: enough for a median.
const TURNS: usize = 11;

pub(crate) async fn measure(figures: &mut Figures) {
    let plain = SubmitterSide::start(None).await;
    let access = AccessFile::new();
    let secured = SubmitterSide::start(Some(&access)).await;
    let mut turns = Vec::new();
    for turn in 0..TURNS {
        // Neither is always the second, who meets what the first has left.
        turns.push(if turn % 2 == 0 {
            let plain = plain.turn().await;
            (plain, secured.turn().await)
        } else {
            let secured = secured.turn().await;
            (plain.turn().await, secured)
        });
    }
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    figures.add("submissions in the clear, median turn", median(|turn| turn.0), "per second");
    figures.add("submissions over TLS with a token and the audit, median turn", median(|turn| turn.1), "per second");
    figures.add("secured submissions against plain ones, median pair", median(|turn| 100.0 * turn.1 / turn.0), "%");
}

/// A master without workers, and the connections of one user.
struct SubmitterSide {
    clients: Vec<MasterServiceClient<Channel>>,
    token: Option<String>,
    _cluster: Cluster,
}

impl SubmitterSide {
    async fn start(access: Option<&AccessFile>) -> SubmitterSide {
        let mut options = Options { workers: 0, tls: access.is_some(), ..load::options() };
        let mut token = None;
        if let Some(access) = access {
            token = Some(access.token("ann", "submitter"));
            options = access.asked_for(options);
            // The limit of one user is not what is measured.
            options.master_args.extend(["--submissions-per-caller", "1000000"].map(str::to_owned));
        }
        let cluster = Cluster::start(options);
        let clients = (0..CONNECTIONS).map(|_| MasterServiceClient::new(cluster.channel())).collect();
        let side = SubmitterSide { clients, token, _cluster: cluster };
        side.turn().await;
        side
    }

    async fn turn(&self) -> f64 {
        submit_as(&self.clients, self.token.as_deref(), &Submit::program(&["/bin/true"]), TURN, 8).await.rate()
    }
}
