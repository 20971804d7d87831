//! The calls about tokens in the store.

use muster_core::{Answer, Request, TokenSpec};
use muster_proto::errors::Failure;
use muster_proto::{render, v1, validate};
use muster_types::{Caller, Role, TokenGrant};

use super::submit::unexpected;
use crate::leader::LeaderContext;

/// Makes a token.
pub(crate) async fn create(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::CreateTokenRequest,
) -> Result<v1::Token, Failure> {
    let validate::CreateToken { id, name, digest, grant, ttl } = validate::create_token(wire)?;
    check(caller, grant)?;
    let token = TokenSpec { id, name, digest, grant, ttl };
    to_request(leading, Request::CreateToken { token, by: caller.to_string() }).await
}

/// Revokes a token. What a token is for never changes, so it is judged on the view.
pub(crate) async fn revoke(
    leading: &LeaderContext,
    caller: &Caller,
    wire: &v1::RevokeTokenRequest,
) -> Result<v1::Token, Failure> {
    let token = validate::revoke_token(wire)?;
    let missing = || Failure::NotFound { kind: "token", name: token.to_string() };
    let known = leading.view.access().token(token).ok_or_else(missing)?;
    check(caller, known.grant)?;
    to_request(leading, Request::RevokeToken { token, by: caller.to_string() }).await
}

/// Shows a page of all tokens.
pub(crate) fn list(leading: &LeaderContext, wire: &v1::ListTokensRequest) -> Result<v1::ListTokensResponse, Failure> {
    let validate::ListTokens { size, after } = validate::list_tokens(wire)?;
    let mut page = leading.view.access().page(after, size + 1);
    let is_last = page.len() <= size;
    page.truncate(size);
    let next = page.last().filter(|_| !is_last).map(|last| validate::ListTokens::next_token(last.id));
    leading.answered(v1::ListTokensResponse {
        tokens: page.iter().map(|record| render::token(record)).collect(),
        next_page_token: next.unwrap_or_default(),
    })
}

/// Whether a caller may make and revoke tokens for this. Whoever does so for users could make
/// itself an admin.
fn check(caller: &Caller, grant: TokenGrant) -> Result<(), Failure> {
    let is_allowed = match grant {
        TokenGrant::User(_) => caller.role() >= Some(Role::Admin),
        TokenGrant::Worker => caller.role() >= Some(Role::Operator),
    };
    let needed = "the role admin".to_owned();
    if is_allowed { Ok(()) } else { Err(Failure::RoleRequired { caller: caller.to_string(), needed }) }
}

async fn to_request(leading: &LeaderContext, request: Request) -> Result<v1::Token, Failure> {
    match leading.submit(request).await?.answer {
        Answer::Token(record) => Ok(render::token(&record)),
        other => Err(unexpected(&other)),
    }
}
