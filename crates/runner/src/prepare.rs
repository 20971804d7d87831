//! A program in the form that the kernel takes.

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64};

use muster_agent::runner_protocol::Program;

use crate::sys::strings::CStringArray;
use crate::sys::user::UserLimits;
use crate::sys::{ClonePlan, UserNamespaces};

/// A text holds a zero byte, which the kernel takes for its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadText(pub(crate) &'static str);

/// Where a name without slash is looked up when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a child is given beside its program.
pub(crate) struct Surroundings<'a> {
    pub(crate) null: BorrowedFd<'a>,
    pub(crate) joins: Vec<OwnedFd>,
    pub(crate) mark: Option<String>,
    pub(crate) cancelled: &'a AtomicBool,
    pub(crate) lease_end: Option<&'a AtomicU64>,
    pub(crate) dies_with_parent: bool,
    pub(crate) oom_score: Option<&'a CStr>,
    pub(crate) limits: UserLimits,
    pub(crate) namespaces: Option<&'a UserNamespaces>,
}

/// Prepares every text that the child will need.
pub(crate) fn plan<'a>(program: &'a Program, surroundings: Surroundings<'a>) -> Result<ClonePlan<'a>, BadText> {
    let Surroundings { null, joins, mark, cancelled, lease_end, dies_with_parent, oom_score, limits, namespaces } =
        surroundings;
    let argv = [&program.program].into_iter().chain(&program.args).map(|text| text_of(text, "an argument"));
    let variables = program.env.iter().map(|(name, value)| format!("{name}={value}")).chain(mark);
    Ok(ClonePlan {
        work_dir: text_of(&program.work_dir, "the work directory")?,
        stdout: text_of(&program.stdout, "the path of standard output")?,
        stderr: text_of(&program.stderr, "the path of standard error")?,
        candidates: candidates(program).iter().map(|path| text_of(path, "the program")).collect::<Result<_, _>>()?,
        argv: CStringArray::new(argv.collect::<Result<_, _>>()?),
        envp: CStringArray::new(
            variables.map(|text| text_of(&text, "a variable of the environment")).collect::<Result<_, _>>()?,
        ),
        null,
        joins,
        cancelled,
        lease_end,
        dies_with_parent,
        oom_score,
        credentials: program.credentials.as_ref(),
        limits,
        namespaces,
    })
}

fn text_of(text: &str, what: &'static str) -> Result<CString, BadText> {
    CString::new(text).map_err(|_| BadText(what))
}

fn candidates(program: &Program) -> Vec<String> {
    let name = &program.program;
    if name.is_empty() || name.contains('/') {
        return vec![name.clone()];
    }
    let path = program.env.iter().rev().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.as_str());
    path.unwrap_or(DEFAULT_PATH)
        .split(':')
        .map(|dir| if dir.is_empty() { format!("./{name}") } else { format!("{dir}/{name}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str, path: Option<&str>) -> Program {
        let env = path.map(|path| ("PATH".to_owned(), path.to_owned())).into_iter().collect();
        Program { program: name.into(), env, ..Program::default() }
    }

    #[test]
    fn a_name_is_looked_for_in_the_path_of_its_own_environment() {
        assert_eq!(candidates(&program("sleep", Some("/a:/b"))), ["/a/sleep", "/b/sleep"]);
        assert_eq!(candidates(&program("sleep", Some("/a:"))), ["/a/sleep", "./sleep"]);
        assert_eq!(candidates(&program("sleep", None)).len(), 3);
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(candidates(&program("./run.sh", Some("/a"))), ["./run.sh"]);
    }
}
