//! Roles of users and groups.

use muster_types::{Principal, Role};

use crate::v1;

/// A role of a user or a group; `None`: it has none any more.
pub fn role_binding(principal: &Principal, role: Option<Role>) -> v1::RoleBinding {
    use v1::role_binding::Principal as Wire;
    let principal = match principal {
        Principal::User(name) => Wire::User(name.clone()),
        Principal::Group(name) => Wire::Group(name.clone()),
    };
    v1::RoleBinding { principal: Some(principal), role: role.map_or(v1::Role::Unspecified, v1::Role::from).into() }
}
