//! `Debug` of the messages that hold secrets. It leaves the secret fields out, so that no log line
//! can carry them.

use std::fmt;

use crate::v1;

impl fmt::Debug for v1::Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env_names", &self.env.keys().collect::<Vec<_>>())
            .field("secret_env_names", &self.secret_env.keys().collect::<Vec<_>>())
            .field("work_dir", &self.work_dir)
            .finish()
    }
}

impl fmt::Debug for v1::Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch")
            .field("attempt", &self.attempt)
            .field("id", &self.id)
            .field("leased", &self.leased)
            .field("command", &self.command)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("worker_uid", &self.worker_uid)
            .field("name", &self.name)
            .field("incarnation", &self.incarnation)
            .field("session", &self.session)
            .field("epoch", &self.epoch)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::ExecutorRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutorRegistration")
            .field("executor_id", &self.executor_id)
            .field("worker_uid", &self.worker_uid)
            .field("profile_id", &self.profile_id)
            .field("cores", &self.cores)
            .field("build_digest", &self.build_digest)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::OutputServiceReadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutputServiceReadRequest")
            .field("stage", &self.stage)
            .field("reader", &self.reader)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::RegisterApplicationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterApplicationRequest")
            .field("application", &self.application)
            .field("application_id", &self.application_id)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::WatchApplicationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchApplicationRequest")
            .field("application_id", &self.application_id)
            .field("resume_revision", &self.resume_revision)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::RequestExecutorsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestExecutorsRequest")
            .field("application_id", &self.application_id)
            .field("sequence", &self.sequence)
            .field("targets", &self.targets)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::KillExecutorsRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KillExecutorsRequest")
            .field("application_id", &self.application_id)
            .field("executor_ids", &self.executor_ids)
            .field("replace", &self.replace)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::UnregisterApplicationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnregisterApplicationRequest")
            .field("application_id", &self.application_id)
            .field("success", &self.success)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}
