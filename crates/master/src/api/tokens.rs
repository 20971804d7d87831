//! The calls about tokens in the store.

use muster_core::{Answer, ParentToken, Request, TokenSpec};
use muster_proto::errors::Failure;
use muster_proto::{render, v1, validate};
use muster_types::{Caller, Role, TokenGrant};

use super::submit::unexpected;
use crate::access::ShownToken;
use crate::leader::LeaderContext;

/// Makes a token: of the kind that the caller's role allows, or one of the caller's own.
pub(crate) async fn create(
    leading: &LeaderContext,
    caller: &Caller,
    shown: Option<ShownToken>,
    wire: v1::CreateTokenRequest,
) -> Result<v1::Token, Failure> {
    let validate::CreateToken { id, name, digest, grant, ttl } = validate::create_token(wire)?;
    let parent = match check(caller, grant) {
        Ok(()) => None,
        Err(refusal) => Some(own(leading, caller, shown, &name, grant).ok_or(refusal)?),
    };
    let token = TokenSpec { id, name, digest, grant, ttl, parent };
    to_request(leading, Request::CreateToken { token, by: caller.to_string() }).await
}

/// Revokes a token. What a token is for never changes, so it is judged on the view.
pub(crate) async fn revoke(
    leading: &LeaderContext,
    caller: &Caller,
    shown: Option<ShownToken>,
    wire: &v1::RevokeTokenRequest,
) -> Result<v1::Token, Failure> {
    let token = validate::revoke_token(wire)?;
    let missing = || Failure::NotFound { kind: "token", name: token.to_string() };
    let known = leading.view.access().token(token).ok_or_else(missing)?;
    let is_own = shown.is_some_and(|shown| shown.id == token || known.parent == Some(shown.id));
    if !is_own {
        check(caller, known.grant)?;
    }
    to_request(leading, Request::RevokeToken { token, by: caller.to_string() }).await
}

/// Shows a page of all tokens that are the caller's to see.
pub(crate) fn list(
    leading: &LeaderContext,
    caller: &Caller,
    wire: &v1::ListTokensRequest,
) -> Result<v1::ListTokensResponse, Failure> {
    let validate::ListTokens { size, after } = validate::list_tokens(wire)?;
    let only = caller.owner().filter(|_| caller.role() < Some(Role::Operator));
    let mut page = leading.view.access().page(after, size + 1, only);
    let is_last = page.len() <= size;
    page.truncate(size);
    let next = page.last().filter(|_| !is_last).map(|last| validate::ListTokens::next_token(last.id));
    leading.answered(v1::ListTokensResponse {
        tokens: page.iter().map(|record| render::token(record)).collect(),
        next_page_token: next.unwrap_or_default(),
    })
}

/// Whether a caller may make and revoke any tokens for this. Whoever does so for users could make
/// itself an admin.
fn check(caller: &Caller, grant: TokenGrant) -> Result<(), Failure> {
    let (is_allowed, needed) = match grant {
        TokenGrant::User(_) => (
            caller.role() >= Some(Role::Admin),
            "the role admin, and each user for its own name with a token that an admin made,",
        ),
        TokenGrant::Worker => (caller.role() >= Some(Role::Operator), "the role operator and above"),
    };
    let needed = needed.to_owned();
    if is_allowed { Ok(()) } else { Err(Failure::RoleRequired { caller: caller.to_string(), needed }) }
}

/// The token with which a user makes another one of its own: under its own name, since what is
/// submitted with it is the user's, and in no higher role. One that was made so makes no further
/// ones, so that all of them are found by the one in the user's hands.
fn own(
    leading: &LeaderContext,
    caller: &Caller,
    shown: Option<ShownToken>,
    name: &str,
    grant: TokenGrant,
) -> Option<ParentToken> {
    let (TokenGrant::User(role), Some(shown)) = (grant, shown) else { return None };
    let is_first = leading.view.access().token(shown.id).is_none_or(|known| known.parent.is_none());
    let is_allowed = is_first && caller.owner() == Some(name) && Some(role) <= caller.role();
    is_allowed.then_some(ParentToken { id: shown.id, expires: shown.expires })
}

async fn to_request(leading: &LeaderContext, request: Request) -> Result<v1::Token, Failure> {
    match leading.submit(request).await?.answer {
        Answer::Token(record) => Ok(render::token(&record)),
        other => Err(unexpected(&other)),
    }
}
