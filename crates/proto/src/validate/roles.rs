//! Requests about roles of users and groups.

use muster_types::{Principal, Role};

use crate::{FieldViolations, Path, v1};

/// Checks a role that is to be bound.
pub fn bind_role(wire: v1::BindRoleRequest) -> Result<(Principal, Role), FieldViolations> {
    use v1::role_binding::Principal as Wire;
    let Some(binding) = wire.binding else { return Err(FieldViolations::of("binding", "is required")) };
    let mut violations = FieldViolations::new();
    let path = Path::root("binding");
    let role = v1::Role::try_from(binding.role).ok().and_then(|role| Role::try_from(role).ok());
    if role.is_none() {
        violations.add(&path.field("role"), "is no role");
    }
    let principal = match binding.principal {
        Some(Wire::User(name)) => checked(Principal::User(name), &path.field("user"), &mut violations),
        Some(Wire::Group(name)) => checked(Principal::Group(name), &path.field("group"), &mut violations),
        None => {
            violations.add(&path.field("user"), "is required: this, or group");
            None
        }
    };
    violations.unless_any(())?;
    principal.zip(role).ok_or_else(|| FieldViolations::of("binding", "is required"))
}

/// Checks whose role is to be taken away.
pub fn unbind_role(wire: v1::UnbindRoleRequest) -> Result<Principal, FieldViolations> {
    use v1::unbind_role_request::Principal as Wire;
    let mut violations = FieldViolations::new();
    let principal = match wire.principal {
        Some(Wire::User(name)) => checked(Principal::User(name), &Path::root("user"), &mut violations),
        Some(Wire::Group(name)) => checked(Principal::Group(name), &Path::root("group"), &mut violations),
        None => return Err(FieldViolations::of("user", "is required: this, or group")),
    };
    violations.unless_any(())?;
    principal.ok_or_else(|| FieldViolations::of("user", "is required: this, or group"))
}

fn checked(principal: Principal, path: &Path<'_>, violations: &mut FieldViolations) -> Option<Principal> {
    match principal.check() {
        Ok(()) => Some(principal),
        Err(message) => {
            violations.add(path, message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_of_a_user_or_of_a_group() {
        use v1::role_binding::Principal as Wire;
        let bind =
            |principal, role| bind_role(v1::BindRoleRequest { binding: Some(v1::RoleBinding { principal, role }) });
        let ops = || Some(Wire::Group("jwt:ops".to_owned()));
        let operator = v1::Role::Operator.into();
        assert_eq!(bind(ops(), operator), Ok((Principal::Group("jwt:ops".to_owned()), Role::Operator)));
        for (field, wrong) in [
            ("binding.role", bind(ops(), 0)),
            ("binding.role", bind(ops(), 99)),
            ("binding.user", bind(None, operator)),
            ("binding.user", bind(Some(Wire::User("system:local".to_owned())), operator)),
            ("binding.group", bind(Some(Wire::Group(String::new())), operator)),
            ("binding", bind_role(v1::BindRoleRequest::default())),
        ] {
            assert_eq!(wrong.unwrap_err().list()[0].field, field);
        }
        assert!(unbind_role(v1::UnbindRoleRequest::default()).is_err());
    }
}
