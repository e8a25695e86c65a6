//! The hello program: a web server that says hello from its pod, so that the first application of a cluster needs no
//! registry and no network.
//!
//! Like the pause program it is assembled here. It serves one request a connection, each in a process of its own
//! (so that a client that says nothing holds up nobody), and no more than this:
//!
//! ```text
//! SIGTERM, SIGINT: exit 0; children are reaped by the kernel (SIGCHLD is ignored)
//! listen on the port; loop: accept, fork; the child:
//!     read up to 4 KiB (at most 5 s), answer 200 "Hello from <host name>", say that nothing follows,
//!     read until the client has gone, exit 0
//! ```
//!
//! Behind the code lie the constants that [`constants`] makes, at the addresses that the code was assembled for.

use super::elf::{BASE, CODE_OFFSET, Program};
use super::{Image, ImageBuilder, ImageError};

/// The full name under which the image is imported. `.invalid` never resolves, so nothing can ever be pulled in its
/// place.
pub const HELLO_NAME: &str = "corten.invalid/hello:1";
/// The port it listens on.
pub const HELLO_PORT: u16 = 8080;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nHello from ";
/// How long a client may be silent.
const IDLE_SECONDS: u64 = 5;

/// x86_64. Syscall number in eax; arguments in edi, esi, edx, r10, r8, r9. The constants lie at 0x400238.
#[rustfmt::skip]
const X86_64: &[u8] = &[
    0xb8, 0x0d, 0x00, 0x00, 0x00,                    // 000          mov eax, 13            rt_sigaction
    0xbf, 0x0f, 0x00, 0x00, 0x00,                    // 005          mov edi, 15            SIGTERM
    0xbe, 0x38, 0x02, 0x40, 0x00,                    // 00a          mov esi, action
    0x31, 0xd2,                                      // 00f          xor edx, edx
    0x41, 0xba, 0x08, 0x00, 0x00, 0x00,              // 011          mov r10d, 8
    0x0f, 0x05,                                      // 017          syscall
    0xb8, 0x0d, 0x00, 0x00, 0x00,                    // 019          mov eax, 13            rt_sigaction
    0xbf, 0x02, 0x00, 0x00, 0x00,                    // 01e          mov edi, 2             SIGINT
    0x0f, 0x05,                                      // 023          syscall
    0xb8, 0x0d, 0x00, 0x00, 0x00,                    // 025          mov eax, 13            rt_sigaction
    0xbf, 0x11, 0x00, 0x00, 0x00,                    // 02a          mov edi, 17            SIGCHLD
    0xbe, 0x58, 0x02, 0x40, 0x00,                    // 02f          mov esi, ignore
    0x0f, 0x05,                                      // 034          syscall
    0x48, 0x81, 0xec, 0x00, 0x12, 0x00, 0x00,        // 036          sub rsp, 4608          room for a request, and for what uname says
    0xb8, 0x3f, 0x00, 0x00, 0x00,                    // 03d          mov eax, 63            uname
    0x48, 0x8d, 0xbc, 0x24, 0x00, 0x10, 0x00, 0x00,  // 042          lea rdi, [rsp+4096]
    0x0f, 0x05,                                      // 04a          syscall
    0x48, 0x8d, 0x9c, 0x24, 0x41, 0x10, 0x00, 0x00,  // 04c          lea rbx, [rsp+4161]    the host's name in it
    0x49, 0x89, 0xdd,                                // 054          mov r13, rbx
    0x41, 0x80, 0x7d, 0x00, 0x00,                    // 057 len:     cmp byte [r13], 0
    0x74, 0x05,                                      // 05c          je end
    0x49, 0xff, 0xc5,                                // 05e          inc r13
    0xeb, 0xf4,                                      // 061          jmp len
    0x41, 0xc6, 0x45, 0x00, 0x0a,                    // 063 end:     mov byte [r13], 10     the name's end becomes a line's end
    0x49, 0xff, 0xc5,                                // 068          inc r13
    0x49, 0x29, 0xdd,                                // 06b          sub r13, rbx           length of name and line's end
    0xb8, 0x29, 0x00, 0x00, 0x00,                    // 06e          mov eax, 41            socket
    0xbf, 0x02, 0x00, 0x00, 0x00,                    // 073          mov edi, 2             AF_INET
    0xbe, 0x01, 0x00, 0x00, 0x00,                    // 078          mov esi, 1             SOCK_STREAM
    0x31, 0xd2,                                      // 07d          xor edx, edx
    0x0f, 0x05,                                      // 07f          syscall
    0x41, 0x89, 0xc4,                                // 081          mov r12d, eax
    0xb8, 0x36, 0x00, 0x00, 0x00,                    // 084          mov eax, 54            setsockopt
    0x44, 0x89, 0xe7,                                // 089          mov edi, r12d
    0xbe, 0x01, 0x00, 0x00, 0x00,                    // 08c          mov esi, 1             SOL_SOCKET
    0xba, 0x02, 0x00, 0x00, 0x00,                    // 091          mov edx, 2             SO_REUSEADDR
    0x41, 0xba, 0x98, 0x02, 0x40, 0x00,              // 096          mov r10d, one
    0x41, 0xb8, 0x04, 0x00, 0x00, 0x00,              // 09c          mov r8d, 4
    0x0f, 0x05,                                      // 0a2          syscall
    0xb8, 0x36, 0x00, 0x00, 0x00,                    // 0a4          mov eax, 54            setsockopt
    0xba, 0x14, 0x00, 0x00, 0x00,                    // 0a9          mov edx, 20            SO_RCVTIMEO, which accepted sockets inherit
    0x41, 0xba, 0x88, 0x02, 0x40, 0x00,              // 0ae          mov r10d, idle
    0x41, 0xb8, 0x10, 0x00, 0x00, 0x00,              // 0b4          mov r8d, 16
    0x0f, 0x05,                                      // 0ba          syscall
    0xb8, 0x36, 0x00, 0x00, 0x00,                    // 0bc          mov eax, 54            setsockopt
    0xba, 0x15, 0x00, 0x00, 0x00,                    // 0c1          mov edx, 21            SO_SNDTIMEO
    0x0f, 0x05,                                      // 0c6          syscall
    0xb8, 0x31, 0x00, 0x00, 0x00,                    // 0c8          mov eax, 49            bind
    0xbe, 0x78, 0x02, 0x40, 0x00,                    // 0cd          mov esi, address
    0xba, 0x10, 0x00, 0x00, 0x00,                    // 0d2          mov edx, 16
    0x0f, 0x05,                                      // 0d7          syscall
    0x85, 0xc0,                                      // 0d9          test eax, eax
    0x0f, 0x85, 0x9b, 0x00, 0x00, 0x00,              // 0db          jne fail
    0xb8, 0x32, 0x00, 0x00, 0x00,                    // 0e1          mov eax, 50            listen
    0xbe, 0x80, 0x00, 0x00, 0x00,                    // 0e6          mov esi, 128           waiting connections
    0x0f, 0x05,                                      // 0eb          syscall
    0xb8, 0x2b, 0x00, 0x00, 0x00,                    // 0ed accept:  mov eax, 43            accept
    0x44, 0x89, 0xe7,                                // 0f2          mov edi, r12d
    0x31, 0xf6,                                      // 0f5          xor esi, esi
    0x31, 0xd2,                                      // 0f7          xor edx, edx
    0x0f, 0x05,                                      // 0f9          syscall
    0x85, 0xc0,                                      // 0fb          test eax, eax
    0x78, 0xee,                                      // 0fd          js accept
    0x41, 0x89, 0xc6,                                // 0ff          mov r14d, eax
    0xb8, 0x39, 0x00, 0x00, 0x00,                    // 102          mov eax, 57            fork
    0x0f, 0x05,                                      // 107          syscall
    0x85, 0xc0,                                      // 109          test eax, eax
    0x74, 0x0c,                                      // 10b          je child
    0xb8, 0x03, 0x00, 0x00, 0x00,                    // 10d          mov eax, 3             close
    0x44, 0x89, 0xf7,                                // 112          mov edi, r14d
    0x0f, 0x05,                                      // 115          syscall
    0xeb, 0xd4,                                      // 117          jmp accept
    0x31, 0xc0,                                      // 119 child:   xor eax, eax           read
    0x44, 0x89, 0xf7,                                // 11b          mov edi, r14d
    0x48, 0x89, 0xe6,                                // 11e          mov rsi, rsp
    0xba, 0x00, 0x10, 0x00, 0x00,                    // 121          mov edx, 4096
    0x0f, 0x05,                                      // 126          syscall
    0x85, 0xc0,                                      // 128          test eax, eax
    0x7e, 0x4c,                                      // 12a          jle handler
    0xb8, 0x2c, 0x00, 0x00, 0x00,                    // 12c          mov eax, 44            sendto
    0xbe, 0xa0, 0x02, 0x40, 0x00,                    // 131          mov esi, answer
    0xba, 0x4b, 0x00, 0x00, 0x00,                    // 136          mov edx, 75
    0x41, 0xba, 0x00, 0xc0, 0x00, 0x00,              // 13b          mov r10d, 49152        MSG_MORE, MSG_NOSIGNAL
    0x45, 0x31, 0xc0,                                // 141          xor r8d, r8d
    0x45, 0x31, 0xc9,                                // 144          xor r9d, r9d
    0x0f, 0x05,                                      // 147          syscall
    0xb8, 0x2c, 0x00, 0x00, 0x00,                    // 149          mov eax, 44            sendto
    0x48, 0x89, 0xde,                                // 14e          mov rsi, rbx
    0x44, 0x89, 0xea,                                // 151          mov edx, r13d
    0x41, 0xba, 0x00, 0x40, 0x00, 0x00,              // 154          mov r10d, 16384        MSG_NOSIGNAL
    0x0f, 0x05,                                      // 15a          syscall
    0xb8, 0x30, 0x00, 0x00, 0x00,                    // 15c          mov eax, 48            shutdown
    0xbe, 0x01, 0x00, 0x00, 0x00,                    // 161          mov esi, 1             SHUT_WR
    0x0f, 0x05,                                      // 166          syscall
    0x31, 0xc0,                                      // 168 drain:   xor eax, eax           read until the client has read all
    0x48, 0x89, 0xe6,                                // 16a          mov rsi, rsp
    0xba, 0x00, 0x10, 0x00, 0x00,                    // 16d          mov edx, 4096
    0x0f, 0x05,                                      // 172          syscall
    0x85, 0xc0,                                      // 174          test eax, eax
    0x7f, 0xf0,                                      // 176          jg drain
    0x31, 0xff,                                      // 178 handler: xor edi, edi
    0xeb, 0x05,                                      // 17a          jmp exit
    0xbf, 0x01, 0x00, 0x00, 0x00,                    // 17c fail:    mov edi, 1             status 1
    0xb8, 0xe7, 0x00, 0x00, 0x00,                    // 181 exit:    mov eax, 231           exit_group
    0x0f, 0x05,                                      // 186          syscall
];

