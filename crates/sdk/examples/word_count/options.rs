//! The command line.

use std::path::PathBuf;

/// What to count, and with which resources.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) folder: PathBuf,
    pub(crate) suffix: String,
    pub(crate) executors: u32,
    pub(crate) cores: u32,
    pub(crate) memory: u64,
    pub(crate) top: usize,
}

pub(crate) const USAGE: &str =
    "usage: word_count [--executors 4] [--cores 1] [--memory-mib 256] [--top 10] [--suffix .rs] FOLDER";

/// Reads the arguments, without the program itself.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let mut args = args.into_iter();
    let mut folder = None;
    let mut options = Options {
        folder: PathBuf::new(),
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
            "--executors" => options.executors = number(value()?)?.max(1),
            "--cores" => options.cores = number(value()?)?,
            "--memory-mib" => options.memory = u64::from(number(value()?)?) << 20,
            "--top" => options.top = number(value()?)? as usize,
            "--suffix" => options.suffix = value()?,
            _ if arg.starts_with('-') || folder.is_some() => return Err(format!("{arg:?} is not understood")),
            _ => folder = Some(PathBuf::from(&arg)),
        }
    }
    options.folder = folder.ok_or("a folder is missing")?;
    Ok(options)
}
