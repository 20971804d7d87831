//! `muster worker forget-attempt`.

use muster_client::v1::ForgetAttemptRequest;

use super::put;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::parse::ProcessArg;

/// Declares that nothing of an attempt is left.
pub(super) async fn forget_attempt(master: MasterClient, target: &ProcessArg) -> Result<(), CommandFailure> {
    let Some(number) = target.number else {
        let id = &target.id;
        return Err(CommandFailure::Usage(format!("name the attempt or executor: {id}/1, as `muster get` shows it")));
    };
    let (worker_id, attempt_id) = match master.driver(&target.id).await {
        Ok((driver, _)) => {
            let attempt = driver.attempts.iter().find(|attempt| attempt.attempt == number);
            let worker = attempt.map(|attempt| attempt.worker_uid.clone());
            (worker, format!("d-{}-{number}", driver.uid))
        }
        Err(failure) if failure.is_not_found() => match executor(&master, &target.id, number).await {
            Ok(found) => found,
            Err(other) => return Err(if other.is_not_found() { failure } else { other }),
        },
        Err(failure) => return Err(failure),
    };
    let name = format!("{}/{number}", target.id);
    let missing =
        || CommandFailure::NotFound { kind: "open attempt or executor", id: name.clone(), similar: Vec::new() };
    let worker_id = worker_id.ok_or_else(missing)?;
    let client = master.client();
    let call = |request_id| client.forget_attempt(ForgetAttemptRequest { worker_id, attempt_id, request_id });
    match master.change(call).await {
        Ok(worker) => put(&format!("{name} on {} is closed as LOST, with the reason FORGOTTEN\n", worker.name)),
        Err(failure) if failure.is_not_found() => Err(missing()),
        Err(failure) => Err(failure),
    }
}

/// The worker of an executor, and the id of the executor's attempt.
async fn executor(
    master: &MasterClient,
    application: &str,
    number: u32,
) -> Result<(Option<String>, String), CommandFailure> {
    let (application, _) = master.application(application).await?;
    let all = master.ask(master.client().executors(&application.uid, "", usize::MAX)).await?.items;
    let worker = all.into_iter().find(|executor| executor.executor_id == number).map(|executor| executor.worker_uid);
    Ok((worker, format!("e-{}-{number}", application.uid)))
}
