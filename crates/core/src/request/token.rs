//! Tokens of users and workers: made, revoked, and removed some time after their end.

use std::sync::Arc;
use std::time::Duration;

use muster_types::{Event, Subject, TokenId, TokenRecord, WallTime, Write};

use crate::core::{Core, Ctx};
use crate::timers::Timer;
use crate::{Answer, CallId, Rejection, TokenSpec};

/// The most tokens that are kept, ended ones included: enough for every machine of a large cluster
/// to join with one of its own, and a few megabytes.
pub const MAX_TOKENS: usize = 10_000;

/// The most tokens that a user has made for itself, and that have not ended: one for each of its
/// programs.
const MAX_OWN_TOKENS: usize = 20;

/// The most that all users have made for themselves, so that admins and workers always have room.
const MAX_OWN_TOKENS_OF_ALL: usize = MAX_TOKENS / 2;

/// Most tokens removed by one tick; the next tick removes more.
const PER_TICK: usize = 1024;
/// How long after a tick the next one may be.
const NEXT_TICK: Duration = Duration::from_millis(1);

impl Core {
    /// Whoever asks has made the id and the secret, so a repetition is known by its fields, and
    /// needs no request id.
    pub(crate) fn create_token(&mut self, ctx: &mut Ctx<'_>, call: CallId, new: TokenSpec, by: String) {
        if let Some(known) = self.tokens.get(new.id).cloned() {
            let answer = if new.made(&known) {
                Ok(Answer::Token(known))
            } else {
                Err(Rejection::AlreadyExists { kind: "token", name: new.id.to_string() })
            };
            return self.reply(call, answer);
        }
        let now = ctx.now.wall;
        if self.tokens.len() >= MAX_TOKENS && !self.remove_ended_token(now, Duration::ZERO) {
            let message = format!("{MAX_TOKENS} of them are kept, and none has ended: revoke some");
            return self.reply(call, Err(Rejection::WrongState { subject: "tokens".to_owned(), message }));
        }
        if new.parent.is_some()
            && let Some(message) = self.too_many_own_tokens(&new.name, now)
        {
            return self.reply(call, Err(Rejection::WrongState { subject: "tokens".to_owned(), message }));
        }
        let expires = new.expires(now);
        let TokenSpec { id, name, digest, grant, ttl: _, parent } = new;
        let parent = parent.map(|parent| parent.id);
        let message = format!("made by {by}, for {}", grant.as_str());
        let record =
            TokenRecord { id, name, digest, grant, created: now, expires, created_by: by, revoked: None, parent };
        self.put_token(ctx, call, record, message);
    }

    /// Why a user may make no further token for itself.
    fn too_many_own_tokens(&self, name: &str, now: WallTime) -> Option<String> {
        let made = || self.tokens.iter().filter(|token| token.parent.is_some());
        let stands = |token: &&Arc<TokenRecord>| token.ends().is_none_or(|end| end > now);
        if made().filter(stands).filter(|token| token.name == name).count() >= MAX_OWN_TOKENS {
            return Some(format!("{name} has made {MAX_OWN_TOKENS} for itself, and none has ended: revoke some"));
        }
        (made().count() >= MAX_OWN_TOKENS_OF_ALL)
            .then(|| format!("{MAX_OWN_TOKENS_OF_ALL} are kept that users have made for themselves"))
    }

    /// A second revocation changes nothing, as long as the token is kept.
    pub(crate) fn revoke_token(&mut self, ctx: &mut Ctx<'_>, call: CallId, id: TokenId, by: &str) {
        let Some(known) = self.tokens.get(id).cloned() else {
            return self.reply(call, Err(Rejection::NotFound { kind: "token", name: id.to_string() }));
        };
        if known.revoked.is_some() {
            return self.reply(call, Ok(Answer::Token(known)));
        }
        let record = TokenRecord { revoked: Some(ctx.now.wall), ..TokenRecord::clone(&known) };
        self.put_token(ctx, call, record, format!("revoked by {by}"));
    }

