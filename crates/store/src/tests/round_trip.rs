//! Every record survives the conversion to bytes and back.

use std::fmt::Debug;

use muster_types::{ApplicationUid, Commit};
use proptest::prelude::*;

use crate::codec::{DecodeError, Stored};
use crate::sample::Sample;

fn comes_back<T: Stored + PartialEq + Debug>(record: &T) {
    assert_eq!(&T::decode(&record.encode()).unwrap(), record);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(seed: u64) {
        let mut sample = Sample::new(seed);
        comes_back(&*sample.driver());
        comes_back(&*sample.application());
        comes_back(&*sample.executors(ApplicationUid(1), seed));
        comes_back(&*sample.worker());
        comes_back(&*sample.token());
        comes_back(&*sample.roles());
        comes_back(&*sample.events(Commit(seed)));
    }

    #[test]
    fn any_bytes_are_a_record_or_an_error(bytes: Vec<u8>) {
        let _ = muster_types::DriverRecord::decode(&bytes);
        let _ = muster_types::ApplicationRecord::decode(&bytes);
        let _ = muster_types::WorkerRecord::decode(&bytes);
        let _ = muster_types::TokenRecord::decode(&bytes);
        let _ = muster_types::RoleBindings::decode(&bytes);
        let _ = muster_types::EventsRecord::decode(&bytes);
    }

    #[test]
    fn a_damaged_record_is_a_record_or_an_error(seed: u64, place: prop::sample::Index, bit in 0..8_u8) {
        let mut bytes = Sample::new(seed).driver().encode();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let _ = muster_types::DriverRecord::decode(&bytes);
    }
}

#[test]
fn an_unknown_state_is_an_error_and_not_a_guess() {
    let mut message = Sample::new(1).driver().to_message();
    for state in [0, 99] {
        message.state = state;
        let error = muster_types::DriverRecord::from_message(message.clone()).unwrap_err();
        assert!(matches!(error, DecodeError::Field("state")), "{error}");
    }
}
