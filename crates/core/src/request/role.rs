//! Roles of users and groups.

use std::sync::Arc;

use muster_types::{Event, Principal, Role, RoleBindings, Subject, Write};

use crate::core::{Core, Ctx};
use crate::{Answer, CallId, Rejection};

/// The most users and groups with a role. All are in one record; people are put into groups, so a
/// cluster has some tens.
pub const MAX_ROLE_BINDINGS: usize = 1000;

impl Core {
    /// A repetition changes nothing, so it needs no request id.
    pub(crate) fn bind_role(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        principal: Principal,
        role: Option<Role>,
        by: &str,
    ) {
        let known = self.roles.0.get(&principal).copied();
        if known == role {
            return self.reply(call, Ok(Answer::RoleBound));
        }
        if known.is_none() && self.roles.0.len() >= MAX_ROLE_BINDINGS {
            let message = format!("{MAX_ROLE_BINDINGS} users and groups have one: bind it to a group of them");
            return self.reply(call, Err(Rejection::WrongState { subject: "roles".to_owned(), message }));
        }
        let mut roles = RoleBindings::clone(&self.roles);
        let message = match role {
            Some(role) => {
                roles.0.insert(principal.clone(), role);
                format!("bound to the role {role} by {by}")
            }
            None => {
                roles.0.remove(&principal);
                format!("bound to no role by {by}")
            }
        };
        self.roles = Arc::new(roles);
        self.out.event(Event { time: ctx.now.wall, message, subject: Subject::RoleBinding { principal, role } });
        self.out.write(Write::PutRoles(self.roles.clone()));
        self.out.touched.roles = true;
        self.reply(call, Ok(Answer::RoleBound));
    }
}
