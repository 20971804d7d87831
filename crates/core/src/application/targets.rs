//! Targets: how many executors of each profile an application wants.

use muster_types::{ApplicationUid, RequestId};

use super::ExecutorRequest;
use crate::core::{Core, Ctx};
use crate::idempotency::RequestKind;
use crate::{Answer, CallId, Rejection};

/// Most profiles of one application: a bound on the size of its record.
const MAX_PROFILES: usize = 256;

impl Core {
    pub(crate) fn request_executors(
        &mut self,
        ctx: &mut Ctx<'_>,
        call: CallId,
        name: &str,
        token: Option<&str>,
        wanted: ExecutorRequest,
        request: Option<RequestId>,
    ) {
        let uid = match self.application_for(name, token) {
            Ok(uid) => uid,
            Err(rejection) => return self.reply(call, Err(rejection)),
        };
        let Some(application) = self.applications.get(uid) else { return };
        let known = application.record.sequence;
        let repeat = |core: &mut Core| core.reply(call, Ok(Answer::Targets(true, known)));
        if !self.is_new_request(call, uid, request.as_ref(), RequestKind::Targets, repeat)
            || self.refuse_over(call, uid)
        {
            return;
        }
        if wanted.sequence <= known {
            return self.reply(call, Ok(Answer::Targets(false, known)));
        }
        if let Some(rejection) = self.refuse_targets(uid, &wanted) {
            return self.reply(call, Err(rejection));
        }
        self.note_application_request(ctx, request.as_ref(), uid, RequestKind::Targets);
        let sequence = wanted.sequence;
        self.set_targets(ctx, uid, wanted, request);
        self.reply(call, Ok(Answer::Targets(true, sequence)));
    }

    fn refuse_targets(&self, uid: ApplicationUid, wanted: &ExecutorRequest) -> Option<Rejection> {
        let application = self.applications.get(uid)?;
        let unknown = wanted
            .targets
            .iter()
            .position(|target| application.profile(target.profile).is_none() && target.new_profile.is_none());
        if let Some(index) = unknown {
            return Some(Rejection::BadField {
                field: format!("targets[{index}].profile_id"),
                message: "no such profile; add it with new_profile".to_owned(),
            });
        }
        let unknown = wanted.targets.iter().enumerate().find_map(|(index, target)| {
            let (profile, field) = (target.new_profile.as_ref()?, format!("targets[{index}].new_profile"));
            self.refuse_variables_of_profile(&application.record.spec, profile, &field)
        });
        if unknown.is_some() {
            return unknown;
        }
        let added = wanted.targets.iter().filter(|target| application.profile(target.profile).is_none()).count();
        (application.profiles().count() + added > MAX_PROFILES).then(|| Rejection::BadField {
            field: "targets".to_owned(),
            message: format!("an application has at most {MAX_PROFILES} profiles"),
        })
    }

    fn set_targets(&mut self, ctx: &Ctx<'_>, uid: ApplicationUid, wanted: ExecutorRequest, request: Option<RequestId>) {
        self.put_application(ctx.now, uid, request, |record| {
            record.sequence = wanted.sequence;
            record.excluded_hosts = wanted.excluded_hosts;
            for target in wanted.targets {
                let known = record.spec.profiles.contains_key(&target.profile);
                if let Some(profile) = target.new_profile.filter(|_| !known) {
                    record.added_profiles.entry(target.profile).or_insert(profile);
                }
                record.targets.insert(target.profile, target.target);
                if target.preferred_hosts.is_empty() {
                    record.preferred_hosts.remove(&target.profile);
                } else {
                    record.preferred_hosts.insert(target.profile, target.preferred_hosts);
                }
            }
        });
        if let Some(application) = self.applications.get_mut(uid) {
            application.shapes.clear();
            application.told_pending.clear();
        }
        self.refresh_demand(ctx.now, uid);
        self.emit_application_event(ctx.now.wall, uid, "its targets changed");
    }
}
