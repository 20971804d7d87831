//! Who may call which method.

use muster_proto::errors::Failure;
use muster_proto::methods::Method;
use muster_types::{Caller, Role};

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Whoever reaches the master.
    Anyone,
    /// Users with at least this role.
    Users(Role),
    /// The same, and programs of attempts for what is theirs. The core verifies their token again.
    UsersAndAttempts(Role),
    /// Users with at least this role, and workers for themselves.
    UsersAndWorkers(Role),
    /// Workers.
    Workers,
    /// Nobody: a master does not serve it.
    Nobody,
}

/// The table. It has no wildcard, so a new method does not build until it has a row. The rows of
/// owners (`Submitter`) are checked once more where the object is known.
fn rule(method: Method) -> Rule {
    use Method as M;
    match method {
        // What these tell is in the headers of every answer, too.
        M::HealthCheck | M::HealthList | M::HealthWatch | M::MasterWatchLeader => Rule::Anyone,
        M::Reflect
        | M::ReflectAlpha
        | M::MasterGetDriver
        | M::MasterListDrivers
        | M::MasterGetApplication
        | M::MasterListApplications
        | M::MasterListExecutors
        | M::MasterListWorkers
        | M::MasterGetCluster
        | M::MasterWatchEvents => Rule::Users(Role::Viewer),
        M::MasterSubmitDriver | M::MasterKillDriver | M::MasterKillApplication | M::MasterReadLog => {
            Rule::Users(Role::Submitter)
        }
        // What a caller is taken for is no secret, nor is a CA, and its handler decides on a
        // certificate, by the key.
        M::AccessGetCaller | M::AccessGetTrustBundle | M::AccessIssueWorkerCertificate => Rule::Anyone,
        // A worker drains itself before its machine stops, waits until it is empty, and takes work
        // again after that.
        M::MasterGetWorker => Rule::UsersAndWorkers(Role::Viewer),
        M::MasterDrainWorker | M::MasterUndrainWorker => Rule::UsersAndWorkers(Role::Operator),
        // Its own tokens are for each user, those of workers for operators, and the rest for
        // admins, which their handlers check.
        M::AccessCreateToken | M::AccessListTokens | M::AccessRevokeToken => Rule::Users(Role::Viewer),
        M::MasterForgetWorker
        | M::MasterRevokeWorker
        | M::MasterForgetAttempt
        | M::MasterEndQuarantined
        | M::MasterStepDown => Rule::Users(Role::Operator),
        M::MasterBackup | M::AccessBindRole | M::AccessUnbindRole | M::AccessListRoleBindings => {
            Rule::Users(Role::Admin)
        }
        M::ApplicationRegisterApplication
        | M::ApplicationWatchApplication
        | M::ApplicationRequestExecutors
        | M::ApplicationKillExecutors
        | M::ApplicationUnregisterApplication => Rule::UsersAndAttempts(Role::Submitter),
        M::WorkerLinkLink => Rule::Workers,
        M::ExecutorLinkLink | M::OutputRead | M::WorkerGetInventory | M::WorkerReadLog | M::WorkerDrain => Rule::Nobody,
    }
}

/// What is taken in the clear where others speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaintextRule {
    /// What it tells is in the headers of every answer.
    Anyone,
    /// Workers that are known and have shown no key yet, which the hello says.
    Workers,
    /// Programs, by the token of their attempt.
    Attempts,
    /// Nothing.
    Nobody,
}

/// The same table for connections in the clear: what workers and programs call that were started
/// before there were credentials, and nothing else.
pub(super) fn plaintext_rule(method: Method) -> PlaintextRule {
    match (method, rule(method)) {
        (Method::MasterWatchLeader, _) => PlaintextRule::Anyone,
        (Method::WorkerLinkLink, _) => PlaintextRule::Workers,
        (_, Rule::UsersAndAttempts(_)) => PlaintextRule::Attempts,
        _ => PlaintextRule::Nobody,
    }
}

/// Whether a caller may call a method.
pub(super) fn permit(method: Method, caller: &Caller) -> Result<(), Failure> {
    let rule = rule(method);
    let allowed = match (rule, caller) {
        (Rule::Anyone, _)
        | (_, Caller::Local)
        | (Rule::UsersAndAttempts(_), Caller::Attempt { .. } | Caller::AnyAttempt) => true,
        (Rule::Workers | Rule::UsersAndWorkers(_), Caller::Worker(_) | Caller::AnyWorker { .. }) => true,
        (_, Caller::Anonymous) => return Err(Failure::NoCredential),
        (_, Caller::Unbound { .. }) => {
            let needed = "who has a role, by itself or by a group (`muster access bind`),".to_owned();
            return Err(Failure::RoleRequired { caller: caller.to_string(), needed });
        }
        (Rule::Users(least) | Rule::UsersAndAttempts(least) | Rule::UsersAndWorkers(least), caller) => {
            caller.role() >= Some(least)
        }
        (Rule::Workers | Rule::Nobody, _) => false,
    };
    let needed = || match rule {
        Rule::Anyone => "everybody".to_owned(),
        Rule::Users(Role::Admin) => "the role admin".to_owned(),
        Rule::Users(least) => format!("the role {least} and above"),
        Rule::UsersAndAttempts(least) => format!("the role {least} and above, or an attempt"),
        Rule::UsersAndWorkers(least) => format!("the role {least} and above, or a worker"),
        Rule::Workers => "a worker".to_owned(),
        Rule::Nobody => "nobody".to_owned(),
    };
    if allowed { Ok(()) } else { Err(Failure::RoleRequired { caller: caller.to_string(), needed: needed() }) }
}

