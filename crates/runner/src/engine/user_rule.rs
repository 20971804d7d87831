//! As which users the runner starts programs.

use muster_agent::runner_protocol::{Program, VERSION_WITH_CREDENTIALS};

/// The rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserRule {
    /// Whether the runner is root's.
    is_root: bool,
    /// Whether it was told that programs may run as root.
    allow_root: bool,
    /// Whether the agent knows that a program has a user: an older one names none, and means the
    /// runner's.
    agent_names_users: bool,
}

impl UserRule {
    pub(crate) fn new(allow_root: bool) -> UserRule {
        let is_root = rustix::process::geteuid().is_root();
        UserRule { is_root, allow_root, agent_names_users: true }
    }

    /// Takes note of the version that a new agent speaks.
    pub(super) fn take_agent(&mut self, version: u32) {
        self.agent_names_users = version >= VERSION_WITH_CREDENTIALS;
    }

    /// Why a program is not started. The kernel takes a number of all ones for "no change", which
    /// would be the runner's own user.
    pub(super) fn refusal(&self, program: &Program) -> Option<&'static str> {
        let is_root = match &program.credentials {
            Some(user) if user.uid == u32::MAX || user.gid == u32::MAX => return Some("its user is none"),
            Some(user) => user.uid == 0,
            None => self.is_root && self.agent_names_users,
        };
        (is_root && !self.allow_root).then_some("this worker's runner starts nothing as root")
    }
}

#[cfg(test)]
mod tests {
    use muster_agent::runner_protocol::ProcessCredentials;

    use super::*;

    fn program(user: Option<(u32, u32)>) -> Program {
        let credentials = user.map(|(uid, gid)| ProcessCredentials { uid, gid, groups: Vec::new() });
        Program { credentials, ..Program::default() }
    }

    #[test]
    fn nothing_runs_as_root_unless_that_is_said() {
        let rule = UserRule { is_root: true, allow_root: false, agent_names_users: true };
        assert!(rule.refusal(&program(None)).is_some(), "a program that names no user");
        assert!(rule.refusal(&program(Some((0, 7)))).is_some());
        assert!(rule.refusal(&program(Some((7, 0)))).is_none());
        let allowed = UserRule { allow_root: true, ..rule };
        assert!(allowed.refusal(&program(None)).is_none() && allowed.refusal(&program(Some((0, 0)))).is_none());
        let ordinary = UserRule { is_root: false, ..rule };
        assert!(ordinary.refusal(&program(None)).is_none());
    }

    #[test]
    fn a_number_that_means_no_change_is_no_user() {
        let rule = UserRule { is_root: true, allow_root: false, agent_names_users: true };
        for user in [(u32::MAX, 7), (7, u32::MAX)] {
            assert_eq!(rule.refusal(&program(Some(user))), Some("its user is none"));
        }
    }

    #[test]
    fn an_agent_that_knows_of_no_users_is_served_as_before() {
        let mut rule = UserRule { is_root: true, allow_root: false, agent_names_users: true };
        rule.take_agent(VERSION_WITH_CREDENTIALS - 1);
        assert!(rule.refusal(&program(None)).is_none());
        rule.take_agent(VERSION_WITH_CREDENTIALS);
        assert!(rule.refusal(&program(None)).is_some());
    }
}
