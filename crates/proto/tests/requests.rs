//! Requests of clients: their defaults, and that all their violations are reported at once.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_proto::{errors, v1, validate};
use muster_types::{DEFAULT_MEMORY, RestartCondition, WorkerLostPolicy};

fn smallest() -> v1::SubmitDriverRequest {
    let command = v1::Command { program: "/bin/echo".into(), args: vec!["hi".into()], ..Default::default() };
    let driver = v1::DriverSpec { command: Some(command), ..Default::default() };
    v1::SubmitDriverRequest { driver: Some(driver), ..Default::default() }
}

fn fields(request: v1::SubmitDriverRequest) -> Vec<String> {
    let violations = validate::submit_driver(request).expect_err("it must be refused");
    violations.list().iter().map(|violation| violation.field.clone()).collect()
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

#[test]
fn the_smallest_request_that_makes_sense_is_complete() {
    let submit = validate::submit_driver(smallest()).unwrap();
    assert_eq!((submit.id, submit.request, submit.validate_only), (None, None, false));
    assert_eq!((submit.spec.resources.cores, submit.spec.resources.memory), (1, DEFAULT_MEMORY));
    assert_eq!(submit.spec.restart.condition, RestartCondition::Never);
    assert_eq!(submit.spec.on_worker_lost, WorkerLostPolicy::Wait);
    assert_eq!(submit.spec.kill_grace, Duration::from_secs(10));
    assert_eq!(submit.spec.log_limit, 64 << 20);
}

#[test]
fn what_restarts_is_leased_unless_it_says_otherwise() {
    let mut request = smallest();
    let restart = v1::RestartPolicy {
        condition: v1::RestartCondition::OnFailure.into(),
        backoff_initial: seconds(600),
        ..Default::default()
    };
    request.driver.as_mut().unwrap().restart = Some(restart);
    let spec = validate::submit_driver(request).unwrap().spec;
    assert_eq!(spec.on_worker_lost, WorkerLostPolicy::Rerun);
    assert_eq!(spec.restart.backoff_max, Duration::from_secs(600), "an unset longest delay follows the first");
}

#[test]
fn no_name_has_the_form_of_a_uid() {
    let uid = "0123456789abcdef0123456789abcdef";
    let named = |id: &str| v1::SubmitDriverRequest { driver_id: id.into(), ..smallest() };
    let said = validate::submit_driver(named(uid)).unwrap_err().to_string();
    assert!(said.contains("driver_id") && said.contains("a uid, and no name"), "{said}");
    assert!(validate::submit_driver(named(&uid[1..])).is_ok());
    assert!(validate::submit_driver(named(&uid.replace('f', "g"))).is_ok());
    let register = v1::RegisterApplicationRequest { application_id: uid.into(), ..Default::default() };
    let said = validate::register_application(register).unwrap_err().to_string();
    assert!(said.contains("application_id") && said.contains("a uid, and no name"), "{said}");
}

#[test]
fn everything_wrong_is_named_at_once() {
    let mut request = smallest();
    request.driver_id = "Not DNS".into();
    request.request_id = "with space".into();
    let driver = request.driver.as_mut().unwrap();
    driver.kill_grace = seconds(-1);
    driver.on_worker_lost = 7;
    driver.log_limit_bytes = 1;
    driver.labels = BTreeMap::from([("a=b".into(), "v".into())]);
    driver.resources =
        Some(v1::Resources { memory_bytes: 512, custom: [("GPU".to_owned(), 1)].into(), ..Default::default() });
    driver.restart = Some(v1::RestartPolicy {
        max_attempts: 10_001,
        backoff_initial: seconds(10),
        backoff_max: seconds(1),
        ..Default::default()
    });
    let command = driver.command.as_mut().unwrap();
    command.args.push("nul\0".into());
    command.env = [("MUSTER_TOKEN", "x"), ("A", "1\0"), ("1A", "")].map(|(k, v)| (k.into(), v.into())).into();
    command.secret_env = BTreeMap::from([("A".into(), "2".into())]);
    command.work_dir = "relative".into();
    driver.artifacts = vec![
        v1::Artifact { uri: "ftp://h/a".into(), sha256: "abc".into(), ..Default::default() },
        v1::Artifact { uri: "https://h/a".into(), ..Default::default() },
        v1::Artifact { uri: "https://h/x".into(), file_name: "../x".into(), ..Default::default() },
    ];
    let found = fields(request);
    for expected in [
        "driver_id",
        "request_id",
        "driver.kill_grace",
        "driver.on_worker_lost",
        "driver.log_limit_bytes",
        "driver.labels[\"a=b\"]",
        "driver.resources.memory_bytes",
        "driver.resources.custom[\"GPU\"]",
        "driver.restart.max_attempts",
        "driver.restart.backoff_max",
        "driver.command.args[1]",
        "driver.command.env[\"MUSTER_TOKEN\"]",
        "driver.command.env[\"A\"]",
        "driver.command.env[\"1A\"]",
        "driver.command.secret_env[\"A\"]",
        "driver.command.work_dir",
        "driver.artifacts[0].uri",
        "driver.artifacts[0].sha256",
        "driver.artifacts[1].file_name",
        "driver.artifacts[2].file_name",
    ] {
        assert!(found.iter().any(|field| field == expected), "{expected} is not among {found:?}");
    }
    assert_eq!(found.len(), 20, "nothing else: {found:?}");
}

#[test]
fn a_missing_program_and_a_missing_spec_are_named() {
    assert_eq!(fields(v1::SubmitDriverRequest::default()), ["driver"]);
    let empty = v1::SubmitDriverRequest { driver: Some(v1::DriverSpec::default()), ..Default::default() };
    assert_eq!(fields(empty), ["driver.command"]);
}

#[test]
fn a_spec_that_is_too_large_names_its_largest_part() {
    let mut request = smallest();
    request.driver.as_mut().unwrap().command.as_mut().unwrap().args = vec!["x".repeat(70_000)];
    assert_eq!(fields(request), ["driver.command"]);
}

#[test]
fn a_violation_never_shows_an_environment_value() {
    let mut request = smallest();
    let command = request.driver.as_mut().unwrap().command.as_mut().unwrap();
    command.env = BTreeMap::from([("A".into(), "hunter2 {{hunter2}}\0".into())]);
    command.secret_env = BTreeMap::from([("A".into(), "{{hunter2}}".into())]);
    let debug = format!("{request:?}");
    let status = tonic::Status::from(errors::Failure::from(validate::submit_driver(request).unwrap_err()));
    let shown = format!("{debug} {status:?} {:?}", errors::violations_of(&status));
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn application() -> v1::ApplicationSpec {
    let command = v1::Command { program: "{{SPARK_HOME}}/bin/x".into(), ..Default::default() };
    let template = v1::ExecutorTemplate { command: Some(command), ..Default::default() };
    v1::ApplicationSpec {
        name: "word count".into(),
        template: Some(template),
        profiles: vec![v1::ExecutorProfile { target: 4, ..Default::default() }],
        ..Default::default()
    }
}

#[test]
fn an_application_is_complete_and_its_faults_are_named() {
    let good = v1::RegisterApplicationRequest { application: Some(application()), ..Default::default() };
    let spec = validate::register_application(good).unwrap().spec;
    let profile = spec.profiles.values().next().unwrap();
    assert_eq!((profile.target, profile.resources.cores), (4, 0), "0 cores of an executor mean all that are free");
    assert_eq!(&*spec.template.resources_component, "executor");

    let mut bad = application();
    bad.name.clear();
    bad.ui_address = "javascript:alert(1)".into();
    bad.session_grace = seconds(86_401);
    bad.profiles.push(v1::ExecutorProfile {
        variables: [("EXECUTOR_ID".to_owned(), "1".to_owned()), ("low".to_owned(), String::new())].into(),
        template: Some(v1::ExecutorTemplate::default()),
        ..Default::default()
    });
    bad.template = None;
    let violations =
        validate::register_application(v1::RegisterApplicationRequest { application: Some(bad), ..Default::default() })
            .unwrap_err();
    let found: Vec<_> = violations.list().iter().map(|violation| violation.field.as_str()).collect();
    let expected = [
        "application.name",
        "application.ui_address",
        "application.profiles[1].variables[\"EXECUTOR_ID\"]",
        "application.profiles[1].variables[\"low\"]",
        "application.profiles[1].template.command",
        "application.profiles[1].profile_id",
        "application.session_grace",
        "application.template",
    ];
    assert_eq!(
        {
            let mut f = found.clone();
            f.sort_unstable();
            f
        },
        {
            let mut e = expected.to_vec();
            e.sort_unstable();
            e
        }
    );
}

#[test]
fn targets_name_each_profile_once() {
    let target = |profile_id, new: Option<u32>| v1::ProfileTarget {
        profile_id,
        target: 3,
        new_profile: new.map(|profile_id| v1::ExecutorProfile { profile_id, ..Default::default() }),
        ..Default::default()
    };
    let request = |targets| v1::RequestExecutorsRequest {
        application_id: "app".into(),
        sequence: 1,
        targets,
        ..Default::default()
    };
    let good = validate::request_executors(request(vec![target(1, None), target(2, Some(0))])).unwrap();
    let new = good.targets[1].new_profile.as_ref().unwrap();
    assert_eq!((new.id.0, new.target), (2, 3), "the target's numbers hold");
    let bad = validate::request_executors(request(vec![target(1, Some(9)), target(1, None)])).unwrap_err();
    let found: Vec<_> = bad.list().iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(found, ["targets[0].new_profile.profile_id", "targets[1].profile_id"]);
}

#[test]
fn a_page_token_belongs_to_its_filter() {
    let list = |token: &str, filter: &str| {
        validate::list_drivers(v1::ListDriversRequest {
            page_token: token.into(),
            filter: filter.into(),
            ..Default::default()
        })
    };
    let first = list("", "state=RUNNING").unwrap();
    assert_eq!(first.size, validate::DEFAULT_PAGE_SIZE);
    let token = first.next_token("driver-7");
    assert_eq!(list(&token, "state=RUNNING").unwrap().after.as_deref(), Some("driver-7"));
    assert!(list(&token, "state=FAILED").is_err());
    assert!(list("x", "").is_err());
}

/// The fields of a list that refuses this token.
fn refused_token(list: &str, token: &str) -> Vec<String> {
    let page_token = token.to_owned();
    let application_id = list.strip_prefix("executors of ").unwrap_or_default().to_owned();
    let refusal = match list {
        "drivers" => validate::list_drivers(v1::ListDriversRequest { page_token, ..Default::default() }).err(),
        "workers" => validate::list_workers(v1::ListWorkersRequest { page_token, ..Default::default() }).err(),
        "applications" => {
            validate::list_applications(v1::ListApplicationsRequest { page_token, ..Default::default() }).err()
        }
        _ => {
            let request = v1::ListExecutorsRequest { page_token, application_id, ..Default::default() };
            validate::list_executors(request).err()
        }
    };
    refusal.map_or_else(Vec::new, |all| all.list().iter().map(|violation| violation.field.clone()).collect())
}

#[test]
fn a_page_token_belongs_to_its_list_and_is_taken_whole() {
    let executors = |application: &str| {
        let request = v1::ListExecutorsRequest { application_id: application.into(), ..Default::default() };
        validate::list_executors(request).unwrap().page.next_token("key")
    };
    let tokens = [
        ("drivers", validate::list_drivers(Default::default()).unwrap().next_token("key")),
        ("workers", validate::list_workers(Default::default()).unwrap().next_token("key")),
        ("applications", validate::list_applications(Default::default()).unwrap().next_token("key")),
        ("executors", executors("")),
        ("executors of a", executors("a")),
        ("executors of b", executors("b")),
    ];
    for (list, token) in &tokens {
        for (other, _) in &tokens {
            let refused = refused_token(other, token);
            assert_eq!(refused.is_empty(), other == list, "the token of {list} at {other}");
            assert!(refused.iter().all(|field| field == "page_token"), "{refused:?}");
        }
        for length in 1..token.len() {
            assert_eq!(refused_token(list, &token[..length]), ["page_token"], "{list}: {length} characters");
        }
        for place in 0..token.len() {
            let other = if token.as_bytes()[place] == b'A' { "B" } else { "A" };
            let damaged = [&token[..place], other, &token[place + 1..]].concat();
            assert_eq!(refused_token(list, &damaged), ["page_token"], "{list}: another character at {place}");
        }
    }
}

/// The refused fields of a log request.
fn log_fields(request: v1::ReadLogRequest) -> Vec<String> {
    match validate::read_log(request) {
        Ok(_) => Vec::new(),
        Err(violations) => violations.list().iter().map(|violation| violation.field.clone()).collect(),
    }
}

#[test]
fn a_log_is_that_of_a_driver_or_of_an_applications_executor() {
    use v1::read_log_request::Subject;
    let driver = v1::ReadLogRequest { subject: Some(Subject::DriverId("d".into())), ..Default::default() };
    let subject = Some(Subject::ApplicationId("a".into()));
    let executor = v1::ReadLogRequest { subject, executor_id: Some(0), ..Default::default() };
    assert!(log_fields(driver.clone()).is_empty() && log_fields(executor.clone()).is_empty());
    assert_eq!(log_fields(v1::ReadLogRequest::default()), ["driver_id"]);
    assert_eq!(log_fields(v1::ReadLogRequest { executor_id: Some(1), ..driver.clone() }), ["executor_id"]);
    assert_eq!(log_fields(v1::ReadLogRequest { subject: Some(Subject::DriverId("".into())), ..driver }), ["driver_id"]);
    assert_eq!(log_fields(v1::ReadLogRequest { executor_id: None, ..executor.clone() }), ["executor_id"]);
    assert_eq!(log_fields(v1::ReadLogRequest { attempt: 2, ..executor }), ["attempt"]);
}

/// The refused fields of a log request to a worker.
fn worker_log_fields(request: v1::WorkerServiceReadLogRequest) -> Vec<String> {
    match validate::read_worker_log(request) {
        Ok(_) => Vec::new(),
        Err(violations) => violations.list().iter().map(|violation| violation.field.clone()).collect(),
    }
}

#[test]
fn a_worker_is_asked_for_one_attempt() {
    use v1::worker_service_read_log_request::Subject;
    let uid = muster_types::DriverUid(7).to_string();
    let driver =
        v1::WorkerServiceReadLogRequest { subject: Some(Subject::DriverUid(uid)), attempt: 1, ..Default::default() };
    let subject = Some(Subject::ApplicationUid(muster_types::ApplicationUid(7).to_string()));
    let executor = v1::WorkerServiceReadLogRequest { subject, executor_id: Some(0), ..Default::default() };
    assert!(worker_log_fields(driver.clone()).is_empty() && worker_log_fields(executor.clone()).is_empty());
    assert_eq!(worker_log_fields(v1::WorkerServiceReadLogRequest::default()), ["driver_uid"]);
    assert_eq!(worker_log_fields(v1::WorkerServiceReadLogRequest { attempt: 0, ..driver.clone() }), ["attempt"]);
    let named = v1::WorkerServiceReadLogRequest { subject: Some(Subject::DriverUid("../x".into())), ..driver };
    assert_eq!(worker_log_fields(named), ["driver_uid"]);
    assert_eq!(worker_log_fields(v1::WorkerServiceReadLogRequest { executor_id: None, ..executor }), ["executor_id"]);
}
