//! `muster access`.

use muster_client::v1::{ListRoleBindingsResponse, Role, RoleBinding, role_binding, unbind_role_request};

use super::put;
use crate::args::{AccessArgs, AccessSubcommand, Format, PrincipalArgs, ShowArgs};
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{DisplayClock, Screen, TableRow as _, role_word, table, tell, to_json};

/// Binds and lists roles.
pub(super) async fn access(master: MasterClient, args: AccessArgs) -> Result<(), CommandFailure> {
    match args.command {
        AccessSubcommand::Bind { principal, role } => {
            let role = Role::from(role);
            let whose = shown(&principal);
            let principal = match principal {
                PrincipalArgs { user: Some(user), .. } => role_binding::Principal::User(user),
                PrincipalArgs { group, .. } => role_binding::Principal::Group(group.unwrap_or_default()),
            };
            let binding = RoleBinding { principal: Some(principal), role: role.into() };
            master.ask(master.client().bind_role(binding)).await?;
            put(&format!("{whose} has the role {}\n", role_word(role)))
        }
        AccessSubcommand::Unbind { principal } => {
            let whose = shown(&principal);
            let principal = match principal {
                PrincipalArgs { user: Some(user), .. } => unbind_role_request::Principal::User(user),
                PrincipalArgs { group, .. } => unbind_role_request::Principal::Group(group.unwrap_or_default()),
            };
            master.ask(master.client().unbind_role(principal)).await?;
            put(&format!("{whose} has no role of its own\n"))
        }
        AccessSubcommand::List { show } => list(&master, show).await,
    }
}

fn shown(principal: &PrincipalArgs) -> String {
    match principal {
        PrincipalArgs { user: Some(user), .. } => format!("user {user}"),
        PrincipalArgs { group, .. } => format!("group {}", group.as_deref().unwrap_or_default()),
    }
}

async fn list(master: &MasterClient, show: ShowArgs) -> Result<(), CommandFailure> {
    let bindings = master.ask(master.client().role_bindings()).await?;
    match show.output {
        Format::Json => put(&to_json(&ListRoleBindingsResponse { bindings })?),
        Format::Name => put(&bindings.iter().map(|binding| format!("{}\n", binding.name())).collect::<String>()),
        Format::Table | Format::Wide if bindings.is_empty() => {
            tell("no user and no group has a role in the store; `muster access bind` gives one");
            Ok(())
        }
        Format::Table | Format::Wide => {
            put(&table(&bindings, show.output == Format::Wide, DisplayClock::now(), Screen::stdout()))
        }
    }
}
