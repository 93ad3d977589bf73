//! Where the rows go, and the checkpoint that says how many of them are safe.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use pagination::scan::Rows;
use pagination::{Checkpoint, Query};
use serde_json::{Value, json};

/// The end of the output by which a checkpoint knows it again, in bytes.
const TAIL_BYTES: usize = 4096;

/// The rows' file or pipe.
pub struct Output {
    to: BufWriter<Box<dyn Write + Send>>,
    /// The same file once more, where its bytes must be safe before the checkpoint names them.
    file: Option<File>,
    bytes: u64,
    tail: Vec<u8>,
    line: Vec<u8>,
}

impl Output {
    /// Standard output as a file: the standard library's own handle hides some errors.
    pub fn stdout() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self::to(Box::new(file), None))
    }

    /// A new file, or a pipe. With a checkpoint it must be a file.
    pub fn create(path: &Path, checkpointed: bool) -> io::Result<Self> {
        let file = File::create(path)?;
        if checkpointed && !file.metadata()?.is_file() {
            return Err(io::Error::other("only a regular file can be gone on with"));
        }
        let again = if checkpointed { Some(file.try_clone()?) } else { None };
        Ok(Self::to(Box::new(file), again))
    }

    fn to(to: Box<dyn Write + Send>, file: Option<File>) -> Self {
        let to = BufWriter::with_capacity(64 * 1024, to);
        Self { to, file, bytes: 0, tail: Vec::new(), line: Vec::new() }
    }

    pub fn write(&mut self, rows: &Rows) -> io::Result<()> {
        for row in rows.rows() {
            self.line.clear();
            row.write_compact(&mut self.line);
            self.line.push(b'\n');
            self.to.write_all(&self.line)?;
            self.bytes += self.line.len() as u64;
            self.tail.extend_from_slice(&self.line);
        }
        let old = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..old);
        self.to.flush()
    }

    /// What was written is on the disk.
    fn sync(&mut self) -> io::Result<()> {
        self.to.flush()?;
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// The key of the last row that is out already, if the output is gone on with.
    pub fn last_key(&self, field: &str) -> Option<String> {
        let line = self.tail.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
        let row: Value = serde_json::from_slice(line).ok()?;
        Some(row.get(field)?.as_str()?.to_owned())
    }

    pub fn finish(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The checkpoint's file.
pub struct CheckpointFile {
    path: PathBuf,
    temporary: PathBuf,
}

/// What a checkpoint's file says.
pub struct Found {
    pub checkpoint: Checkpoint,
    bytes: u64,
    tail: String,
}

impl CheckpointFile {
    pub fn at(path: &Path) -> Self {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        Self { path: path.to_owned(), temporary: temporary.into() }
    }

    pub fn temporary(&self) -> &PathBuf {
        &self.temporary
    }

    /// The checkpoint, if there is one.
    pub fn read(&self, query: &Query) -> Result<Option<Found>, String> {
        let text = match std::fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("the checkpoint cannot be read: {error}")),
        };
        let json: Value = serde_json::from_slice(&text)
            .map_err(|_| "the checkpoint cannot be read: it is not JSON".to_owned())?;
        let scan = json.get("scan").unwrap_or(&Value::Null);
        let checkpoint = serde_json::from_value::<Checkpoint>(scan.clone())
            .map_err(|error| error.to_string())?;
        checkpoint.fits(query).map_err(|error| error.to_string())?;
        let output = || Some((json["output"]["bytes"].as_u64()?, json["output"]["tail"].as_str()?));
        let (bytes, tail) = output().ok_or("the checkpoint cannot be read: it names no output")?;
        Ok(Some(Found { checkpoint, bytes, tail: tail.to_owned() }))
    }

    /// Whether it can be written, before anything is sent.
    pub fn try_write(&self) -> io::Result<()> {
        File::create(&self.temporary)?;
        std::fs::remove_file(&self.temporary)
    }

    /// Makes the rows safe, then says so, in one step that a kill cannot split.
    pub fn write(&self, checkpoint: &Checkpoint, output: &mut Output) -> io::Result<()> {
        output.sync()?;
        let json = json!({
            "output": { "bytes": output.bytes, "tail": mark(&output.tail) },
            "scan": checkpoint,
        });
        let mut file = File::create(&self.temporary)?;
        writeln!(file, "{json:#}")?;
        file.sync_data()?;
        std::fs::rename(&self.temporary, &self.path)
    }
}

impl Found {
    /// The output as the checkpoint knows it; what was written after it is cut off.
    pub fn reopen(&self, path: &Path) -> Result<Output, String> {
        let wrong = |what: String| format!("the output {} {what}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| wrong(format!("cannot be gone on with: {error}")))?;
        let length = file.metadata().map_err(|error| wrong(error.to_string()))?.len();
        if length < self.bytes {
            let bytes = self.bytes;
            return Err(wrong(format!("has {length} bytes, the checkpoint knows of {bytes}")));
        }
        let io = |error: io::Error| wrong(format!("cannot be gone on with: {error}"));
        let start = self.bytes.saturating_sub(TAIL_BYTES as u64);
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let mut tail = Vec::new();
        (&file).take(self.bytes - start).read_to_end(&mut tail).map_err(io)?;
        if mark(&tail) != self.tail {
            return Err(wrong("is not the one that the checkpoint knows".into()));
        }
        file.set_len(self.bytes).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        let again = file.try_clone().map_err(io)?;
        let output = Output::to(Box::new(file), Some(again));
        Ok(Output { bytes: self.bytes, tail, ..output })
    }
}

/// FNV-1a: the same end of a file has the same mark.
fn mark(bytes: &[u8]) -> String {
    let step = |mark: u64, byte: &u8| (mark ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}
