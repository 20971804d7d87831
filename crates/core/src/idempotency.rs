//! Request ids. While an id is remembered, the same id means the same request. An id that is older
//! than the remembered ones is refused and never executed again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_types::{ApplicationRecord, ApplicationUid, DriverRecord, DriverUid, RequestId, WallTime, WorkerUid};

/// The effect of a request, and its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestEffect {
    /// Submitted this driver.
    Driver(DriverUid),
    /// Asked for the end of this driver.
    KillDriver(DriverUid),
    /// Registered this application.
    Application(ApplicationUid),
    /// Changed this application. The kind is `None` when loaded from the record, which does not
    /// keep it.
    OnApplication(ApplicationUid, Option<RequestKind>),
    /// Changed this worker; the kind as above.
    OnWorker(WorkerUid, Option<RequestKind>),
}

/// The kind of a request to an application or a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestKind {
    Targets,
    KillExecutors,
    Unregister,
    KillApplication,
    Drain,
    Undrain,
    Forget,
    Revoke,
    ForgetAttempt,
    EndQuarantined,
}

impl RequestEffect {
    /// Whether a second request with the same id asks for the same. An unknown kind matches every
    /// kind.
    pub(crate) fn is_same(self, other: RequestEffect) -> bool {
        match (self, other) {
            (RequestEffect::OnApplication(a, verb_a), RequestEffect::OnApplication(b, verb_b)) => {
                a == b && (verb_a == verb_b || verb_a.is_none() || verb_b.is_none())
            }
            (RequestEffect::OnWorker(a, verb_a), RequestEffect::OnWorker(b, verb_b)) => {
                a == b && (verb_a == verb_b || verb_a.is_none() || verb_b.is_none())
            }
            (a, b) => a == b,
        }
    }
}

/// The result of looking up a request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It is new.
    New,
    /// It was seen, and had this effect.
    Before(RequestEffect),
    /// It is older than the remembered ids, so whether it was seen is unknown.
    Expired,
}

/// The remembered ids, bounded in number and age.
#[derive(Debug)]
pub(crate) struct IdempotencyIndex {
    ids: BTreeMap<RequestId, (WallTime, RequestEffect)>,
    order: BTreeSet<(WallTime, RequestId)>,
    /// Ids made at or before this time may have been forgotten.
    forgotten: Option<WallTime>,
    most: usize,
    kept: Duration,
}

impl IdempotencyIndex {
    pub(crate) fn new(most: usize, kept: Duration) -> IdempotencyIndex {
        IdempotencyIndex { ids: BTreeMap::new(), order: BTreeSet::new(), forgotten: None, most, kept }
    }

    pub(crate) fn see(&self, id: &RequestId) -> Lookup {
        match (self.ids.get(id), self.forgotten, time_of(id)) {
            (Some((_, made)), _, _) => Lookup::Before(*made),
            (None, Some(forgotten), Some(time)) if time <= forgotten => Lookup::Expired,
            (None, _, _) => Lookup::New,
        }
    }

    /// Remembers the effect of a new id. Drops the oldest ids beyond the bounds.
    pub(crate) fn remember(&mut self, now: WallTime, id: RequestId, made: RequestEffect) {
        self.load(now, id, made);
        self.expire(now);
    }

    /// Remembers the effect and time of an id from a record. Ids may be loaded in any order. Only
    /// their number is bounded here: their age is judged by the present clock, because the clock of
    /// an earlier leader may have been wrong.
    pub(crate) fn load(&mut self, time: WallTime, id: RequestId, made: RequestEffect) {
        match self.ids.get_mut(&id) {
            Some((_, known)) => *known = made,
            None => {
                self.ids.insert(id.clone(), (time, made));
                self.order.insert((time, id));
            }
        }
        while self.order.len() > self.most {
            self.drop_oldest();
        }
    }

    /// Drops the ids that are too old.
    pub(crate) fn expire(&mut self, now: WallTime) {
        let oldest_kept = now - self.kept;
        while self.order.first().is_some_and(|(time, _)| *time < oldest_kept) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((time, id)) = self.order.pop_first() {
            self.ids.remove(&id);
            self.forget_until(made_by(&id, time).unwrap_or(time));
        }
    }

