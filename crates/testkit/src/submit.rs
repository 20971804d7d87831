//! Submissions as tests write them.

use std::collections::BTreeMap;

use muster_proto::v1::read_log_request::Subject;
use muster_proto::v1::{
    Command, DriverSpec, LogStream, ReadLogRequest, Resources, RestartCondition, RestartPolicy, SubmitDriverRequest,
    WorkerLostPolicy,
};
use prost_types::Duration;
use tokio_stream::StreamExt as _;

use crate::Cluster;

/// A driver to submit; one core and 64 MiB unless said otherwise.
#[derive(Debug, Clone)]
pub struct Submit(pub SubmitDriverRequest);

impl Submit {
    /// Runs a program with arguments.
    pub fn program(words: &[&str]) -> Submit {
        let command = Command {
            program: words[0].to_owned(),
            args: words[1..].iter().map(|&word| word.to_owned()).collect(),
            ..Command::default()
        };
        let resources = Resources { cores: 1, memory_bytes: 64 << 20, custom: BTreeMap::new() };
        let driver = DriverSpec { command: Some(command), resources: Some(resources), ..DriverSpec::default() };
        Submit(SubmitDriverRequest { driver: Some(driver), ..SubmitDriverRequest::default() })
    }

    /// Runs a shell script.
    pub fn shell(script: &str) -> Submit {
        Submit::program(&["/bin/sh", "-c", script])
    }

    /// The specification of the driver.
    pub fn spec(&mut self) -> &mut DriverSpec {
        self.0.driver.get_or_insert_default()
    }

    /// Sets the driver's name.
    #[must_use]
    pub fn id(mut self, id: &str) -> Submit {
        self.0.driver_id = id.to_owned();
        self
    }

    /// Sets the request id.
    #[must_use]
    pub fn request(mut self, id: &str) -> Submit {
        self.0.request_id = id.to_owned();
        self
    }

    /// Sets the resources: cores, and bytes of memory.
    #[must_use]
    pub fn resources(mut self, cores: u32, memory: u64) -> Submit {
        self.spec().resources = Some(Resources { cores, memory_bytes: memory, custom: BTreeMap::new() });
        self
    }

    /// Sets the restart condition, and a first delay of 100 ms.
    #[must_use]
    pub fn restart(mut self, condition: RestartCondition) -> Submit {
        let initial = Duration { seconds: 0, nanos: 100_000_000 };
        let policy = RestartPolicy { backoff_initial: Some(initial), ..RestartPolicy::default() };
        self.spec().restart = Some(policy);
        self.spec().restart.get_or_insert_default().set_condition(condition);
        self
    }

    /// Makes the driver leased: it runs again elsewhere when its worker is lost.
    #[must_use]
    pub fn leased(mut self) -> Submit {
        self.spec().set_on_worker_lost(WorkerLostPolicy::Rerun);
        self
    }

    /// Sets the time between TERM and KILL, in milliseconds.
    #[must_use]
    pub fn grace(mut self, millis: u64) -> Submit {
        let (seconds, nanos) = ((millis / 1000) as i64, (millis % 1000) as i32 * 1_000_000);
        self.spec().kill_grace = Some(Duration { seconds, nanos });
        self
    }
}

impl Cluster {
    /// Submits a driver. Returns its name.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub async fn submit(&self, submit: Submit) -> String {
        let answer = self.client().submit_driver(submit.0).await.expect("the submission is accepted").into_inner();
        answer.driver.expect("the answer carries the driver").driver_id
    }

    /// All of one output of a driver's newest attempt, or of attempt `attempt`.
    pub async fn log(&self, id: &str, attempt: u32, stream: LogStream) -> String {
        let mut request = ReadLogRequest {
            subject: Some(Subject::DriverId(id.to_owned())),
            attempt,
            follow: true,
            ..ReadLogRequest::default()
        };
        request.set_stream(stream);
        let mut chunks = self.client().read_log(request).await.expect("the log can be read").into_inner();
        let mut text = Vec::new();
        while let Some(answer) = chunks.next().await {
            let chunk = answer.expect("the log can be read to its end").chunk.expect("an answer carries a piece");
            text.extend_from_slice(&chunk.data);
            if chunk.end {
                break;
            }
        }
        String::from_utf8(text).expect("the test's programs write text")
    }

    /// Asks for the kill of a driver.
    ///
    /// # Panics
    ///
    /// When that is refused.
    pub async fn kill_driver(&self, id: &str) {
        let request = muster_proto::v1::KillDriverRequest { driver_id: id.to_owned(), ..Default::default() };
        self.client().kill_driver(request).await.expect("the kill is accepted");
    }
}
