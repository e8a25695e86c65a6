//! The pause program: what keeps a sandbox's namespaces open, and reaps orphans when the pod
//! shares its PID namespace.
//!
//! It is assembled here, byte by byte, so that a cluster starts without a network, a compiler or a
//! C library. It does this, and no more:
//!
//! ```text
//! block SIGINT, SIGTERM, SIGCHLD
//! loop: wait for one of them; SIGCHLD: reap all dead children; SIGINT, SIGTERM: exit 0
//! ```
//!
//! Behind the code lies the signal set (8 bytes): bit n-1 stands for signal n.

use super::elf::Program;
use super::{Image, ImageBuilder, ImageError};

/// The full name under which the pause image is imported. `.invalid` never resolves, so nothing
/// can ever be pulled in its place.
pub const PAUSE_NAME: &str = "corten.invalid/pause:1";

/// SIGINT (2), SIGTERM (15), SIGCHLD (17).
const SIGNAL_SET: u64 = 1 << (2 - 1) | 1 << (15 - 1) | 1 << (17 - 1);

/// x86_64. Syscall number in eax; arguments in edi, esi, edx, r10. The set lies at 0x400110.
#[rustfmt::skip]
const X86_64: &[u8] = &[
    0xb8, 0x0e, 0x00, 0x00, 0x00,       // 00        mov   eax, 14     rt_sigprocmask
    0x31, 0xff,                         // 05        xor   edi, edi    SIG_BLOCK
    0xbe, 0x10, 0x01, 0x40, 0x00,       // 07        mov   esi, set
    0x31, 0xd2,                         // 0c        xor   edx, edx    no old set
    0x41, 0xba, 0x08, 0x00, 0x00, 0x00, // 0e        mov   r10d, 8     size of the set
    0x0f, 0x05,                         // 14        syscall
    0xb8, 0x80, 0x00, 0x00, 0x00,       // 16 wait:  mov   eax, 128    rt_sigtimedwait
    0xbf, 0x10, 0x01, 0x40, 0x00,       // 1b        mov   edi, set
    0x31, 0xf6,                         // 20        xor   esi, esi    no siginfo
    0x31, 0xd2,                         // 22        xor   edx, edx    no timeout
    0x41, 0xba, 0x08, 0x00, 0x00, 0x00, // 24        mov   r10d, 8
    0x0f, 0x05,                         // 2a        syscall
    0x83, 0xf8, 0x11,                   // 2c        cmp   eax, 17     SIGCHLD
    0x74, 0x0d,                         // 2f        je    reap
    0x85, 0xc0,                         // 31        test  eax, eax    interrupted: again
    0x78, 0xe1,                         // 33        js    wait
    0xb8, 0x3c, 0x00, 0x00, 0x00,       // 35        mov   eax, 60     exit
    0x31, 0xff,                         // 3a        xor   edi, edi    status 0
    0x0f, 0x05,                         // 3c        syscall
    0xb8, 0x3d, 0x00, 0x00, 0x00,       // 3e reap:  mov   eax, 61     wait4
    0xbf, 0xff, 0xff, 0xff, 0xff,       // 43        mov   edi, -1     any child
    0x31, 0xf6,                         // 48        xor   esi, esi    no status
    0xba, 0x01, 0x00, 0x00, 0x00,       // 4a        mov   edx, 1      WNOHANG
    0x45, 0x31, 0xd2,                   // 4f        xor   r10d, r10d  no rusage
    0x0f, 0x05,                         // 52        syscall
    0x85, 0xc0,                         // 54        test  eax, eax
    0x7f, 0xe6,                         // 56        jg    reap        one reaped: next
    0xeb, 0xbc,                         // 58        jmp   wait
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, // 5a        nop               to 0x60
];

