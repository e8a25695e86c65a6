//! The file under redb. Differs from redb's own in that it has a size limit that can be set while the
//! store runs, and no lock of its own (the store holds one for as long as it lives, also while it reopens).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;

/// The size in bytes beyond which the file must not grow.
pub(super) type SharedLimit = Arc<AtomicU64>;

#[derive(Debug)]
pub(super) struct FileBackend {
    file: File,
    limit_bytes: SharedLimit,
}

impl FileBackend {
    pub(super) fn new(file: File, limit_bytes: SharedLimit) -> FileBackend {
        FileBackend { file, limit_bytes }
    }
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.limit_bytes.load(Ordering::Relaxed) && len > self.len()? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}
