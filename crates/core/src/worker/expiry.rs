//! Workers past their deadline.

use muster_types::{Fault, Outcome, Reason, WorkerUid};

use crate::Effect;
use crate::core::{Core, Ctx};

impl Core {
    /// Loses the workers that the liveness table has marked. The table is told of each decision,
    /// also for a worker that is already lost or not known.
    pub(crate) fn expire_workers(&mut self, ctx: &mut Ctx<'_>, workers: Vec<WorkerUid>) {
        for uid in workers {
            self.lose_worker(ctx, uid);
            self.out.effect(Effect::WorkerLossCommitted(uid));
            self.boundary();
        }
        self.release_held(ctx);
    }

    /// Closes the leased attempts of a worker, because their leases have ended. Others may still
    /// run, and stay open.
    fn lose_worker(&mut self, ctx: &mut Ctx<'_>, uid: WorkerUid) {
        let Some(worker) = self.workers.get_mut(uid) else { return };
        if let Some(link) = worker.drop_link() {
            self.out.effect(Effect::Reconnect(link));
        }
        if self.workers.get(uid).is_some_and(|worker| worker.record.lost || worker.record.forgotten) {
            return self.refresh_eligibility(uid);
        }
        self.refresh_eligibility(uid);
        for key in self.assigned_to(uid) {
            if self.is_leased(key) {
                let lost = Outcome::without_exit(Fault::Platform, Reason::Lost, "its worker is lost");
                self.close(ctx, key, lost);
            } else {
                self.mark_unreachable(ctx, key);
            }
            self.boundary();
        }
        // This comes last, so that in every prefix of the groups a lost worker has no open leased
        // attempt.
        self.put_worker(uid, |record| record.lost = true);
        self.arm_lost_worker(ctx.now, uid);
        self.emit_worker_event(ctx.now.wall, uid, "lost: not heard for longer than any lease");
    }
}
