//! A standby answers like the leader: it forwards every call of people, programs and applications
//! to the leader, streams included.
//!
//! One tower layer lies around all services. The request, which is one message for each of these
//! calls, is read whole, so that it can be sent again for as long as it is certain that nothing was
//! done. A call that broke after it was sent is not certain: a mutation is then answered
//! `OUTCOME_UNKNOWN`.

mod layer;
mod peer;
mod relay;
mod router;

pub(crate) use layer::Forward;
pub(crate) use router::Router;
