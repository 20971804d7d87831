//! Calls by the names of their methods.

use std::time::Duration;

use muster_client::{Client, v1};

use crate::failure::CallFailure;
use crate::json::{from_json, to_json};

/// Makes the function that makes the call of a name. A row is the method, its request, the method
/// of the client, and what it gives.
macro_rules! calls {
    ($($method:literal, $request:ident => $call:ident -> $answer:ident),+ $(,)?) => {
        /// Makes one call. `request` is its message as JSON, and so is the answer: the response of
        /// a read, and what a mutation changed.
        pub(crate) async fn call(client: &Client, method: &str, request: &str) -> Result<String, CallFailure> {
            match method {
                $($method => {
                    let request: v1::$request = from_json(stringify!($request), request)?;
                    let answer: v1::$answer = client.$call(request).await?;
                    Ok(to_json(stringify!($answer), &answer)?)
                })+
                "GetCluster" => Ok(to_json("Cluster", &client.get_cluster().await?)?),
                "GetCaller" => Ok(to_json("GetCallerResponse", &client.get_caller().await?)?),
                unknown => Err(CallFailure::NoMethod(unknown.to_owned())),
            }
        }
    };
}

calls! {
    "SubmitDriver", SubmitDriverRequest => submit_driver -> Driver,
    "GetDriver", GetDriverRequest => get_driver -> GetDriverResponse,
    "ListDrivers", ListDriversRequest => list_drivers -> ListDriversResponse,
    "KillDriver", KillDriverRequest => kill_driver -> Driver,
    "GetApplication", GetApplicationRequest => get_application -> GetApplicationResponse,
    "ListApplications", ListApplicationsRequest => list_applications -> ListApplicationsResponse,
    "KillApplication", KillApplicationRequest => kill_application -> Application,
    "ListExecutors", ListExecutorsRequest => list_executors -> ListExecutorsResponse,
    "GetWorker", GetWorkerRequest => get_worker -> GetWorkerResponse,
    "ListWorkers", ListWorkersRequest => list_workers -> ListWorkersResponse,
}

/// Waits for a driver's end, and gives it.
pub(crate) async fn wait(client: &Client, id: &str, timeout: Option<Duration>) -> Result<String, CallFailure> {
    let driver = client.wait_for_driver(id, timeout).await?;
    Ok(to_json("Driver", &driver)?)
}
