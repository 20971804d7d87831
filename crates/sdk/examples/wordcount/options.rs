//! The command line.

use std::path::PathBuf;

/// What to count, and with which resources.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) corpus: PathBuf,
    pub(crate) suffix: String,
    pub(crate) executors: u32,
    pub(crate) cores: u32,
    pub(crate) memory: u64,
    pub(crate) top: usize,
}

/// The role of this process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Driver(Options),
    Executor { driver: String, id: String },
}

pub(crate) const USAGE: &str =
    "usage: wordcount [--executors 4] [--cores 1] [--memory-mib 256] [--top 10] [--suffix .rs] FOLDER";

/// Reads the arguments, without the program itself.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Role, String> {
    let mut args = args.into_iter();
    let mut corpus = None;
    let mut options = Options {
        corpus: PathBuf::new(),
        suffix: ".rs".to_owned(),
        executors: 4,
        cores: 1,
        memory: 256 << 20,
        top: 10,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        let number = |text: String| text.parse::<u32>().map_err(|_| format!("{arg}: {text:?} is no number"));
        match arg.as_str() {
            "executor" if corpus.is_none() => return Ok(Role::Executor { driver: value()?, id: value()? }),
            "--executors" => options.executors = number(value()?)?.max(1),
            "--cores" => options.cores = number(value()?)?,
            "--memory-mib" => options.memory = u64::from(number(value()?)?) << 20,
            "--top" => options.top = number(value()?)? as usize,
            "--suffix" => options.suffix = value()?,
            _ if arg.starts_with('-') || corpus.is_some() => return Err(format!("{arg:?} is not understood")),
            _ => corpus = Some(PathBuf::from(&arg)),
        }
    }
    options.corpus = corpus.ok_or("a folder is missing")?;
    Ok(Role::Driver(options))
}
