//! The parts of an image as bytes, and the OCI layout archive that carries them.

use sha2::{Digest, Sha256};

const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

/// Type, digest (`sha256:<hex>`) and size in bytes of one blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    pub media_type: &'static str,
    pub digest: String,
    pub size_bytes: usize,
}

impl Descriptor {
    fn of(media_type: &'static str, bytes: &[u8]) -> Self {
        Self { media_type, digest: Self::digest_of(bytes), size_bytes: bytes.len() }
    }

    /// `sha256:<hex>` of some bytes.
    pub fn digest_of(bytes: &[u8]) -> String {
        let mut text = String::from("sha256:");
        for byte in Sha256::digest(bytes) {
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes,
        })
    }
}

/// A finished one-layer image.
#[derive(Debug, Clone)]
pub struct Image {
    blobs: [(Descriptor, Vec<u8>); 3],
}

impl Image {
    pub(super) fn new(layer: Vec<u8>, config: Vec<u8>) -> Self {
        let layer_descriptor = Descriptor::of(LAYER_TYPE, &layer);
        let config_descriptor = Descriptor::of(CONFIG_TYPE, &config);
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config_descriptor.json(),
            "layers": [layer_descriptor.json()],
        })
        .to_string()
        .into_bytes();
        let manifest_descriptor = Descriptor::of(MANIFEST_TYPE, &manifest);
        Self {
            blobs: [(layer_descriptor, layer), (config_descriptor, config), (manifest_descriptor, manifest)],
        }
    }

    /// The layer's descriptor.
    pub fn layer(&self) -> &Descriptor {
        &self.blobs[0].0
    }

    /// The layer: an uncompressed tar.
    pub fn layer_bytes(&self) -> &[u8] {
        &self.blobs[0].1
    }

    /// The configuration's descriptor; its digest is the image id.
    pub fn config(&self) -> &Descriptor {
        &self.blobs[1].0
    }

    /// The configuration as JSON.
    pub fn config_bytes(&self) -> &[u8] {
        &self.blobs[1].1
    }

    /// The manifest's descriptor; its digest is what `name@sha256:…` means.
    pub fn manifest(&self) -> &Descriptor {
        &self.blobs[2].0
    }

    /// The manifest as JSON.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.blobs[2].1
    }

    /// An OCI layout in a tar, with the image under each of the full names (`host/path:tag`), in
    /// the form that `ctr images import` takes.
    pub fn oci_archive(&self, names: &[&str]) -> Vec<u8> {
        let manifests: Vec<_> = names
            .iter()
            .map(|name| {
                let mut entry = self.manifest().json();
                let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
                entry["annotations"] = serde_json::json!({
                    "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag,
                });
                entry
            })
            .collect();
        let index =
            serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests });
        let mut tar = TarWriter::default();
        let fits = "a layout's names are short";
        tar.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644).expect(fits);
        tar.file("index.json", index.to_string().as_bytes(), 0o644).expect(fits);
        tar.dir("blobs", 0o755).expect(fits);
        tar.dir("blobs/sha256", 0o755).expect(fits);
        for (descriptor, bytes) in &self.blobs {
            tar.file(&format!("blobs/{}", descriptor.digest.replace(':', "/")), bytes, 0o644).expect(fits);
        }
        tar.finish()
    }
}

/// Writes a ustar archive with fixed times and owner root.
pub(super) struct TarWriter(tar::Builder<Vec<u8>>);

impl std::fmt::Debug for TarWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TarWriter({} bytes)", self.0.get_ref().len())
    }
}

impl Default for TarWriter {
    fn default() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }
}

impl TarWriter {
    pub(super) fn file(&mut self, path: &str, content: &[u8], mode: u32) -> std::io::Result<()> {
        let size = content.len() as u64;
        let mut header = header(path, tar::EntryType::Regular, mode, size)?;
        header.set_cksum();
        self.0.append(&header, content)
    }

    pub(super) fn dir(&mut self, path: &str, mode: u32) -> std::io::Result<()> {
        let mut header =
            header(&format!("{}/", path.trim_end_matches('/')), tar::EntryType::Directory, mode, 0)?;
        header.set_cksum();
        self.0.append(&header, std::io::empty())
    }

    pub(super) fn symlink(&mut self, path: &str, target: &str) -> std::io::Result<()> {
        let mut header = header(path, tar::EntryType::Symlink, 0o777, 0)?;
        header.set_link_name(target)?;
        header.set_cksum();
        self.0.append(&header, std::io::empty())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("writing to memory cannot fail")
    }
}

fn header(path: &str, kind: tar::EntryType, mode: u32, size: u64) -> std::io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path.trim_start_matches('/'))?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn archive_holds_the_blobs_under_their_digests() {
        let image = Image::new(b"layer".to_vec(), b"{}".to_vec());
        let bytes = image.oci_archive(&["registry.test/app:1"]);
        let mut blobs = 0;
        let mut index = String::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(hex) = path.strip_prefix("blobs/sha256/").filter(|h| !h.is_empty()) {
                assert_eq!(Descriptor::digest_of(&content), format!("sha256:{hex}"));
                blobs += 1;
            } else if path == "index.json" {
                index = String::from_utf8(content).unwrap();
            }
        }
        assert_eq!(blobs, 3);
        assert!(index.contains(r#""io.containerd.image.name":"registry.test/app:1""#), "{index}");
        assert!(index.contains(&image.manifest().digest));
    }

    #[test]
    fn digest_is_sha256() {
        assert_eq!(
            Descriptor::digest_of(b""),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
