//! Records of earlier programs, in `golden/`, which every later program must read.
//!
//! The bytes are never rewritten; the texts beside them give their meaning. With
//! `MUSTER_GOLDEN=write` a new kind gets its bytes, and the texts are rewritten. A change of a text
//! that is not an addition shows that a record is read with another meaning.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use muster_types::{
    ApplicationRecord, ApplicationUid, ClusterRecord, ClusterUid, Commit, DriverRecord, EventsRecord, ExecutorsRecord,
    RoleBindings, TokenRecord, WallTime, WorkerRecord,
};

use crate::codec::Stored;
use crate::codec::proto::{EpochRecord, GenerationRecord, HeadRecord, SchemaRecord};
use crate::sample::Sample;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn check<T: Stored + Debug>(name: &str, sample: &T) {
    let (bytes, text) = (path(&format!("{name}.bin")), path(&format!("{name}.txt")));
    let writes = std::env::var_os("MUSTER_GOLDEN").is_some_and(|value| value == "write");
    if writes && !bytes.exists() {
        std::fs::create_dir_all(path("")).unwrap();
        std::fs::write(&bytes, sample.encode()).unwrap();
    }
    let golden = std::fs::read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", bytes.display()));
    let record = T::decode(&golden).unwrap_or_else(|error| panic!("{name} is not read any more: {error}"));
    let meaning = format!("{record:#?}\n");
    if writes {
        std::fs::write(&text, &meaning).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&text).unwrap(), meaning, "{name} is read as something else");
    let again = T::decode(&record.encode()).unwrap();
    assert_eq!(format!("{again:#?}\n"), meaning, "{name} does not come back");
}

#[test]
fn what_was_written_once_is_read_for_ever() {
    let mut sample = Sample::new(2024);
    let application = sample.application();
    check::<DriverRecord>("driver", &sample.driver());
    check::<ApplicationRecord>("application", &application);
    check::<ExecutorsRecord>("executors", &sample.executors(ApplicationUid(7), 3));
    check::<WorkerRecord>("worker", &sample.worker());
    check::<EventsRecord>("events", &sample.events(Commit(9)));
    check::<TokenRecord>("token", &sample.token());
    check::<RoleBindings>("roles", &sample.roles());
    let cluster =
        ClusterRecord { uid: ClusterUid(0x1234), name: "golden".into(), created: WallTime(1_700_000_000_000) };
    check("cluster", &cluster);
    check("schema", &SchemaRecord { version: 1 });
    check("epoch", &EpochRecord { generation: 2, revision: 9 });
    check("head", &HeadRecord { commit: 5, digest: 6, count: 7 });
    check("generation", &GenerationRecord { generation: 3 });
    check("member", &crate::etcd::golden_member());
}