/// aarch64, one word an instruction. Syscall number in x8; arguments in x0 to x5. The constants lie 0x1c0 behind the
/// code's start and are addressed relative to the instruction.
#[rustfmt::skip]
const AARCH64: &[u32] = &[
    0x1000_0e01, // 000          adr x1, action
    0xd280_01e0, // 004          mov x0, 15               SIGTERM
    0xd280_0002, // 008          mov x2, 0
    0xd280_0103, // 00c          mov x3, 8
    0xd280_10c8, // 010          mov x8, 134              rt_sigaction
    0xd400_0001, // 014          svc 0
    0xd280_0040, // 018          mov x0, 2                SIGINT
    0xd400_0001, // 01c          svc 0
    0x1000_0e01, // 020          adr x1, ignore
    0xd280_0220, // 024          mov x0, 17               SIGCHLD
    0xd400_0001, // 028          svc 0
    0xd140_07ff, // 02c          sub sp, sp, 4096         room for a request, and for what uname says
    0xd108_03ff, // 030          sub sp, sp, 512
    0x9140_07e0, // 034          add x0, sp, 4096
    0xd280_1408, // 038          mov x8, 160              uname
    0xd400_0001, // 03c          svc 0
    0x9140_07f3, // 040          add x19, sp, 4096        the host's name in it
    0x9101_0673, // 044          add x19, x19, 65
    0xaa13_03f4, // 048          mov x20, x19
    0x3940_0280, // 04c len:     ldrb w0, [x20]
    0x3400_0060, // 050          cbz w0, end
    0x9100_0694, // 054          add x20, x20, 1
    0x17ff_fffd, // 058          b len
    0x5280_0140, // 05c end:     mov w0, 10               the name's end becomes a line's end
    0x3800_1680, // 060          strb w0, [x20], 1
    0xcb13_0294, // 064          sub x20, x20, x19        length of name and line's end
    0xd280_0040, // 068          mov x0, 2                AF_INET
    0xd280_0021, // 06c          mov x1, 1                SOCK_STREAM
    0xd280_0002, // 070          mov x2, 0
    0xd280_18c8, // 074          mov x8, 198              socket
    0xd400_0001, // 078          svc 0
    0xaa00_03f5, // 07c          mov x21, x0
    0xd280_0021, // 080          mov x1, 1                SOL_SOCKET
    0xd280_0042, // 084          mov x2, 2                SO_REUSEADDR
    0x1000_0cc3, // 088          adr x3, one
    0xd280_0084, // 08c          mov x4, 4
    0xd280_1a08, // 090          mov x8, 208              setsockopt
    0xd400_0001, // 094          svc 0
    0xaa15_03e0, // 098          mov x0, x21
    0xd280_0282, // 09c          mov x2, 20               SO_RCVTIMEO, which accepted sockets inherit
    0x1000_0b83, // 0a0          adr x3, idle
    0xd280_0204, // 0a4          mov x4, 16
    0xd400_0001, // 0a8          svc 0
    0xaa15_03e0, // 0ac          mov x0, x21
    0xd280_02a2, // 0b0          mov x2, 21               SO_SNDTIMEO
    0xd400_0001, // 0b4          svc 0
    0xaa15_03e0, // 0b8          mov x0, x21
    0x1000_0a21, // 0bc          adr x1, address
    0xd280_0202, // 0c0          mov x2, 16
    0xd280_1908, // 0c4          mov x8, 200              bind
    0xd400_0001, // 0c8          svc 0
    0xb500_0720, // 0cc          cbnz x0, fail
    0xaa15_03e0, // 0d0          mov x0, x21
    0xd280_1001, // 0d4          mov x1, 128              waiting connections
    0xd280_1928, // 0d8          mov x8, 201              listen
    0xd400_0001, // 0dc          svc 0
    0xaa15_03e0, // 0e0 accept:  mov x0, x21
    0xd280_0001, // 0e4          mov x1, 0
    0xd280_0002, // 0e8          mov x2, 0
    0xd280_1948, // 0ec          mov x8, 202              accept
    0xd400_0001, // 0f0          svc 0
    0xb7ff_ff60, // 0f4          tbnz x0, 63, accept
    0xaa00_03f6, // 0f8          mov x22, x0
    0xd280_0220, // 0fc          mov x0, 17               SIGCHLD at its end
    0xd280_0001, // 100          mov x1, 0
    0xd280_0002, // 104          mov x2, 0
    0xd280_0003, // 108          mov x3, 0
    0xd280_0004, // 10c          mov x4, 0
    0xd280_1b88, // 110          mov x8, 220              clone
    0xd400_0001, // 114          svc 0
    0xb400_00a0, // 118          cbz x0, child
    0xaa16_03e0, // 11c          mov x0, x22
    0xd280_0728, // 120          mov x8, 57               close
    0xd400_0001, // 124          svc 0
    0x17ff_ffee, // 128          b accept
    0xaa16_03e0, // 12c child:   mov x0, x22
    0x9100_03e1, // 130          mov x1, sp
    0xd282_0002, // 134          mov x2, 4096
    0xd280_07e8, // 138          mov x8, 63               read
    0xd400_0001, // 13c          svc 0
    0xf100_001f, // 140          cmp x0, 0
    0x5400_032d, // 144          b.le handler
    0xaa16_03e0, // 148          mov x0, x22
    0x1000_06e1, // 14c          adr x1, answer
    0xd280_0962, // 150          mov x2, 75
    0xd298_0003, // 154          mov x3, 49152            MSG_MORE, MSG_NOSIGNAL
    0xd280_0004, // 158          mov x4, 0
    0xd280_0005, // 15c          mov x5, 0
    0xd280_19c8, // 160          mov x8, 206              sendto
    0xd400_0001, // 164          svc 0
    0xaa16_03e0, // 168          mov x0, x22
    0xaa13_03e1, // 16c          mov x1, x19
    0xaa14_03e2, // 170          mov x2, x20
    0xd288_0003, // 174          mov x3, 16384            MSG_NOSIGNAL
    0xd400_0001, // 178          svc 0
    0xaa16_03e0, // 17c          mov x0, x22
    0xd280_0021, // 180          mov x1, 1                SHUT_WR
    0xd280_1a48, // 184          mov x8, 210              shutdown
    0xd400_0001, // 188          svc 0
    0xaa16_03e0, // 18c drain:   mov x0, x22              until the client has read all
    0x9100_03e1, // 190          mov x1, sp
    0xd282_0002, // 194          mov x2, 4096
    0xd280_07e8, // 198          mov x8, 63               read
    0xd400_0001, // 19c          svc 0
    0xf100_001f, // 1a0          cmp x0, 0
    0x54ff_ff4c, // 1a4          b.gt drain
    0xd280_0000, // 1a8 handler: mov x0, 0
    0x1400_0002, // 1ac          b exit
    0xd280_0020, // 1b0 fail:    mov x0, 1                status 1
    0xd280_0bc8, // 1b4 exit:    mov x8, 94               exit_group
    0xd400_0001, // 1b8          svc 0
    0xd503_201f, // 1bc          nop                      to 0x1c0
];

