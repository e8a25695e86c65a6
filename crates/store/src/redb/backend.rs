//! The file under redb. Differs from redb's own in that it has a size limit that can be set while the store
//! runs, no lock of its own (the store holds one for as long as it lives, also while it reopens), and that it
//! can hold back what is written while a file is being looked at: a damaged file is never changed.

use std::collections::{BTreeMap, btree_map};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use redb::StorageBackend;

/// The size in bytes beyond which the file must not grow.
pub(super) type SharedLimit = Arc<AtomicU64>;

/// The unit of what is held back.
const BLOCK: usize = 4096;

#[derive(Debug, Clone)]
pub(super) struct FileBackend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    limit_bytes: SharedLimit,
    /// Whether `held` is there.
    holding: AtomicBool,
    held: Mutex<Option<Held>>,
}

/// What redb has written since the file was opened: a header, and after a crash the repaired allocator state
/// (some 100 KiB for each 4 GiB of the file).
#[derive(Debug)]
struct Held {
    len: u64,
    /// The blocks that differ from the file, whole.
    blocks: BTreeMap<u64, Box<[u8]>>,
    /// The same in the order in which it came: what is synced between two writes matters after a crash.
    log: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

impl FileBackend {
    /// Writes go to the file.
    pub(super) fn new(file: File, limit_bytes: SharedLimit) -> FileBackend {
        let (holding, held) = (AtomicBool::new(false), Mutex::new(None));
        FileBackend(Arc::new(Inner { file, limit_bytes, holding, held }))
    }

    /// Writes are kept in memory until [`FileBackend::release`].
    pub(super) fn holding(file: File, limit_bytes: SharedLimit) -> io::Result<FileBackend> {
        let len = file.metadata()?.len();
        let held = Held { len, blocks: BTreeMap::new(), log: Vec::new() };
        let (holding, held) = (AtomicBool::new(true), Mutex::new(Some(held)));
        Ok(FileBackend(Arc::new(Inner { file, limit_bytes, holding, held })))
    }

    /// Writes what was held, in its order; from now on writes go to the file.
    pub(super) fn release(&self) -> io::Result<()> {
        let mut slot = self.0.held.lock();
        for step in slot.iter_mut().flat_map(|held| held.log.drain(..)) {
            match step {
                Step::Write(offset, data) => self.0.file.write_all_at(&data, offset)?,
                Step::SetLen(len) => self.0.file.set_len(len)?,
                Step::Sync => self.0.file.sync_data()?,
            }
        }
        *slot = None;
        self.0.holding.store(false, Ordering::Release);
        Ok(())
    }

    /// Runs `run` on what is held; `None` when nothing is held back.
    fn with_held<T>(&self, run: impl FnOnce(&mut Held) -> T) -> Option<T> {
        if !self.0.holding.load(Ordering::Acquire) {
            return None;
        }
        self.0.held.lock().as_mut().map(run)
    }
}

impl Held {
    fn read(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64).ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.blocks.is_empty() {
            return read_padded(file, offset, out);
        }
        let mut at = 0;
        while at < out.len() {
            let here = offset + at as u64;
            let (number, inside) = (here / BLOCK as u64, (here % BLOCK as u64) as usize);
            let length = (BLOCK - inside).min(out.len() - at);
            let piece = &mut out[at..at + length];
            match self.blocks.get(&number) {
                Some(block) => piece.copy_from_slice(&block[inside..inside + length]),
                None => read_padded(file, here, piece)?,
            }
            at += length;
        }
        Ok(())
    }

    fn write(&mut self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut at = 0;
        while at < data.len() {
            let here = offset + at as u64;
            let (number, inside) = (here / BLOCK as u64, (here % BLOCK as u64) as usize);
            let length = (BLOCK - inside).min(data.len() - at);
            let block = match self.blocks.entry(number) {
                btree_map::Entry::Occupied(block) => block.into_mut(),
                btree_map::Entry::Vacant(place) => {
                    let mut block = vec![0; BLOCK].into_boxed_slice();
                    read_padded(file, number * BLOCK as u64, &mut block)?;
                    place.insert(block)
                }
            };
            block[inside..inside + length].copy_from_slice(&data[at..at + length]);
            at += length;
        }
        self.len = self.len.max(offset + data.len() as u64);
        self.log.push(Step::Write(offset, data.to_vec()));
        Ok(())
    }
}

/// Reads from the file; behind its end there are zeros.
fn read_padded(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut out[done..], offset + done as u64) {
            Ok(0) => {
                out[done..].fill(0);
                return Ok(());
            }
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        match self.with_held(|held| held.len) {
            Some(len) => Ok(len),
            None => Ok(self.0.file.metadata()?.len()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.with_held(|held| held.read(&self.0.file, offset, out)) {
            Some(result) => result,
            None => self.0.file.read_exact_at(out, offset),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.0.limit_bytes.load(Ordering::Relaxed) && len > self.len()? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let held = self.with_held(|held| {
            held.len = len;
            held.log.push(Step::SetLen(len));
        });
        if held.is_some() { Ok(()) } else { self.0.file.set_len(len) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let held = self.with_held(|held| held.log.push(Step::Sync));
        if held.is_some() { Ok(()) } else { self.0.file.sync_data() }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.with_held(|held| held.write(&self.0.file, offset, data)) {
            Some(result) => result,
            None => self.0.file.write_all_at(data, offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_read_and_reaches_the_file_at_the_release() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 10_000], 0).unwrap();
        let limit = SharedLimit::new(u64::MAX.into());
        let backend = FileBackend::holding(file.try_clone().unwrap(), limit).unwrap();
        let mut want = vec![1; 10_000];
        for (offset, byte, length) in [(0, 2, 5), (4090, 3, 20), (4100, 4, 8200), (9_999, 5, 1)] {
            backend.write(offset, &vec![byte; length]).unwrap();
            let (from, to) = (offset as usize, offset as usize + length);
            want.resize(want.len().max(to), 0);
            want[from..to].fill(byte);
        }
        backend.set_len(20_000).unwrap();
        want.resize(20_000, 0);
        backend.sync_data().unwrap();
        let whole = |backend: &FileBackend| {
            let mut out = vec![9; backend.len().unwrap() as usize];
            backend.read(0, &mut out).unwrap();
            out
        };
        assert_eq!(whole(&backend), want);
        let mut some = [0; 700];
        backend.read(3900, &mut some).unwrap();
        assert_eq!(some, want[3900..4600]);
        assert!(backend.read(19_990, &mut [0; 11]).is_err());
        assert_eq!(file.metadata().unwrap().len(), 10_000, "nothing has been written");
        backend.release().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 20_000);
        assert_eq!(whole(&backend), want);
        backend.write(0, &[7]).unwrap();
        let mut first = [0];
        file.read_exact_at(&mut first, 0).unwrap();
        assert_eq!(first, [7]);
    }
}
