//! What a mistaken standby does: it deletes a leader's election key while that leader is alive and
//! well.

use std::path::Path;

use etcd_client::{Client, Compare, CompareOp, GetOptions, SortOrder, SortTarget, Txn, TxnOp};

use super::Etcd;

/// Where the masters' keys are, under the prefix of [`Etcd::store`].
const ELECTION: &str = "/muster/l/";

impl Etcd {
    /// Deletes the election key of the leader. Returns the creation revision of that key, which is
    /// the revision of the epoch.
    pub async fn depose_leader(&self) -> i64 {
        let mut client = Client::connect(self.endpoints(), None).await.expect("etcd can be reached");
        let oldest = GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(1);
        let answer = client.get(ELECTION, Some(oldest)).await.expect("etcd answers");
        let leader = answer.kvs().first().expect("a master leads");
        let guard = Compare::create_revision(leader.key(), CompareOp::Equal, leader.create_revision());
        let delete = Txn::new().when([guard]).and_then([TxnOp::delete(leader.key(), None)]);
        assert!(client.txn(delete).await.expect("etcd answers").succeeded(), "the leader changed meanwhile");
        leader.create_revision()
    }

    /// Bytes of a member's database file.
    pub fn size(&self, name: &str) -> u64 {
        let file: &Path = &self.data(name).join("member/snap/db");
        std::fs::metadata(file).map_or(0, |data| data.len())
    }
}
