//! Who makes a call, and what that allows.

use std::fmt;
use std::str::FromStr;

use crate::{AttemptNumber, DriverUid, WorkerUid};

/// What a user may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees what exists, without values of environments and without logs.
    Viewer,
    /// Submits work, and commands its own.
    Submitter,
    /// Commands all work and the workers.
    Operator,
    /// Also decides who may do what, and takes backups.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Submitter, Role::Operator, Role::Admin];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Submitter => "submitter",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the word of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseRoleError;

impl fmt::Display for ParseRoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not one of viewer, submitter, operator and admin")
    }
}

impl std::error::Error for ParseRoleError {}

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Role, ParseRoleError> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(ParseRoleError)
    }
}

/// Who makes a call. No identity is ever an absent value, so none can be taken for another by
/// mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody that is known.
    Anonymous,
    /// Whoever reaches a master that asks for no credentials.
    Local,
    /// A person, or a program with a token of its own.
    User {
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// A person or a program that a certificate or a JWT names, and to whom no role is bound.
    Unbound {
        /// Its name.
        name: String,
    },
    /// A worker, by its certificate.
    Worker(WorkerUid),
    /// A worker where there is no TLS: its token does not say which.
    AnyWorker {
        /// The name of its token.
        name: String,
    },
    /// Whoever holds a token of workers where there is TLS: a worker that is not known yet gets its
    /// certificate by it, and nothing else.
    Joining {
        /// The name of its token.
        name: String,
    },
    /// A program that has no TLS, where others have: the token in each of its messages says of
    /// which attempt it is.
    AnyAttempt,
    /// The program of an attempt, with the token that it was given.
    Attempt {
        /// Its driver.
        driver: DriverUid,
        /// The number of the attempt.
        number: AttemptNumber,
    },
}

impl Caller {
    /// The role; none of those that are no user.
    pub fn role(&self) -> Option<Role> {
        match self {
            Caller::Local => Some(Role::Admin),
            Caller::User { role, .. } => Some(*role),
            Caller::Anonymous
            | Caller::Unbound { .. }
            | Caller::Worker(_)
            | Caller::AnyWorker { .. }
            | Caller::Joining { .. }
            | Caller::AnyAttempt
            | Caller::Attempt { .. } => None,
        }
    }

    /// The name of the owner of what this caller submits; none where there are no credentials.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Caller::User { name, .. } => Some(name),
            Caller::Anonymous
            | Caller::Local
            | Caller::Unbound { .. }
            | Caller::Worker(_)
            | Caller::AnyWorker { .. }
            | Caller::Joining { .. }
            | Caller::AnyAttempt
            | Caller::Attempt { .. } => None,
        }
    }

    /// Whether it may command what has this owner: operators all, others their own.
    pub fn commands(&self, owner: Option<&str>) -> bool {
        self.role() >= Some(Role::Operator) || (owner.is_some() && self.owner() == owner)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caller::Anonymous => f.write_str("system:anonymous"),
            Caller::Local => f.write_str("system:local"),
            Caller::User { name, .. } | Caller::Unbound { name } => f.write_str(name),
            Caller::Worker(uid) => write!(f, "system:worker:{uid}"),
            Caller::AnyWorker { name } => write!(f, "system:worker:{name}"),
            Caller::Joining { name } => write!(f, "system:joining:{name}"),
            Caller::AnyAttempt => f.write_str("system:attempt"),
            Caller::Attempt { driver, number } => write!(f, "system:attempt:{driver}/{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_and_read_back() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!("root".parse::<Role>(), Err(ParseRoleError));
    }

    #[test]
    fn an_owner_commands_its_own_and_an_operator_everything() {
        let user = |name: &str, role| Caller::User { name: name.to_owned(), role };
        let may = |caller: &Caller| [Some("ann"), Some("bob"), None].map(|owner| caller.commands(owner));
        assert_eq!(may(&user("ann", Role::Submitter)), [true, false, false]);
        assert_eq!(may(&user("bob", Role::Operator)), [true; 3]);
        assert_eq!(may(&Caller::Local), [true; 3]);
        assert_eq!(may(&Caller::Anonymous), [false; 3]);
        assert_eq!(may(&Caller::AnyWorker { name: "ann".to_owned() }), [false; 3]);
    }
}
