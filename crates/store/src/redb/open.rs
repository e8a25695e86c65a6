//! Opening and creating the file, and telling apart what can be wrong with it. A new file appears under
//! its name only when it is complete.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableError};

use super::backend::{FileBackend, SharedLimit};
use super::quiet;
use super::table::{self, FORMAT, Fault, META, META_FORMAT, META_MAGIC, META_REVISION, OBJECTS};
use crate::Error;

/// The first bytes of every redb file.
const REDB_MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// How often the lock is tried while it is waited for.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// Nobody but the owner may read what is stored: secrets are among it.
const MODE: u32 = 0o600;
/// The revision of a new store.
const FIRST_REVISION: u64 = 1;

/// Where the file is and how it is opened, again and again if need be.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) cache_bytes: usize,
    pub(super) limit_bytes: SharedLimit,
    pub(super) compact_above_bytes: u64,
}

impl Place {
    /// Takes the exclusive lock that keeps other processes out, held in a file beside the store. A process
    /// that was just killed may hold it for a moment until the kernel has taken it apart.
    pub(super) fn lock(&self, wait: Duration) -> Result<File, Error> {
        let mut left = wait;
        loop {
            match self.try_lock() {
                Err(Error::Locked { .. }) if !left.is_zero() => {
                    std::thread::park_timeout(LOCK_RETRY);
                    left = left.saturating_sub(LOCK_RETRY);
                }
                result => return result,
            }
        }
    }

    fn try_lock(&self) -> Result<File, Error> {
        let path = with_suffix(&self.path, ".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(MODE).open(&path);
        let file = file.map_err(|error| io_error(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: self.path.clone() }),
            Err(TryLockError::Error(error)) => Err(io_error(&path, &error)),
        }
    }

    /// Opens the store, creating it if there is none. The caller holds the lock. Returns its revision.
    pub(super) fn open_or_create(&self) -> Result<(Database, u64), Error> {
        match self.path.try_exists() {
            Ok(true) => {}
            Ok(false) => self.create()?,
            Err(error) => return Err(io_error(&self.path, &error)),
        }
        self.open()
    }

    /// Opens the existing file, repairing what a crash left, and checks all of it. Nothing is written to a
    /// file that is refused.
    pub(super) fn open(&self) -> Result<(Database, u64), Error> {
        let fail = |error: io::Error| io_error(&self.path, &error);
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(fail)?;
        self.check_head(&mut file)?;
        // The name of a file that was put here by a compaction has to be as durable as the file.
        self.sync_directory().map_err(fail)?;
        let backend = FileBackend::holding(file, self.limit_bytes.clone()).map_err(fail)?;
        let opened = self.guard(|| {
            let (mut database, repaired) = self.database(backend.clone())?;
            let revision = self.check_meta(&database)?;
            if !repaired {
                self.check_content(&mut database, revision)?;
            }
            Ok((database, revision))
        })?;
        backend.release().map_err(fail)?;
        Ok(opened)
    }

    /// Runs code that reads the database; a panic there (it checks less than it could) is damage, too.
    pub(super) fn guard<T>(&self, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        quiet::catch(run).unwrap_or_else(|| {
            let reason = "an internal check of the database failed".to_owned();
            Err(Error::Damaged { path: self.path.clone(), reason })
        })
    }

    /// Makes renames in the store's directory durable.
    pub(super) fn sync_directory(&self) -> io::Result<()> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Where a file is made before it gets its name.
    pub(super) fn new_path(&self) -> PathBuf {
        with_suffix(&self.path, ".new")
    }

    /// What a fault means to the caller.
    pub(super) fn error(&self, fault: Fault) -> Error {
        let path = self.path.clone();
        match fault {
            Fault::Damaged(reason) => Error::Damaged { path, reason },
            Fault::Redb(error) => match *error {
                redb::Error::Io(error) => io_error(&path, &error),
                redb::Error::Corrupted(reason) => Error::Damaged { path, reason },
                other => Error::Io { path, reason: other.to_string() },
            },
        }
    }

    fn create(&self) -> Result<(), Error> {
        drop(self.fresh()?);
        let fail = |error: io::Error| io_error(&self.path, &error);
        std::fs::rename(self.new_path(), &self.path).map_err(fail)?;
        self.sync_directory().map_err(fail)
    }

