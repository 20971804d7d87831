//! `muster token` and `muster whoami`.

use std::time::Duration;

use muster_client::v1::create_token_request::Grant;
use muster_client::v1::{CreateTokenRequest, ListTokensResponse, Role, WorkerGrant};
use muster_client::{FreshToken, JoinToken, KeyDigest};
use muster_units::TimeSpan;

use super::put;
use super::spec::wire;
use crate::args::{CreateTokenArgs, Format, ShowArgs, TokenArgs, TokenSubcommand};
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{DisplayClock, Screen, TableRow as _, grant_word, instant, table, tell, to_json};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A month: whoever works with a cluster makes a new one now and then.
const OF_USER: Duration = Duration::from_secs(30 * DAY.as_secs());
/// Long enough to put it on a machine that joins.
const OF_WORKER: Duration = Duration::from_secs(3600);

/// Makes, lists or revokes tokens.
pub(super) async fn token(master: MasterClient, args: TokenArgs) -> Result<(), CommandFailure> {
    match args.command {
        TokenSubcommand::Create(args) => create(&master, args).await,
        TokenSubcommand::List { show } => list(&master, show).await,
        TokenSubcommand::Revoke { id } => {
            let revoked = master.ask(master.client().revoke_token(id_in(&id).to_owned())).await?;
            put(&format!("token {} of {} is revoked\n", revoked.token_id, revoked.holder))
        }
    }
}

async fn create(master: &MasterClient, args: CreateTokenArgs) -> Result<(), CommandFailure> {
    let fresh = FreshToken::random().map_err(|error| CommandFailure::System(std::io::Error::other(error)))?;
    let (grant, usual) = match args.role {
        Some(role) => (Grant::Role(Role::from(role).into()), OF_USER),
        None => (Grant::Worker(WorkerGrant {}), OF_WORKER),
    };
    let request = CreateTokenRequest {
        token_id: fresh.id.to_string(),
        holder: args.name,
        secret_digest: fresh.digest.expose(),
        grant: Some(grant),
        ttl: Some(wire(args.ttl.unwrap_or(TimeSpan(usual)))),
    };
    let made = master.ask(master.client().create_token(request)).await?;
    let expires = made.expire_time.as_ref().map(instant).unwrap_or_default();
    let (id, holder, word) = (&made.token_id, &made.holder, grant_word(&made));
    put(&format!("{}\n", printed(fresh.bearer.expose(), args.worker, master.ca_digest())))?;
    tell(&format!("token {id} of {holder} ({word}) is good until {expires}; it is shown this once"));
    Ok(())
}

/// What is handed on: a worker's token holds what the CA is known by, where there is one.
fn printed(bearer: &str, is_for_worker: bool, ca: Option<KeyDigest>) -> String {
    let pin = ca.filter(|_| is_for_worker);
    pin.and_then(|pin| JoinToken::pinned(bearer, pin).ok()).map_or_else(|| bearer.to_owned(), |token| token.expose())
}

/// The id in a whole token, which is an easy slip, or the text itself.
fn id_in(text: &str) -> &str {
    let whole = text.strip_prefix("mst_").or_else(|| text.strip_prefix("mstj_"));
    whole.and_then(|rest| rest.split('_').next()).unwrap_or(text)
}

async fn list(master: &MasterClient, show: ShowArgs) -> Result<(), CommandFailure> {
    let tokens = master.ask(master.client().tokens()).await?;
    match show.output {
        Format::Json => put(&to_json(&ListTokensResponse { tokens, ..Default::default() })?),
        Format::Name => put(&tokens.iter().map(|token| format!("{}\n", token.name())).collect::<String>()),
        Format::Table | Format::Wide if tokens.is_empty() => {
            tell("there are no tokens in the store; `muster token create` makes one");
            Ok(())
        }
        Format::Table | Format::Wide => {
            put(&table(&tokens, show.output == Format::Wide, DisplayClock::now(), Screen::stdout()))
        }
    }
}

/// Prints for whom the masters take this caller.
pub(super) async fn whoami(master: &MasterClient) -> Result<(), CommandFailure> {
    let caller = master.ask(master.client().get_caller()).await?;
    let role = match caller.role() {
        Role::Unspecified if caller.caller.starts_with("system:") => String::new(),
        Role::Unspecified => " (no role: an administrator binds one with `muster access bind`)".to_owned(),
        role => format!(" ({})", crate::output::role_word(role)),
    };
    put(&format!("{}{role}\n", caller.caller))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workers_token_holds_the_pin_and_a_users_does_not() {
        let (bearer, pin) = ("mst_0123456789ab_5ec2e7", KeyDigest([0xa7; 32]));
        assert_eq!(printed(bearer, true, Some(pin)), format!("mstj_0123456789ab_5ec2e7_{}", "a7".repeat(32)));
        assert_eq!(printed(bearer, false, Some(pin)), bearer);
        assert_eq!(printed(bearer, true, None), bearer);
    }

    #[test]
    fn a_token_is_revoked_by_its_id_or_as_a_whole() {
        for text in ["0123456789ab", "mst_0123456789ab_5ec2e7", "mstj_0123456789ab_5ec2e7_a7"] {
            assert_eq!(id_in(text), "0123456789ab");
        }
    }
}
