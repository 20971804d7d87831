//! Roles of users and groups.

use muster_types::{Principal, Role, RoleBindings};

use super::enums::StoredEnum as _;
use super::proto::role_binding::Principal as StoredPrincipal;
use super::{DecodeError, Stored, proto, required};

impl Stored for RoleBindings {
    type Message = proto::RoleBindingsRecord;

    fn to_message(&self) -> proto::RoleBindingsRecord {
        let bindings = self.0.iter().map(|(principal, role)| proto::RoleBinding {
            principal: Some(to_stored(principal)),
            role: role.to_number(),
        });
        proto::RoleBindingsRecord { bindings: bindings.collect() }
    }

    fn from_message(message: proto::RoleBindingsRecord) -> Result<RoleBindings, DecodeError> {
        let read = |binding: proto::RoleBinding| {
            let principal = from_stored(required(binding.principal, "principal")?);
            Ok((principal, Role::from_number(binding.role, "role")?))
        };
        message.bindings.into_iter().map(read).collect::<Result<_, _>>().map(RoleBindings)
    }
}

pub(super) fn to_stored(principal: &Principal) -> StoredPrincipal {
    match principal {
        Principal::User(name) => StoredPrincipal::User(name.clone()),
        Principal::Group(name) => StoredPrincipal::Group(name.clone()),
    }
}

pub(super) fn from_stored(principal: StoredPrincipal) -> Principal {
    match principal {
        StoredPrincipal::User(name) => Principal::User(name),
        StoredPrincipal::Group(name) => Principal::Group(name),
    }
}
