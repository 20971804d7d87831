//! Which role a user has that is known by more than a token of the cluster's own.

use std::collections::BTreeMap;
use std::fmt;

use crate::caller::Role;

/// Who is bound to a role: a user, or everybody in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// A user, with the prefix that tells who vouches for the name, as in `jwt:ann`.
    User(String),
    /// A group, with its prefix.
    Group(String),
}

impl Principal {
    /// What the names begin with that a certificate vouches for.
    pub const OF_CERTIFICATE: &str = "cert:";
    /// What the names begin with that a JWT vouches for.
    pub const OF_JWT: &str = "jwt:";
    /// All of them. No source can so name a user of another, nor of the cluster's own.
    pub const PREFIXES: [&str; 2] = [Principal::OF_CERTIFICATE, Principal::OF_JWT];

    /// The most bytes of a name.
    pub const MAX_NAME: usize = 256;

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Principal::User(name) | Principal::Group(name) => name,
        }
    }

    /// Checks the name, which lists and events show. The error says what would be right.
    pub fn check(&self) -> Result<(), String> {
        let name = self.name();
        if name.is_empty() || name.len() > Principal::MAX_NAME || name.chars().any(char::is_control) {
            return Err(format!("a name has 1 to {} bytes, without control characters", Principal::MAX_NAME));
        }
        if !Principal::PREFIXES.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty())) {
            return Err("a name begins with `cert:` or `jwt:`, by who vouches for it, and goes on".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::User(name) => write!(f, "user {name}"),
            Principal::Group(name) => write!(f, "group {name}"),
        }
    }
}

/// The roles of users and groups. Tokens of the cluster's own are not looked up here: each has the
/// role that it was made with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleBindings(pub BTreeMap<Principal, Role>);

impl RoleBindings {
    /// The highest role of a user and of the groups that it is in; `None`: it may do nothing.
    pub fn role_of(&self, user: &str, groups: &[String]) -> Option<Role> {
        let user = self.0.get(&Principal::User(user.to_owned()));
        let groups = groups.iter().filter_map(|group| self.0.get(&Principal::Group(group.clone())));
        groups.chain(user).max().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_role_of_a_user_and_its_groups_counts() {
        let bindings = RoleBindings(BTreeMap::from([
            (Principal::User("ann".to_owned()), Role::Submitter),
            (Principal::Group("ann".to_owned()), Role::Admin),
            (Principal::Group("ops".to_owned()), Role::Operator),
            (Principal::Group("all".to_owned()), Role::Viewer),
        ]));
        let role = |user: &str, groups: &[&str]| {
            bindings.role_of(user, &groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(role("ann", &[]), Some(Role::Submitter), "a group of the same name is not the user");
        assert_eq!(role("ann", &["all"]), Some(Role::Submitter));
        assert_eq!(role("ann", &["ops", "all"]), Some(Role::Operator));
        assert_eq!(role("bob", &["all"]), Some(Role::Viewer));
        assert_eq!((role("bob", &[]), role("ops", &["none"])), (None, None));
    }

    #[test]
    fn the_name_of_a_principal_can_be_shown_and_is_not_the_clusters_own() {
        let check = |name: &str| Principal::Group(name.to_owned()).check();
        assert_eq!(check("jwt:Domain Admins"), Ok(()));
        for name in ["", "jwt:", "ann", "JWT:ann", "jwt:a\nb", "system:master", &format!("cert:{}", "a".repeat(252))] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
