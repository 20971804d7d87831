//! Tokens.

use muster_client::v1::token::Grant;
use muster_client::v1::{Role, Token};

use super::table::{TableCell, TableRow};
use super::time::{DisplayClock, instant};

impl TableRow for Token {
    const HEADINGS: &'static [&'static str] = &["ID", "NAME", "FOR", "AGE", "ENDS", "MADE BY"];
    const WIDE_FROM: usize = 6;

    fn name(&self) -> String {
        self.token_id.clone()
    }

    fn cells(&self, clock: DisplayClock) -> Vec<TableCell> {
        let ends = match (&self.revoke_time, &self.expire_time) {
            (Some(_), _) => "revoked".to_owned(),
            (None, Some(time)) if clock.until(time) == "now" => "expired".to_owned(),
            (None, Some(time)) => instant(time),
            (None, None) => "never".to_owned(),
        };
        vec![
            self.token_id.clone().into(),
            self.holder.clone().into(),
            grant_word(self).into(),
            clock.age(self.create_time.as_ref()).into(),
            ends.into(),
            self.created_by.clone().into(),
        ]
    }
}

/// What a token is for, in a word.
pub(crate) fn grant_word(token: &Token) -> &'static str {
    match &token.grant {
        Some(Grant::Role(role)) => Role::try_from(*role).map_or("unknown", role_word),
        Some(Grant::Worker(_)) => "worker",
        None => "unknown",
    }
}

/// The word of a role.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unknown",
        Role::Viewer => "viewer",
        Role::Submitter => "submitter",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}