/// aarch64, one word an instruction. Syscall number in x8; arguments in x0 to x3. The set lies 0x70
/// behind the code's start and is addressed relative to the instruction.
#[rustfmt::skip]
const AARCH64: &[u32] = &[
    0xd280_0000, // 00        mov  x0, 0      SIG_BLOCK
    0x1000_0361, // 04        adr  x1, set
    0xd280_0002, // 08        mov  x2, 0      no old set
    0xd280_0103, // 0c        mov  x3, 8      size of the set
    0xd280_10e8, // 10        mov  x8, 135    rt_sigprocmask
    0xd400_0001, // 14        svc  0
    0x1000_02c0, // 18 wait:  adr  x0, set
    0xd280_0001, // 1c        mov  x1, 0      no siginfo
    0xd280_0002, // 20        mov  x2, 0      no timeout
    0xd280_0103, // 24        mov  x3, 8
    0xd280_1128, // 28        mov  x8, 137    rt_sigtimedwait
    0xd400_0001, // 2c        svc  0
    0xf100_441f, // 30        cmp  x0, 17     SIGCHLD
    0x5400_00a0, // 34        b.eq reap
    0xb7ff_ff00, // 38        tbnz x0, 63, wait   interrupted: again
    0xd280_0000, // 3c        mov  x0, 0      status 0
    0xd280_0ba8, // 40        mov  x8, 93     exit
    0xd400_0001, // 44        svc  0
    0x9280_0000, // 48 reap:  mov  x0, -1     any child
    0xd280_0001, // 4c        mov  x1, 0      no status
    0xd280_0022, // 50        mov  x2, 1      WNOHANG
    0xd280_0003, // 54        mov  x3, 0      no rusage
    0xd280_2088, // 58        mov  x8, 260    wait4
    0xd400_0001, // 5c        svc  0
    0xf100_001f, // 60        cmp  x0, 0
    0x54ff_ff2c, // 64        b.gt reap       one reaped: next
    0x17ff_ffec, // 68        b    wait
    0xd503_201f, // 6c        nop             to 0x70
];

/// The pause program as a static ELF file for `architecture` (as in `std::env::consts::ARCH`).
///
/// Errors: an architecture without code here.
pub fn pause_program(architecture: &str) -> Result<Vec<u8>, ImageError> {
    Program { x86_64: X86_64, aarch64: AARCH64 }.file(architecture, &SIGNAL_SET.to_le_bytes())
}

/// The sandbox image for this machine: nothing but `/pause`.
pub fn pause_image() -> Result<Image, ImageError> {
    let program = pause_program(std::env::consts::ARCH)?;
    ImageBuilder::new().file("/pause", &program, 0o755).entrypoint(&["/pause"]).user("65535:65535").build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_lies_where_the_code_looks() {
        let x86 = pause_program("x86_64").unwrap();
        assert_eq!(x86.len(), 0x118);
        assert_eq!(x86[0x110..], SIGNAL_SET.to_le_bytes());
        let arm = pause_program("aarch64").unwrap();
        assert_eq!(arm.len(), 0xb0 + 0x70 + 8);
        assert_eq!(arm[0x120..], SIGNAL_SET.to_le_bytes());
    }

    #[test]
    fn an_unknown_machine_is_named() {
        let error = pause_program("riscv64").unwrap_err();
        assert!(error.to_string().contains("riscv64"), "{error}");
    }

    /// The program runs, goes on after a SIGCHLD without children, and ends on SIGTERM.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[test]
    fn sigterm_ends_it_with_status_0() {
        use crate::image::elf::tests::Executable;
        let program = Executable::write("pause", &pause_program(std::env::consts::ARCH).unwrap());
        let mut child = program.spawn();
        let pid = rustix::process::Pid::from_child(&child);
        // It sleeps nowhere but in its wait for signals. (While it waits the kernel shows the set as
        // not blocked, so SigBlk tells nothing.)
        let waits = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            assert!(!status.contains("State:\tZ"), "it ended too early");
            status.contains("State:\tS")
        };
        while !waits() {
            std::thread::yield_now();
        }
        rustix::process::kill_process(pid, rustix::process::Signal::CHILD).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
