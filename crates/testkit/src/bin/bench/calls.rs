//! What it costs a master to know its caller: processor time of a call that does nothing else, by
//! each kind of credential, against the same call at a master that asks for none and so looks at
//! nothing of it. What it costs to carry a credential, which is a longer header, is told apart. All
//! are over TLS.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::v1::GetCallerRequest;
use muster_proto::v1::access_service_client::AccessServiceClient;
use muster_testenv::company::Company;
use muster_testenv::issuer_key::{AUDIENCE, ISSUER, IssuerKey};
use muster_testkit::{AccessFile, Cluster, Options};
use muster_tls::{Connector, OwnCertificate, Trust};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::figure::Figures;
use crate::load;
use crate::process::cpu_time;

/// Calls of a turn: a second of processor time, which the kernel tells in hundredths.
const TURN: usize = 20_000;
const TURNS: usize = 9;
const IN_FLIGHT: usize = 16;
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) async fn measure(figures: &mut Figures) {
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    let access = AccessFile::new();
    for user in ["cert:ann", "jwt:ann"] {
        access.bind("user", user, "submitter");
    }
    let (company, key) = (Company::new("company"), IssuerKey::new("first"));
    let jwks = directory.path().join("jwks.json");
    std::fs::write(&jwks, IssuerKey::set(&[&key])).expect("a file can be written");
    let ca = company.write_ca(directory.path().join("clients.crt"));
    let text = |path: &Path| path.to_str().expect("a path is text").to_owned();
    let mut options = Options { workers: 0, tls: true, ..load::options() };
    let open = Cluster::start(options.clone());
    options.master_args.extend(["--tls-client-ca".to_owned(), text(&ca)]);
    let mut options = access.asked_for(options);
    let flags = ["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE, "--jwt-jwks", &text(&jwks)];
    options.master_args.extend(flags.map(str::to_owned));
    let asking = Cluster::start(options);

    let shown = company.client("ann", None, &[], 1, HOUR).write(directory.path(), "ann");
    let own = OwnCertificate::open(shown.0, shown.1).expect("the certificate is one");
    let token = access.token("ann", "submitter");
    let jwt = key.token("ann", &[], HOUR);
    // The master finds the token at its next look at the file. Who asks for nothing takes no
    // certificate of a client either, and costs the same with and without one.
    let mut callers = vec![
        Callers::new(&open, None, None),
        Callers::new(&open, None, Some(&token)),
        Callers::new(&open, None, Some(&jwt)),
        Callers::new(&asking, Some(Arc::new(own)), None),
        Callers::new(&asking, None, Some(&token)),
        Callers::new(&asking, None, Some(&jwt)),
    ];
    for caller in &callers {
        caller.wait_until_known().await;
    }
    for _ in 0..TURNS {
        for caller in &mut callers {
            caller.turn().await;
        }
    }
    let medians: Vec<f64> = callers.iter_mut().map(Callers::median).collect();
    let [nothing, ignored_token, ignored_jwt, certificate, token, jwt] = medians[..] else { return };
    figures.add("processor time of a call that shows nothing", nothing, "µs");
    figures.add("to know the caller by a certificate, on top", certificate - nothing, "µs");
    for (name, ignored, known) in [("token", ignored_token, token), ("JWT", ignored_jwt, jwt)] {
        figures.add(format!("to carry a {name}, on top"), ignored - nothing, "µs");
        figures.add(format!("to know the caller by a {name}, on top of that"), known - ignored, "µs");
    }
}

/// Callers with one kind of credential, on one connection.
struct Callers {
    client: AccessServiceClient<Channel>,
    bearer: Option<MetadataValue<Ascii>>,
    master: u32,
    /// Microseconds per call, of each turn.
    turns: Vec<f64>,
}

impl Callers {
    fn new(cluster: &Cluster, own: Option<Arc<OwnCertificate>>, token: Option<&str>) -> Callers {
        let trust = Trust::named(&cluster.ca().expect("it is over TLS")).expect("the CA is one");
        let trust = match own {
            Some(own) => trust.showing_own(own),
            None => trust,
        };
        let endpoint = Endpoint::from_shared(format!("http://{}", cluster.address())).expect("the address is one");
        let channel = endpoint.connect_with_connector_lazy(Connector::new(Some(trust), Duration::from_secs(5)));
        Callers {
            client: AccessServiceClient::new(channel),
            bearer: token.map(|token| format!("Bearer {token}").parse().expect("a token is a header")),
            master: cluster.master.as_ref().expect("the master runs").pid(),
            turns: Vec::new(),
        }
    }

    fn request(&self) -> Request<GetCallerRequest> {
        let mut request = Request::new(GetCallerRequest {});
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    }

    async fn wait_until_known(&self) {
        let known = async || self.client.clone().get_caller(self.request()).await.ok();
        muster_testkit::eventually("the credential to be known", Duration::from_secs(60), known).await;
    }

    async fn turn(&mut self) {
        let before = cpu_time(self.master);
        let mut tasks = Vec::new();
        for _ in 0..IN_FLIGHT {
            let mut client = self.client.clone();
            let requests: Vec<_> = (0..TURN / IN_FLIGHT).map(|_| self.request()).collect();
            tasks.push(tokio::spawn(async move {
                for request in requests {
                    client.get_caller(request).await.expect("the caller is known");
                }
            }));
        }
        for task in tasks {
            task.await.expect("the calls go on");
        }
        let took = cpu_time(self.master) - before;
        self.turns.push(took.as_secs_f64() * 1e6 / TURN as f64);
    }

    fn median(&mut self) -> f64 {
        self.turns.sort_by(f64::total_cmp);
        self.turns[self.turns.len() / 2]
    }
}