/// Where the handler of the signals, which ends the process, is in the code.
const X86_64_HANDLER: u64 = 0x178;
const AARCH64_HANDLER: u64 = 0x1a8;

/// In the kernel's form, each at a fixed place: what to do on a signal, a signal that is ignored, the address to
/// listen on, the time limit, the number 1, and the answer up to the host's name.
fn constants(handler: u64, port: u16) -> Vec<u8> {
    const SA_RESTORER: u64 = 0x0400_0000;
    const SIG_IGN: u64 = 1;
    let handler = BASE + CODE_OFFSET + handler;
    // The handler never returns, so what restores the context after it is never called.
    let action = [handler, SA_RESTORER, handler, 0];
    let ignore = [SIG_IGN, 0, 0, 0];
    let address = [2_u16.to_le_bytes(), port.to_be_bytes()].concat();
    let mut bytes: Vec<u8> = action.into_iter().chain(ignore).flat_map(u64::to_le_bytes).collect();
    bytes.extend(address);
    bytes.extend([0; 12]); // every address of this host, and padding
    bytes.extend([IDLE_SECONDS, 0, 1].into_iter().flat_map(u64::to_le_bytes));
    bytes.extend(ANSWER);
    bytes
}

/// The hello program as a static ELF file for `architecture` (as in `std::env::consts::ARCH`).
///
/// Errors: an architecture without code here.
pub fn hello_program(architecture: &str, port: u16) -> Result<Vec<u8>, ImageError> {
    let handler = if architecture == "aarch64" { AARCH64_HANDLER } else { X86_64_HANDLER };
    Program { x86_64: X86_64, aarch64: AARCH64 }.file(architecture, &constants(handler, port))
}