    /// Remembers the ids in a driver's record.
    pub(crate) fn load_driver(&mut self, record: &DriverRecord) {
        if let Some(id) = &record.request {
            self.load(record.created, id.clone(), RequestEffect::Driver(record.uid));
        }
        if let Some(kill) = &record.kill {
            for id in &kill.requests {
                self.load(kill.asked, id.clone(), RequestEffect::KillDriver(record.uid));
            }
        }
    }

    /// Remembers the ids in an application's record.
    pub(crate) fn load_application(&mut self, record: &ApplicationRecord) {
        if let Some(id) = &record.request {
            self.load(record.created, id.clone(), RequestEffect::Application(record.uid));
        }
        for id in &record.requests {
            self.load(record.updated, id.clone(), RequestEffect::OnApplication(record.uid, None));
        }
    }

    /// Removes every trace of an id, because another leader changed or removed the record that
    /// carried it.
    pub(crate) fn remove(&mut self, id: &RequestId) {
        if let Some((time, _)) = self.ids.remove(id) {
            self.order.remove(&(time, id.clone()));
        }
    }

    /// Called when the record that carried an id is removed, so that the next load will not find
    /// the id. The entry is dropped at once if the id would be refused as too old without it.
    pub(crate) fn drop_id(&mut self, id: &RequestId) {
        // An id that is not here was dropped before, and `forgotten` was raised then.
        let Some((taken, _)) = self.ids.get(id) else { return };
        let Some(time) = made_by(id, *taken) else { return };
        self.forget_until(time);
        if self.forgotten >= time_of(id) {
            self.remove(id);
        }
    }

    /// Ids made at or before this time may have been forgotten.
    pub(crate) fn forget_until(&mut self, time: WallTime) {
        self.forgotten = self.forgotten.max(Some(time));
    }
}

/// The latest time at which an id can have been made: not after it was received, whatever it says.
/// Otherwise, forgetting one id from a client whose clock is ahead would cause the ids of all
/// clients to be refused.
fn made_by(id: &RequestId, taken: WallTime) -> Option<WallTime> {
    time_of(id).map(|time| time.min(taken))
}

/// No request is older: Muster is not. Random digits rarely name a time from then until now.
const EARLIEST: WallTime = WallTime(1_700_000_000_000);

