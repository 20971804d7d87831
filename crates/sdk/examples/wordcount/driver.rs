//! The driver: requests executors, gives them shares, and joins their counts.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_sdk::v1::application_session_event::Event;
use muster_sdk::{Application, ApplicationSession, Context, SessionEvent, v1};
use tokio::sync::oneshot;

use crate::executor_pool::ExecutorPool;
use crate::options::Options;
use crate::{corpus, say};

/// Shares per executor: small enough that one slow or lost executor delays the others little.
const SHARES_PER_EXECUTOR: usize = 4;
/// How long executors may take to notice that the driver hung up, and to end by themselves. The
/// wait is over when they have ended.
const GRACE: Duration = Duration::from_secs(10);

/// Counts, and returns the most frequent words.
pub(crate) async fn run(options: &Options) -> Result<Vec<(String, u64)>, Box<dyn Error>> {
    let context = Context::from_env()?;
    // Executors have other work directories.
    let corpus = options.corpus.canonicalize()?;
    let files = corpus::files(&corpus, &options.suffix)?;
    let (number, size) = (files.len(), files.iter().map(|(_, size)| size).sum::<u64>());
    say!("{number} files, {size} bytes, {} executors", options.executors);

    let pool = Arc::new(ExecutorPool::new(corpus::shares(files, options.executors as usize * SHARES_PER_EXECUTOR)));
    let listener = listen(&context.host)?;
    let application = Application::register(&context, spec(options, listener.local_addr()?)?).await?;
    say!("registered as {}", application.name());
    pool.open(listener);

    let counted = {
        let pool = pool.clone();
        let (sender, receiver) = oneshot::channel();
        std::thread::spawn(move || sender.send(pool.queue().total()));
        receiver
    };
    let mut session = application.open_session();
    let total = tokio::select! {
        total = counted => total?,
        ended = follow(&mut session, &pool) => return Err(ended),
    };
    // The application is unregistered before the connections are closed: otherwise Muster would
    // replace the executors that end.
    let unregistered = application.unregister_within(true, "counted", GRACE).await;
    pool.close();
    unregistered?;
    // Remaining executors are killed when the driver of their application ends, so the driver waits
    // until they have finished.
    let _ = tokio::time::timeout(GRACE, follow(&mut session, &pool)).await;
    Ok(total.commonest(options.top))
}

/// Listens on the name by which other machines reach this one, or on loopback when that is no
/// address of this machine.
fn listen(host: &str) -> std::io::Result<TcpListener> {
    TcpListener::bind((host, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

fn spec(options: &Options, address: SocketAddr) -> Result<v1::ApplicationSpec, Box<dyn Error>> {
    let program = path_text(std::env::current_exe()?)?;
    let args = vec!["executor".to_owned(), address.to_string(), "{{EXECUTOR_ID}}".to_owned()];
    let command = v1::Command { program, args, ..Default::default() };
    let resources = v1::Resources { cores: options.cores, memory_bytes: options.memory, ..Default::default() };
    Ok(v1::ApplicationSpec {
        name: "wordcount".to_owned(),
        template: Some(v1::ExecutorTemplate { command: Some(command), ..Default::default() }),
        profiles: vec![v1::ExecutorProfile {
            profile_id: 1,
            resources: Some(resources),
            target: options.executors,
            ..Default::default()
        }],
        ..Default::default()
    })
}

/// How an executor ended, for people.
pub(crate) fn end_of(ended: &v1::ExecutorEnded) -> String {
    let outcome = ended.outcome.clone().unwrap_or_default();
    match (outcome.exit_code, outcome.signal, ended.killed_by.as_str()) {
        (Some(0), _, _) => "finished".to_owned(),
        (Some(code), _, _) => format!("ended with exit code {code}"),
        (None, _, by) if !by.is_empty() => format!("was killed (by {by})"),
        (None, Some(signal), _) => format!("was ended by signal {signal}"),
        (None, None, _) => format!("failed: {}", outcome.message),
    }
}

fn path_text(path: PathBuf) -> Result<String, Box<dyn Error>> {
    path.into_os_string().into_string().map_err(|path| format!("{} is not Unicode", path.display()).into())
}

/// Follows the session's events until the application has ended, which is an error before all is
/// counted.
async fn follow(session: &mut ApplicationSession, pool: &ExecutorPool) -> Box<dyn Error> {
    loop {
        let event = match session.next().await {
            Ok(Some(SessionEvent::Event(event))) => event,
            Ok(Some(SessionEvent::State(_))) => continue,
            Ok(None) => return "the application ended before all was counted".into(),
            Err(error) => return error.into(),
        };
        let executor = event.executor.unwrap_or_default();
        let (id, worker) = (executor.executor_id, executor.worker);
        match event.event {
            Some(Event::Running(_)) => say!("executor {id} runs on {worker}"),
            Some(Event::Ended(ended)) => {
                say!("executor {id} on {worker} {}", end_of(&ended));
                pool.is_gone(id);
            }
            Some(Event::ProcessLost(_) | Event::WorkerLost(_)) => {
                say!("executor {id} on {worker} is lost");
                pool.is_gone(id);
            }
            Some(Event::Pending(pending)) => {
                let reasons = pending.reason.unwrap_or_default().reasons;
                let reason: Vec<_> = reasons.into_iter().map(|reason| reason.message).collect();
                say!("{} executors wait: {}", pending.missing, reason.join("; "));
            }
            Some(Event::ApplicationEnded(ended)) => {
                return format!("the application ended (by {}): {}", ended.by, ended.message).into();
            }
            Some(Event::Added(_) | Event::Draining(_)) | None => {}
        }
    }
}
