//! Static executables out of machine code and constants: what the images made here run.
//!
//! The file, mapped as a whole at [`BASE`] (read, execute; nothing but the stack is writable):
//!
//! ```text
//! 0x00  ELF header (64 bytes)
//! 0x40  program header: LOAD, the file      (56 bytes)
//! 0x78  program header: GNU_STACK, not executable (56 bytes)
//! 0xb0  code, a multiple of 8 bytes; it is entered at its start
//!       constants
//! ```

use super::ImageError;

/// Where the file is mapped.
pub(super) const BASE: u64 = 0x40_0000;
/// ELF header and two program headers.
pub(super) const CODE_OFFSET: u64 = 64 + 2 * 56;

/// The same program for both machines.
pub(super) struct Program {
    pub x86_64: &'static [u8],
    pub aarch64: &'static [u32],
}

impl Program {
    /// The executable for `architecture` (as in `std::env::consts::ARCH`).
    ///
    /// Errors: an architecture without code here.
    pub(super) fn file(&self, architecture: &str, constants: &[u8]) -> Result<Vec<u8>, ImageError> {
        let (machine, code) = match architecture {
            "x86_64" => (62, self.x86_64.to_vec()),
            "aarch64" => (183, self.aarch64.iter().flat_map(|word| word.to_le_bytes()).collect()),
            other => return Err(ImageError::Architecture(other.to_owned())),
        };
        Ok(elf(machine, &[&code, constants].concat()))
    }
}

/// A little-endian 64-bit executable of the machine type.
fn elf(machine: u16, code: &[u8]) -> Vec<u8> {
    let size = CODE_OFFSET + code.len() as u64;
    let mut file = Vec::new();
    file.extend(b"\x7fELF");
    file.extend([2, 1, 1, 0]); // 64 bit, little endian, version 1, System V
    file.extend([0; 8]);
    put_u16(&mut file, &[2, machine]); // an executable for the machine
    put_u32(&mut file, &[1]); // version
    put_u64(&mut file, &[BASE + CODE_OFFSET, 64, 0]); // entry, program headers at 64, no sections
    put_u32(&mut file, &[0]); // flags
    put_u16(&mut file, &[64, 56, 2, 0, 0, 0]); // header sizes; two program headers; no sections
    put_u32(&mut file, &[1, 5]); // LOAD, read and execute
    put_u64(&mut file, &[0, BASE, BASE, size, size, 0x1_0000]); // the file; 64 KiB pages fit too
    put_u32(&mut file, &[0x6474_e551, 6]); // GNU_STACK, read and write
    put_u64(&mut file, &[0, 0, 0, 0, 0, 16]);
    file.extend(code);
    file
}

fn put_u16(file: &mut Vec<u8>, values: &[u16]) {
    values.iter().for_each(|value| file.extend(value.to_le_bytes()));
}

fn put_u32(file: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| file.extend(value.to_le_bytes()));
}

fn put_u64(file: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| file.extend(value.to_le_bytes()));
}

/// The programs as files, for tests that run them.
#[cfg(test)]
pub(super) mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;
    use std::process::{Child, Command};

    /// Removed when it is dropped.
    pub struct Executable(PathBuf);

    impl Executable {
        pub fn write(name: &str, program: &[u8]) -> Self {
            let path = std::env::temp_dir().join(format!("corten-{name}-{}", std::process::id()));
            std::fs::write(&path, program).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            Self(path)
        }

        pub fn spawn(&self) -> Child {
            loop {
                match Command::new(&self.0).spawn() {
                    // A process that another test is just starting still has the file open for writing.
                    Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                    child => return child.unwrap(),
                }
            }
        }
    }

    impl Drop for Executable {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}