/// When an id was made, if it is a UUID of version 7 (RFC 9562), with hyphens or without: its first
/// 48 bits are milliseconds since the Unix epoch. Version, variant and a time since [`EARLIEST`]
/// keep an id of random digits, which some clients make, from being taken for one of long ago.
fn time_of(id: &RequestId) -> Option<WallTime> {
    let text = id.as_str();
    let has_hyphens = text.len() == 36 && [8, 13, 18, 23].iter().all(|place| text.as_bytes()[*place] == b'-');
    let hex = if has_hyphens { text.replace('-', "") } else { text.to_owned() };
    let is_uuid = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_seven = is_uuid && hex.as_bytes()[12] == b'7' && b"89abAB".contains(&hex.as_bytes()[16]);
    let time = is_seven.then(|| u64::from_str_radix(&hex[..12], 16).ok()).flatten().map(WallTime);
    time.filter(|time| *time >= EARLIEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> WallTime {
        WallTime(EARLIEST.0 + millis)
    }

    fn uuid(millis: u64) -> RequestId {
        let hex = format!("{:012x}", at(millis).0);
        RequestId::new(format!("{}-{}-7abc-8def-0123456789ab", &hex[..8], &hex[8..]))
    }

    #[test]
    fn random_digits_are_no_time() {
        let time = |id: &str| time_of(&RequestId::new(id));
        let made = uuid(0);
        assert_eq!(time(made.as_str()), Some(EARLIEST));
        assert_eq!(time(&made.as_str().replace('-', "")), Some(EARLIEST));
        let head = &made.as_str()[..14];
        for random in [
            // Of 1970.
            "00000000-1234-7abc-8def-0123456789ab".to_owned(),
            format!("{head}4abc-8def-0123456789ab"),
            format!("{head}7abc-0def-0123456789ab"),
            format!("{head}7abc-8def-0123456789a"),
            format!("{head}7abc_8def_0123456789ab"),
            format!("{head}7abc-8def-0123456789ag"),
            format!("{head}7abc-8def-0123456789é"),
        ] {
            assert_eq!(time(&random), None, "{random}");
        }
    }

    const D: RequestEffect = RequestEffect::Driver(DriverUid(1));

    #[test]
    fn an_id_is_remembered_within_both_bounds() {
        let mut index = IdempotencyIndex::new(2, Duration::from_secs(1));
        index.remember(at(10_000), uuid(10_000), D);
        index.remember(at(10_001), uuid(10_001), D);
        assert_eq!(index.see(&uuid(10_000)), Lookup::Before(D));
        index.remember(at(10_002), uuid(10_002), D);
        assert_eq!(index.see(&uuid(10_000)), Lookup::Expired, "beyond the number");
        index.remember(at(11_500), uuid(11_500), D);
        assert_eq!(index.see(&uuid(10_002)), Lookup::Expired, "beyond the age");
        assert_eq!(index.see(&uuid(11_500)), Lookup::Before(D));
        assert_eq!(index.see(&uuid(11_501)), Lookup::New);
    }

    #[test]
    fn the_order_in_which_ids_are_loaded_does_not_matter() {
        let times = [10_000, 11_700, 9_000, 11_000, 10_500];
        let mut index = IdempotencyIndex::new(3, Duration::from_secs(1));
        for time in times {
            index.load(at(time), uuid(time), D);
        }
        index.load(at(11_000), uuid(11_000), RequestEffect::KillDriver(DriverUid(1)));
        index.expire(at(11_800));
        let expired = times.map(|time| index.see(&uuid(time)) == Lookup::Expired);
        assert_eq!(expired, [true, false, true, false, true]);
        index.remove(&uuid(11_700));
        assert_eq!(index.see(&uuid(11_700)), Lookup::New);
        assert_eq!(index.order.len(), index.ids.len());
    }

    #[test]
    fn an_id_from_the_future_costs_no_other_its_place() {
        let mut index = IdempotencyIndex::new(9, Duration::from_secs(1));
        index.load(at(9_000_000), uuid(9_000_000), D);
        index.remember(at(10_000), uuid(10_000), D);
        index.remember(at(10_001), uuid(10_001), D);
        assert_eq!([10_000, 10_001, 9_000_000].map(|time| index.see(&uuid(time))), [Lookup::Before(D); 3]);
    }

    #[test]
    fn an_id_whose_maker_was_ahead_of_time_takes_no_other_along() {
        let made = |index: &mut IdempotencyIndex| {
            index.remember(at(10_000), uuid(9_000_000), D);
            index.remember(at(10_002), uuid(10_002), D);
        };
        let mut retired = IdempotencyIndex::new(2, Duration::from_secs(1));
        made(&mut retired);
        retired.drop_id(&uuid(9_000_000));
        let mut pushed_out = IdempotencyIndex::new(1, Duration::from_secs(1));
        made(&mut pushed_out);
        for index in [retired, pushed_out] {
            assert_eq!(index.see(&uuid(9_999)), Lookup::Expired, "of before it");
            assert_eq!(index.see(&uuid(10_001)), Lookup::New, "of after it");
        }
    }

    #[test]
    fn an_id_whose_record_is_removed_takes_no_room() {
        let mut index = IdempotencyIndex::new(9, Duration::from_secs(1));
        let ids = [uuid(10_000), RequestId::new("mine"), uuid(9_000_000)];
        for id in &ids {
            index.remember(at(10_000), id.clone(), D);
            index.drop_id(id);
        }
        let said = ids.map(|id| index.see(&id));
        assert_eq!(said, [Lookup::Expired, Lookup::Before(D), Lookup::Before(D)]);
        assert_eq!((index.ids.len(), index.order.len()), (2, 2), "of those the index alone knows anything");
    }

    #[test]
    fn an_old_id_is_new_as_long_as_nothing_was_discarded() {
        let index = IdempotencyIndex::new(2, Duration::from_secs(1));
        assert_eq!(index.see(&uuid(1)), Lookup::New, "a client whose clock is wrong is served");
    }

    #[test]
    fn an_id_that_carries_no_time_cannot_expire() {
        let mut index = IdempotencyIndex::new(2, Duration::from_secs(1));
        index.forget_until(WallTime(u64::MAX));
        assert_eq!(index.see(&RequestId::new("mine")), Lookup::New);
    }
}
