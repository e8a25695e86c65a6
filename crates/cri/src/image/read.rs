//! What image archives from elsewhere say about themselves: the names of their images, read before the runtime is
//! asked to take them. Nothing here unpacks a layer.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use serde_json::Value;

/// Longest index or manifest list that is read.
const INDEX_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Most files of one archive that are looked at.
const ENTRY_LIMIT: usize = 100_000;
/// Most bytes that may stand before a file's content: its headers, and what extends them, such as long names.
const HEAD_LIMIT_BYTES: u64 = 64 * 1024;

/// Why an archive is not one that can be loaded; the text is for the user.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("it is compressed: unpack it first ({0})")]
    Compressed(&'static str),
    #[error("it is not an image archive: {0}")]
    Foreign(String),
    #[error("its images have no names: save them by name and tag")]
    Nameless,
    #[error("it names its image {0:?}, which pods cannot ask for: save it as {1:?}")]
    Short(String, String),
}

/// Full names of the images in an OCI archive or in one that `docker save` has written.
///
/// # Errors
/// When it is neither, or none of its images has a full name.
// k8s: containerd images/archive/importer.go ImportIndex
pub fn archive_names(path: &Path) -> Result<Vec<String>, ArchiveError> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(ArchiveError::Foreign("it is a directory".to_owned()));
    }
    let mut magic = Vec::new();
    Read::by_ref(&mut file).take(4).read_to_end(&mut magic)?;
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => return Err(ArchiveError::Compressed("gunzip")),
        [0x28, 0xb5, 0x2f, 0xfd] => return Err(ArchiveError::Compressed("unzstd")),
        [0xfd, b'7', b'z', b'X'] => return Err(ArchiveError::Compressed("unxz")),
        _ => {}
    }
    let found = indexes(File::open(path)?)?;
    let names = match found {
        Indexes { oci: Some(index), .. } => oci_names(&index),
        Indexes { docker: Some(list), .. } => docker_names(&list),
        _ => {
            return Err(ArchiveError::Foreign(
                "there is no index.json and no manifest.json in it".to_owned(),
            ));
        }
    };
    let short = names.iter().map(|name| (name, full_name(name))).find(|(name, full)| *name != full);
    match short {
        Some((name, full)) => Err(ArchiveError::Short(name.clone(), full)),
        None if names.is_empty() => Err(ArchiveError::Nameless),
        None => Ok(names),
    }
}

/// A file of which only so many bytes are read.
struct Bounded<'a> {
    file: File,
    left: &'a Cell<u64>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("a file in it has too long a name, or too many attributes"));
        }
        let n = self.file.read(&mut buffer[..most])?;
        self.left.set(self.left.get() - n as u64);
        Ok(n)
    }
}

impl Seek for Bounded<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[derive(Default)]
struct Indexes {
    oci: Option<Value>,
    docker: Option<Value>,
}

fn indexes(file: File) -> Result<Indexes, ArchiveError> {
    let foreign = |e: std::io::Error| ArchiveError::Foreign(e.to_string());
    let mut found = Indexes::default();
    // What extends a header is read whole before it is handed out, however long it says it is.
    let left = Cell::new(HEAD_LIMIT_BYTES);
    let mut archive = tar::Archive::new(Bounded { file, left: &left });
    for entry in archive.entries_with_seek().map_err(foreign)?.take(ENTRY_LIMIT) {
        let entry = entry.map_err(foreign)?;
        left.set(INDEX_LIMIT_BYTES);
        let path = entry.path().map_err(foreign)?.into_owned();
        let place = match path.strip_prefix(".").unwrap_or(&path).to_str() {
            Some("index.json") => &mut found.oci,
            Some("manifest.json") => &mut found.docker,
            _ => {
                left.set(HEAD_LIMIT_BYTES);
                continue;
            }
        };
        let mut text = Vec::new();
        entry.take(INDEX_LIMIT_BYTES).read_to_end(&mut text).map_err(foreign)?;
        let wrong = |e| ArchiveError::Foreign(format!("{}: {e}", path.display()));
        *place = Some(serde_json::from_slice(&text).map_err(wrong)?);
        left.set(HEAD_LIMIT_BYTES);
    }
    Ok(found)
}

/// The names by which containerd takes the manifests of an index; a tag alone is no name.
fn oci_names(index: &Value) -> Vec<String> {
    let manifests = index["manifests"].as_array().into_iter().flatten();
    let names = manifests.filter_map(|manifest| {
        let annotation = |name: &str| manifest["annotations"][name].as_str();
        let reference = annotation("org.opencontainers.image.ref.name");
        annotation("io.containerd.image.name").or(reference.filter(|name| name.contains(['/', ':', '@'])))
    });
    names.map(str::to_owned).collect()
}

fn docker_names(list: &Value) -> Vec<String> {
    let images = list.as_array().into_iter().flatten();
    let tags = images.filter_map(|image| image["RepoTags"].as_array()).flatten();
    tags.filter_map(Value::as_str).map(full_name).collect()
}

