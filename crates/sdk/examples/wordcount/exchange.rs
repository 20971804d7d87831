//! The protocol between driver and executor, over a plain connection: the executor's number, then a
//! share down and a count up, until the driver hangs up.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::count::Count;

/// The driver's side of one executor.
pub(crate) struct Executor {
    pub(crate) id: u32,
    input: BufReader<TcpStream>,
    output: BufWriter<TcpStream>,
}

impl Executor {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Executor> {
        let mut input = BufReader::new(stream.try_clone()?);
        let mut id = String::new();
        input.by_ref().take(16).read_line(&mut id)?;
        let id = id.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Executor { id, input, output: BufWriter::new(stream) })
    }

    /// Lets the executor count a share. An error means that it is gone.
    pub(crate) fn count(&mut self, share: &[PathBuf]) -> io::Result<Count> {
        writeln!(self.output, "{}", share.len())?;
        for path in share {
            self.output.write_all(path.as_os_str().as_bytes())?;
            self.output.write_all(b"\0")?;
        }
        self.output.flush()?;
        Count::read(&mut self.input)
    }
}

/// Counts shares for a driver until it hangs up.
pub(crate) fn serve(driver: &str, id: &str) -> io::Result<()> {
    let stream = TcpStream::connect(driver)?;
    let mut input = BufReader::new(stream.try_clone()?);
    let mut output = BufWriter::new(stream);
    writeln!(output, "{id}")?;
    output.flush()?;
    loop {
        let mut number = String::new();
        if input.read_line(&mut number)? == 0 {
            return Ok(());
        }
        let number: usize = number.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut count = Count::default();
        for _ in 0..number {
            let mut path = Vec::new();
            input.read_until(0, &mut path)?;
            path.pop();
            count_file(PathBuf::from(std::ffi::OsString::from_vec(path)), &mut count)?;
        }
        count.write(&mut output)?;
    }
}

fn count_file(path: PathBuf, count: &mut Count) -> io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => count.feed(&buffer[..read]),
        }
    }
}
