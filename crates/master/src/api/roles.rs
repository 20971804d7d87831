//! The calls about roles of users and groups.

use muster_core::{Answer, Request};
use muster_proto::errors::Failure;
use muster_proto::{render, v1, validate};
use muster_types::{Caller, Principal, Role};

use super::submit::unexpected;
use crate::leader::LeaderContext;

/// Binds a role.
pub(crate) async fn bind(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::BindRoleRequest,
) -> Result<v1::BindRoleResponse, Failure> {
    let (principal, role) = validate::bind_role(wire)?;
    set(leading, caller, principal, Some(role)).await?;
    Ok(v1::BindRoleResponse {})
}

/// Takes a role away.
pub(crate) async fn unbind(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::UnbindRoleRequest,
) -> Result<v1::UnbindRoleResponse, Failure> {
    set(leading, caller, validate::unbind_role(wire)?, None).await?;
    Ok(v1::UnbindRoleResponse {})
}

/// Shows all of them.
pub(crate) fn list(leading: &LeaderContext) -> Result<v1::ListRoleBindingsResponse, Failure> {
    let roles = leading.view.access().roles();
    let bindings = roles.0.iter().map(|(principal, role)| render::role_binding(principal, Some(*role)));
    leading.answered(v1::ListRoleBindingsResponse { bindings: bindings.collect() })
}

async fn set(
    leading: &LeaderContext,
    caller: &Caller,
    principal: Principal,
    role: Option<Role>,
) -> Result<(), Failure> {
    match leading.submit(Request::BindRole { principal, role, by: caller.to_string() }).await?.answer {
        Answer::RoleBound => Ok(()),
        other => Err(unexpected(&other)),
    }
}