/// A short name as docker means it, and as the runtime shows it: `web` is `docker.io/library/web:latest`.
fn full_name(name: &str) -> String {
    let full = match name.split_once('/') {
        Some(("docker.io", path)) if !path.contains('/') => format!("docker.io/library/{path}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    };
    let last = full.rsplit('/').next().unwrap_or_default();
    if last.contains([':', '@']) { full } else { format!("{full}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageBuilder, archive::TarWriter};

    fn names_of(case: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
        let path = std::env::temp_dir().join(format!("corten-archive-{}-{case}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let names = archive_names(&path).map_err(|e| e.to_string());
        std::fs::remove_file(&path).unwrap();
        names
    }

    fn tar_of(name: &str, content: &str) -> Vec<u8> {
        let mut tar = TarWriter::default();
        tar.file(name, content.as_bytes(), 0o644).unwrap();
        tar.finish()
    }

    #[test]
    fn names_are_those_that_the_runtime_takes() {
        let image = ImageBuilder::new().file("/a", b"a", 0o755).build().unwrap();
        let own = image.oci_archive(&["registry.test/a:1", "registry.test/a:2"]);
        assert_eq!(names_of("own", &own).unwrap(), ["registry.test/a:1", "registry.test/a:2"]);
        let by_reference = r#"{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"x.test/b:1"}},
            {"annotations":{"org.opencontainers.image.ref.name":"v1"}},{}]}"#;
        assert_eq!(names_of("oci", &tar_of("./index.json", by_reference)).unwrap(), ["x.test/b:1"]);
        let docker = r#"[{"RepoTags":["web:1","a/b:2","localhost/c:3"]},{"RepoTags":null}]"#;
        assert_eq!(
            names_of("docker", &tar_of("manifest.json", docker)).unwrap(),
            ["docker.io/library/web:1", "docker.io/a/b:2", "localhost/c:3"]
        );
    }

    #[test]
    fn names_that_the_runtime_never_shows_are_refused() {
        for (name, full) in [
            ("app:1", "docker.io/library/app:1"),
            ("me/app:1", "docker.io/me/app:1"),
            ("docker.io/app:1", "docker.io/library/app:1"),
            ("x.test/app", "x.test/app:latest"),
            ("x.test:5000/app", "x.test:5000/app:latest"),
        ] {
            let index = format!(
                r#"{{"manifests":[{{"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}]}}"#
            );
            let error = names_of("short", &tar_of("index.json", &index)).unwrap_err();
            assert!(error.contains(&format!("{name:?}")) && error.contains(&format!("{full:?}")), "{error}");
            let good = index.replace(name, full);
            assert_eq!(names_of("full", &tar_of("index.json", &good)).unwrap(), [full]);
        }
        let digest = format!("x.test/app@sha256:{}", "0f".repeat(32));
        assert_eq!(full_name(&digest), digest);
    }

    /// An archive whose first entry of that type says that it is so long, and is a hole in the file.
    fn extended(kind: tar::EntryType, bytes: u64) -> Result<Vec<String>, String> {
        let path =
            std::env::temp_dir().join(format!("corten-archive-{}-{kind:?}{bytes}", std::process::id()));
        let mut header = tar::Header::new_gnu();
        header.set_path("x").unwrap();
        header.set_entry_type(kind);
        header.set_size(bytes);
        header.set_cksum();
        let file = File::create(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, header.as_bytes(), 0).unwrap();
        let index = tar_of(
            "index.json",
            r#"{"manifests":[{"annotations":{"io.containerd.image.name":"x.test/a:1"}}]}"#,
        );
        std::os::unix::fs::FileExt::write_all_at(&file, &index, 512 + bytes.next_multiple_of(512)).unwrap();
        let names = archive_names(&path).map_err(|e| e.to_string());
        std::fs::remove_file(&path).unwrap();
        names
    }

    #[test]
    fn what_extends_a_header_is_bounded() {
        for kind in [tar::EntryType::GNULongName, tar::EntryType::GNULongLink, tar::EntryType::XHeader] {
            let error = extended(kind, 8 << 30).unwrap_err();
            assert!(error.contains("too long a name"), "{kind:?}: {error}");
        }
        assert_eq!(extended(tar::EntryType::GNULongLink, 4096).unwrap(), ["x.test/a:1"]);
        // A layer may be as long as it likes.
        assert_eq!(extended(tar::EntryType::Regular, 8 << 30).unwrap(), ["x.test/a:1"]);
    }

    #[test]
    fn what_is_no_archive_is_named() {
        let cases: [(&str, Vec<u8>, &str); 7] = [
            ("text", b"hello\n".to_vec(), "it is not an image archive"),
            ("random", (0..4096_u32).map(|n| (n * 7919 % 251) as u8).collect(), "it is not an image archive"),
            ("empty", Vec::new(), "there is no index.json"),
            ("other", tar_of("photo", "x"), "there is no index.json"),
            ("json", tar_of("index.json", "{"), "index.json: EOF"),
            ("gzip", vec![0x1f, 0x8b, 8, 0], "it is compressed: unpack it first (gunzip)"),
            ("nameless", tar_of("index.json", r#"{"manifests":[{}]}"#), "have no names"),
        ];
        for (case, bytes, want) in cases {
            let error = names_of(case, &bytes).unwrap_err();
            assert!(error.contains(want), "{case}: {error}");
        }
        assert!(archive_names(Path::new("/no/such/file")).unwrap_err().to_string().contains("No such file"));
    }
}
