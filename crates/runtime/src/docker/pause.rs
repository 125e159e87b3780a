//! The process that holds what the containers of a sandbox share, where they share something: the
//! numbers of their processes, or their shared memory. It needs an image, which is made on the spot.

use bytes::Bytes;

/// The image's name on the Engine.
pub(crate) const IMAGE: &str = "wharf-pause:1";
/// The program in it.
pub(crate) const PROGRAM: &str = "/pause";

/// Code that ignores the end of children, so that the kernel reaps them, and then waits for ever:
///
/// ```text
///     mov  edi, 17 (SIGCHLD)   lea rsi, [act]   xor edx, edx   mov r10d, 8
///     mov  eax, 13 (rt_sigaction)               syscall
/// on: mov  eax, 34 (pause)     syscall          jmp on
/// act: 1 (SIG_IGN), 0, 0, 0
/// ```
#[cfg(target_arch = "x86_64")]
const CODE: Option<&[u8]> = Some(&[
    0xbf, 0x11, 0, 0, 0, 0x48, 0x8d, 0x35, 0x18, 0, 0, 0, 0x31, 0xd2, 0x41, 0xba, 8, 0, 0, 0, 0xb8,
    0x0d, 0, 0, 0, 0x0f, 0x05, 0xb8, 0x22, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7, 1, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);
/// No such code was written for this architecture.
#[cfg(not(target_arch = "x86_64"))]
const CODE: Option<&[u8]> = None;

/// Where the program is loaded.
const BASE: u64 = 0x40_0000;
/// Of ELF's file header and of one program header.
const HEADERS: u64 = 64 + 56;

/// The program as an ELF file of one segment; none on an architecture it was not written for.
fn program() -> Option<Vec<u8>> {
    let code = CODE?;
    let size = HEADERS + code.len() as u64;
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // An executable for x86-64 of version 1.
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS, 64, 0] {
        elf.extend(word.to_le_bytes());
    }
    // No flags; the sizes and numbers of headers.
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    // A segment to load, to read and execute.
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(code);
    Some(elf)
}

/// The image's files as an archive.
pub(crate) fn archive() -> Option<Bytes> {
    let program = program()?;
    let mut header = tar::Header::new_ustar();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, PROGRAM.trim_start_matches('/'), program.as_slice()).ok()?;
    archive.into_inner().ok().map(Bytes::from)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn the_program_runs_until_it_is_killed() {
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::ExitStatusExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pause");
        std::fs::write(&path, program().unwrap()).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let mut child = std::process::Command::new(&path).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(archive().unwrap().len() >= 1024);
    }
}