/// The image for this machine: nothing but `/hello`.
///
/// Errors: an architecture without code here.
pub fn hello_image() -> Result<Image, ImageError> {
    let program = hello_program(std::env::consts::ARCH, HELLO_PORT)?;
    ImageBuilder::new()
        .file("/hello", &program, 0o755)
        .entrypoint(&["/hello"])
        .port(&format!("{HELLO_PORT}/tcp"))
        .user("65534:65534")
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_lie_where_the_code_looks() {
        for (architecture, at) in [("x86_64", 0x238), ("aarch64", 0xb0 + 0x1c0)] {
            let program = hello_program(architecture, 0x1234).unwrap();
            assert_eq!(program[at + 64..at + 68], [2, 0, 0x12, 0x34], "{architecture}");
            assert_eq!(program[at + 104..], *ANSWER, "{architecture}");
        }
        // The code holds the length too.
        assert_eq!(ANSWER.len(), 75);
        assert!(hello_program("riscv64", 80).unwrap_err().to_string().contains("riscv64"));
    }

    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[test]
    fn says_hello_to_each_client_and_ends_on_sigterm() {
        use crate::image::elf::tests::Executable;
        use std::io::{Read, Write};
        use std::net::{Ipv4Addr, TcpListener, TcpStream};

        // A port that nobody else is given for now: the program takes over an address in this state.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let program = Executable::write("hello", &hello_program(std::env::consts::ARCH, port).unwrap());
        let mut child = program.spawn();
        let mut connect = || loop {
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                return stream;
            }
            assert_eq!(child.try_wait().unwrap(), None, "it ended too early");
            std::thread::yield_now();
        };
        // One that says nothing holds up nobody.
        let silent = connect();
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        for _ in 0..3 {
            let mut stream = connect();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with(&format!("\r\n\r\nHello from {name}")), "{answer}");
        }
        drop(silent);
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
