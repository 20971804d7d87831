//! Roles of users and groups.

use muster_client::v1::RoleBinding;
use muster_client::v1::role_binding::Principal;

use super::role_word;
use super::table::{TableCell, TableRow};
use super::time::DisplayClock;

impl TableRow for RoleBinding {
    const HEADINGS: &'static [&'static str] = &["KIND", "NAME", "ROLE"];
    const WIDE_FROM: usize = 3;

    fn name(&self) -> String {
        let (kind, name) = principal_words(self);
        format!("{kind}/{name}")
    }

    fn cells(&self, _clock: DisplayClock) -> Vec<TableCell> {
        let (kind, name) = principal_words(self);
        vec![kind.into(), name.into(), role_word(self.role()).into()]
    }
}

/// Whose a role is: the kind, and the name.
pub(crate) fn principal_words(binding: &RoleBinding) -> (&'static str, &str) {
    match &binding.principal {
        Some(Principal::User(name)) => ("user", name),
        Some(Principal::Group(name)) => ("group", name),
        None => ("unknown", ""),
    }
}