    fn put_token(&mut self, ctx: &Ctx<'_>, call: CallId, record: TokenRecord, message: String) {
        let record = Arc::new(record);
        let subject = Subject::Token { id: record.id, name: record.name.clone(), revoked: record.revoked.is_some() };
        self.out.event(Event { time: ctx.now.wall, message, subject });
        self.out.write(Write::PutToken(record.clone()));
        self.out.touched.tokens.insert(record.id);
        self.tokens.put(record.clone());
        self.arm_tokens(ctx);
        self.reply(call, Ok(Answer::Token(record)));
    }

    pub(crate) fn arm_tokens(&mut self, ctx: &Ctx<'_>) {
        let Some((end, _)) = self.tokens.first_end() else { return };
        if self.tokens.armed.is_some_and(|armed| armed <= end) {
            return;
        }
        let due = end + self.config.kept;
        // The wait is bounded in case the clock is set meanwhile. What one tick leaves is for a
        // tick of its own, after what waits meanwhile.
        let wait = Duration::from_millis(due.0.saturating_sub(ctx.now.wall.0)).min(self.config.kept);
        self.tokens.armed = Some(end);
        self.timers.arm(ctx.now.time + wait.max(NEXT_TICK), Timer::Tokens);
    }

    /// Removes the tokens that ended as long ago as finished records are kept.
    pub(crate) fn retire_tokens(&mut self, ctx: &Ctx<'_>) {
        for _ in 0..PER_TICK {
            if !self.remove_ended_token(ctx.now.wall, self.config.kept) {
                break;
            }
            self.boundary();
        }
        self.tokens.armed = None;
        self.arm_tokens(ctx);
    }

    /// Removes the token that ended first, if that is so long ago; returns whether it was.
    fn remove_ended_token(&mut self, now: WallTime, ago: Duration) -> bool {
        let Some((_, id)) = self.tokens.first_end().filter(|(end, _)| *end + ago <= now) else { return false };
        self.tokens.remove(id);
        self.delete(Write::DeleteToken(id));
        self.out.touched.tokens.insert(id);
        true
    }
}

impl TokenSpec {
    /// Whether a record is what this request made.
    fn made(&self, record: &TokenRecord) -> bool {
        let parent = self.parent.map(|parent| parent.id);
        (self.id, &self.name, self.digest, self.grant, self.expires(record.created), parent)
            == (record.id, &record.name, record.digest, record.grant, record.expires, record.parent)
    }

    /// When it expires if it is made now: not after its parent.
    fn expires(&self, now: WallTime) -> Option<WallTime> {
        let parents = self.parent.and_then(|parent| parent.expires);
        self.ttl.map(|ttl| now + ttl).into_iter().chain(parents).min()
    }
}

#[cfg(test)]
mod tests {
    use muster_types::{Role, TokenDigest, TokenGrant};

    use super::*;
    use crate::{Config, Follower, ViewUpdate};

    #[test]
    fn a_standby_shows_the_tokens_of_the_store() {
        let record = Arc::new(TokenRecord {
            id: TokenId::from_bytes([1; 6]),
            name: "ann".to_owned(),
            digest: TokenDigest::new([7; 32]),
            grant: TokenGrant::User(Role::Operator),
            created: WallTime(1),
            expires: Some(WallTime(2)),
            created_by: "bob".to_owned(),
            revoked: None,
            parent: None,
        });
        let mut follower = Follower::new(Config::default());
        follower.follow(Write::PutToken(record.clone()));
        let shown: Vec<ViewUpdate> = follower.view_updates().collect();
        assert!(matches!(&shown[..], [ViewUpdate::Token(shown)] if *shown == record), "{shown:?}");
        follower.follow(Write::DeleteToken(record.id));
        let shown: Vec<ViewUpdate> = follower.view_updates().collect();
        assert!(matches!(&shown[..], [ViewUpdate::TokenGone(id)] if *id == record.id), "{shown:?}");
    }
}