#[cfg(test)]
mod tests {
    use muster_types::{AttemptNumber, DriverUid, WorkerUid};

    use super::*;

    /// One line per method: who may, of anonymous, a user without a role, viewer, submitter,
    /// operator, admin, worker, one that joins, and attempt. It is written by hand from
    /// docs/design/security.md, so that a slip in the table shows.
    const MATRIX: &str = "\
HealthCheck ausvoxwjt
HealthList ausvoxwjt
HealthWatch ausvoxwjt
AccessGetCaller ausvoxwjt
AccessGetTrustBundle ausvoxwjt
AccessIssueWorkerCertificate ausvoxwjt
AccessCreateToken --svox---
AccessListTokens --svox---
AccessRevokeToken --svox---
AccessBindRole -----x---
AccessUnbindRole -----x---
AccessListRoleBindings -----x---
Reflect --svox---
ReflectAlpha --svox---
ApplicationRegisterApplication ---vox--t
ApplicationWatchApplication ---vox--t
ApplicationRequestExecutors ---vox--t
ApplicationKillExecutors ---vox--t
ApplicationUnregisterApplication ---vox--t
MasterSubmitDriver ---vox---
MasterGetDriver --svox---
MasterListDrivers --svox---
MasterKillDriver ---vox---
MasterGetApplication --svox---
MasterListApplications --svox---
MasterKillApplication ---vox---
MasterListExecutors --svox---
MasterGetWorker --svoxw--
MasterListWorkers --svox---
MasterDrainWorker ----oxw--
MasterUndrainWorker ----oxw--
MasterForgetWorker ----ox---
MasterRevokeWorker ----ox---
MasterForgetAttempt ----ox---
MasterEndQuarantined ----ox---
MasterGetCluster --svox---
MasterWatchEvents --svox---
MasterReadLog ---vox---
MasterWatchLeader ausvoxwjt
MasterStepDown ----ox---
MasterBackup -----x---
OutputRead ---------
ExecutorLinkLink ---------
WorkerLinkLink ------w--
WorkerGetInventory ---------
WorkerReadLog ---------
WorkerDrain ---------
";

    fn callers() -> [(char, Caller); 9] {
        let user = |role| Caller::User { name: "u".to_owned(), role };
        [
            ('a', Caller::Anonymous),
            ('u', Caller::Unbound { name: "u".to_owned() }),
            ('s', user(Role::Viewer)),
            ('v', user(Role::Submitter)),
            ('o', user(Role::Operator)),
            ('x', user(Role::Admin)),
            ('w', Caller::Worker(WorkerUid(7))),
            ('j', Caller::Joining { name: "j".to_owned() }),
            ('t', Caller::Attempt { driver: DriverUid(1), number: AttemptNumber(1) }),
        ]
    }

    #[test]
    fn each_method_is_for_whom_the_design_says() {
        let nameless = Caller::AnyWorker { name: "w".to_owned() };
        for method in Method::ALL {
            let certified = permit(*method, &Caller::Worker(WorkerUid(7))).is_ok();
            assert_eq!(permit(*method, &nameless).is_ok(), certified, "{method:?}");
        }
        let row = |method: &Method| {
            let may = callers().map(|(letter, caller)| if permit(*method, &caller).is_ok() { letter } else { '-' });
            format!("{method:?} {}\n", may.iter().collect::<String>())
        };
        let mut rows: Vec<String> = Method::ALL.iter().map(row).collect();
        let mut expected: Vec<String> = MATRIX.lines().map(|line| format!("{line}\n")).collect();
        rows.sort();
        expected.sort();
        assert_eq!(rows.concat(), expected.concat());
    }

    #[test]
    fn in_the_clear_there_is_what_old_workers_and_their_programs_need() {
        let taken = Method::ALL.iter().filter(|method| plaintext_rule(**method) != PlaintextRule::Nobody);
        let taken: Vec<String> = taken.map(|method| format!("{method:?} {:?}", plaintext_rule(*method))).collect();
        let mut expected = [
            "ApplicationKillExecutors Attempts",
            "ApplicationRegisterApplication Attempts",
            "ApplicationRequestExecutors Attempts",
            "ApplicationUnregisterApplication Attempts",
            "ApplicationWatchApplication Attempts",
            "MasterWatchLeader Anyone",
            "WorkerLinkLink Workers",
        ];
        expected.sort_unstable();
        let mut taken: Vec<&str> = taken.iter().map(String::as_str).collect();
        taken.sort_unstable();
        assert_eq!(taken, expected);
    }

    #[test]
    fn a_refusal_tells_what_is_missing() {
        let nobody = permit(Method::MasterGetCluster, &Caller::Anonymous);
        assert_eq!(nobody, Err(Failure::NoCredential));
        let viewer = Caller::User { name: "ann".to_owned(), role: Role::Viewer };
        let refused = permit(Method::MasterSubmitDriver, &viewer).unwrap_err();
        assert_eq!(refused.to_string(), "ann may not do this: the role submitter and above may");
    }
}
