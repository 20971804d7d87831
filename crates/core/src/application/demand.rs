//! The demand of an application: the executors that placement may add now.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_types::{ApplicationUid, Now, ProfileId};

use crate::ApplicationEvent;
use crate::core::Core;
use crate::placement::{ApplicationDemand, ProfileDemand};
use crate::state::Application;
use crate::variables::shape_of_profile;

impl Core {
    /// Tells placement what an application wants and has. The demand is empty while the session is
    /// broken and during a back-off; an application that is over leaves the queue.
    pub(crate) fn refresh_demand(&mut self, now: Now, uid: ApplicationUid) {
        let Some(application) = self.applications.get_mut(uid) else { return };
        if application.is_over() {
            return self.demands.remove(uid);
        }
        if application.backoff.is_some_and(|until| until <= now.time) {
            application.backoff = None;
        }
        fill_shapes(application);
        let demand = if application.away || application.backoff.is_some() {
            ApplicationDemand::default()
        } else {
            let limit = application.record.spec.max_cores;
            ApplicationDemand {
                cores_left: self.config.policy.cores_left(limit, application.cores()),
                profiles: profile_demands(application),
            }
        };
        self.demands.set(uid, demand);
        self.changed_demands.insert(uid);
    }

    /// Tells sessions which targets are unmet, once for each change of the number.
    pub(crate) fn tell_unmet(&mut self) {
        for uid in std::mem::take(&mut self.changed_demands) {
            let Some(application) = self.applications.get(uid).filter(|application| application.connected) else {
                continue;
            };
            let profiles: Vec<ProfileId> = application.profiles().map(|profile| profile.id).collect();
            for profile in profiles {
                self.tell_unmet_profile(uid, profile);
            }
            self.boundary();
        }
    }

    fn tell_unmet_profile(&mut self, uid: ApplicationUid, profile: ProfileId) {
        let unmet = self.why_unmet(uid, profile);
        let Some(application) = self.applications.get_mut(uid) else { return };
        match unmet {
            None => {
                application.told_pending.remove(&profile);
            }
            Some((missing, reason)) => {
                if application.told_pending.insert(profile, missing) != Some(missing) {
                    self.tell_session(uid, ApplicationEvent::Pending { profile, missing, reason });
                }
            }
        }
    }
}

fn fill_shapes(application: &mut Application) {
    let missing: Vec<_> = application
        .profiles()
        .filter(|profile| !application.shapes.contains_key(&profile.id))
        .map(|profile| (profile.id, shape_of_profile(application, profile)))
        .collect();
    application.shapes.extend(missing);
}

fn profile_demands(application: &Application) -> BTreeMap<ProfileId, ProfileDemand> {
    let shapes = application.shapes.iter();
    shapes
        .map(|(profile, shape)| {
            let demand = ProfileDemand {
                shape: Arc::clone(shape),
                existing: application.counts(*profile).counted,
                target: application.target(*profile),
                preferred_hosts: preferred_left(application, *profile),
            };
            (*profile, demand)
        })
        .collect()
}

/// Preferred hosts, less the executors that are there already.
fn preferred_left(application: &Application, profile: ProfileId) -> BTreeMap<String, u32> {
    let wished = application.record.preferred_hosts.get(&profile);
    let Some(mut left) = wished.filter(|wished| !wished.is_empty()).cloned() else { return BTreeMap::new() };
    let open = application.open.iter().filter_map(|id| application.executor(*id));
    for executor in open.filter(|executor| executor.record.profile == profile && executor.counts()) {
        if let Some(count) = left.get_mut(&executor.record.host) {
            *count = count.saturating_sub(1);
        }
    }
    left.retain(|_, count| *count > 0);
    left
}