    /// A new store without objects at [`Place::new_path`], instead of whatever is there, durable but for its
    /// name.
    pub(super) fn fresh(&self) -> Result<Database, Error> {
        let new = self.new_path();
        let fail = |error: io::Error| io_error(&new, &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(MODE);
        let file = options.open(&new).map_err(fail)?;
        // One that an interrupted start left behind keeps its mode.
        file.set_permissions(std::fs::Permissions::from_mode(MODE)).map_err(fail)?;
        let sync = file.try_clone().map_err(fail)?;
        let database = self.guard(|| {
            let (database, _) = self.database(FileBackend::new(file, self.limit_bytes.clone()))?;
            initialize(&database).map_err(|fault| self.error(fault))?;
            Ok(database)
        })?;
        sync.sync_all().map_err(fail)?;
        Ok(database)
    }

    /// The database in a file, and whether it had to be repaired, which reads all of it.
    fn database(&self, backend: FileBackend) -> Result<(Database, bool), Error> {
        let repaired = Arc::new(AtomicBool::new(false));
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        let mark = repaired.clone();
        builder.set_repair_callback(move |_| mark.store(true, Ordering::Relaxed));
        let database = builder.create_with_backend(backend).map_err(|error| match error {
            DatabaseError::UpgradeRequired(version) => Error::Foreign {
                path: self.path.clone(),
                reason: format!("it is a redb file of the old version {version}"),
            },
            other => self.error(other.into()),
        })?;
        Ok((database, repaired.load(Ordering::Relaxed)))
    }

    /// Compares every page with its checksum. A file that was closed has no excuse for a wrong one: what the
    /// database would "repair" by going back to an older state is damage.
    fn check_content(&self, database: &mut Database, revision: u64) -> Result<(), Error> {
        let whole = database.check_integrity().map_err(|error| self.error(error.into()))?;
        if whole || self.check_meta(database)? == revision {
            return Ok(());
        }
        let reason = "its last changes cannot be read".to_owned();
        Err(Error::Damaged { path: self.path.clone(), reason })
    }

    fn check_head(&self, file: &mut File) -> Result<(), Error> {
        let mut head = Vec::new();
        let path = || self.path.clone();
        file.take(REDB_MAGIC.len() as u64)
            .read_to_end(&mut head)
            .map_err(|error| io_error(&self.path, &error))?;
        if head.is_empty() {
            return Err(Error::Damaged { path: path(), reason: "the file is empty".into() });
        }
        if head != REDB_MAGIC {
            return Err(Error::Foreign { path: path(), reason: "it is not a redb file".into() });
        }
        Ok(())
    }

    fn check_meta(&self, database: &Database) -> Result<u64, Error> {
        let fail = |fault: Fault| self.error(fault);
        let path = || self.path.clone();
        let foreign = |reason: &str| Error::Foreign { path: path(), reason: reason.into() };
        let txn = database.begin_read().map_err(|error| fail(error.into()))?;
        let meta = match txn.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::Storage(error)) => return Err(fail(error.into())),
            Err(_) => return Err(foreign("it is another program's redb file")),
        };
        let magic = meta.get(META_MAGIC.0).map_err(|error| fail(error.into()))?;
        if magic.is_none_or(|magic| magic.value() != META_MAGIC.1) {
            return Err(foreign("it is another program's redb file"));
        }
        let format = meta.get(META_FORMAT).map_err(|error| fail(error.into()))?;
        let format = format.and_then(|format| format.value().try_into().ok()).map(u32::from_le_bytes);
        match format {
            None => return Err(Error::Damaged { path: path(), reason: "it has no format version".into() }),
            Some(found) if found > FORMAT => {
                return Err(Error::NewerFormat { path: path(), found, supported: FORMAT });
            }
            Some(_) => {}
        }
        txn.open_table(OBJECTS).map_err(|error| fail(error.into()))?;
        table::revision(&meta).map_err(fail)
    }
}

fn initialize(database: &Database) -> Result<(), Fault> {
    let txn = database.begin_write()?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert(META_MAGIC.0, META_MAGIC.1)?;
        meta.insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
        meta.insert(META_REVISION, FIRST_REVISION.to_le_bytes().as_slice())?;
        txn.open_table(OBJECTS)?;
    }
    txn.commit()?;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn io_error(path: &Path, error: &io::Error) -> Error {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::PermissionDenied => Error::NoPermission { path },
        ErrorKind::ReadOnlyFilesystem => Error::ReadOnly { path },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::NoSpace { path },
        ErrorKind::UnexpectedEof => Error::Damaged { path, reason: "the file is cut short".into() },
        ErrorKind::IsADirectory => Error::Foreign { path, reason: "it is a directory".into() },
        _ => Error::Io { path, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_can_read_the_files() {
        let directory = tempfile::TempDir::new().unwrap();
        let place = Place {
            path: directory.path().join("store"),
            cache_bytes: 1 << 20,
            limit_bytes: SharedLimit::new(u64::MAX.into()),
            compact_above_bytes: u64::MAX,
        };
        let left = with_suffix(&place.path, ".new");
        std::fs::write(&left, "left by an interrupted start").unwrap();
        std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o644)).unwrap();
        let _lock = place.lock(Duration::ZERO).unwrap();
        place.open_or_create().unwrap();
        for path in [place.path.clone(), with_suffix(&place.path, ".lock")] {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }
}
