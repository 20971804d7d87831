//! A standby answers like the leader: it forwards every call of people, programs and applications
//! to whoever leads, streams too.
//!
//! One tower layer around all services. On the leader it costs a look at the slot. Elsewhere the
//! request, which is one message for each of these calls, is read whole, so that it can be sent
//! again for as long as it is certain that nothing was done. What broke after it was sent is not
//! certain: a mutation is then answered `OUTCOME_UNKNOWN`.

mod layer;
mod peer;
mod relay;
mod router;

pub(crate) use layer::Forward;
pub(crate) use router::Router;
