//! Every job gets on: what it needs runs, or waits for something that does.

use super::{SchedulerViolation, violate};
use crate::stage::StagePhase;
use crate::{Scheduler, StageKind};

pub(super) fn check(scheduler: &Scheduler, found: &mut Vec<SchedulerViolation>) {
    for job in scheduler.jobs.ids() {
        let Some(entry) = scheduler.jobs.get(job) else { continue };
        if !entry.stages.contains(&entry.target) {
            violate(found, "a job needs its target", format!("job {job}"));
        }
        for stage in &entry.stages {
            if !scheduler.stages.get(*stage).is_some_and(|node| node.jobs.contains(&job)) {
                violate(found, "jobs and stages agree", format!("job {job}, {stage:?}"));
            }
        }
    }
    for (slot, node) in scheduler.stages.iter() {
        let id = node.terms.id;
        for job in &node.jobs {
            if !scheduler.jobs.get(*job).is_some_and(|entry| entry.stages.contains(&slot)) {
                violate(found, "jobs and stages agree", format!("stage {id}, job {job}"));
            }
        }
        let is_complete = node.is_complete();
        let is_needed = !node.jobs.is_empty();
        let parents = scheduler.stages.parents_complete(node);
        let is_right = match node.phase {
            StagePhase::Complete => is_complete && !is_needed,
            StagePhase::Idle => !is_complete && !is_needed,
            StagePhase::Active => !is_complete && is_needed && parents,
            StagePhase::Waiting => !is_complete && is_needed && !parents,
            StagePhase::Resubmitting => !is_complete && is_needed,
        };
        if !is_right {
            let what = format!("{:?}, complete {is_complete}, needed {is_needed}, parents {parents}", node.phase);
            violate(found, "a stage is in the right phase", format!("stage {id}: {what}"));
        }
        if node.phase == StagePhase::Waiting {
            let missing = node.terms.parents.iter().filter_map(|parent| scheduler.stages.get(*parent));
            for parent in missing.filter(|parent| !parent.is_complete() && parent.phase == StagePhase::Idle) {
                violate(found, "what is waited for is made", format!("stage {id} waits for {}", parent.terms.id));
            }
        }
        if node.phase == StagePhase::Idle && node.terms.kind == StageKind::Results {
            violate(found, "results are forgotten with their job", format!("stage {id}"));
        }
    }
}
