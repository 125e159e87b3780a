//! The program that the suite runs in containers: small, static, and made of words. It is compiled by
//! the suite itself, so that the tests need no image from anywhere.

use std::io::{Read, Write};

unsafe extern "C" {
    fn signal(number: i32, action: usize) -> usize;
    fn getpid() -> i32;
    fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    fn isatty(fd: i32) -> i32;
    fn kill(pid: i32, signal: i32) -> i32;
    fn mount(a: *const u8, b: *const u8, c: *const u8, flags: u64, data: *const u8) -> i32;
    fn mknod(path: *const u8, mode: u32, device: u64) -> i32;
    fn unshare(flags: i32) -> i32;
    fn syscall(number: i64, ...) -> i64;
    fn ioctl(fd: i32, request: u64, size: *mut [u16; 4]) -> i32;
    fn fork() -> i32;
    fn _exit(status: i32) -> !;
    fn pause() -> i32;
}

extern "C" fn on_signal(number: i32) {
    // It may have come in the middle of anything.
    unsafe { _exit(40 + number) };
}

fn say(text: &str) {
    println!("{text}");
    std::io::stdout().flush().unwrap();
}

fn main() {
    let mut now = [0_i64; 2];
    unsafe { clock_gettime(1, &mut now) };
    let args: Vec<String> = std::env::args().collect();
    let mut words = args.iter().skip(1).map(String::as_str);
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or("");
        match word {
            "stamp" => {
                std::fs::write(next(), format!("{}", now[0] * 1_000_000_000 + now[1])).unwrap()
            }
            "exit" => std::process::exit(next().parse().unwrap()),
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_millis(next().parse().unwrap()))
            }
            "forever" => loop {
                std::thread::sleep(std::time::Duration::from_secs(3600));
            },
            "say" => say(next()),
            "warn" => eprintln!("{}", next()),
            "trap" => unsafe {
                signal(next().parse().unwrap(), on_signal as *const () as usize);
            },
            "ignore" => unsafe {
                signal(next().parse().unwrap(), 1);
            },
            "read" => {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).unwrap();
                say(&format!("read {:?}", line.trim_end()));
            }
            "size" => {
                let mut size = [0_u16; 4];
                unsafe { ioctl(0, 0x5413, &mut size) };
                say(&format!("size {} {}", size[0], size[1]));
            }
            "cat" => {
                let path = next();
                match std::fs::read(path) {
                    Ok(bytes) => std::io::stdout().write_all(&bytes).unwrap(),
                    Err(error) => say(&format!("{path}: {error}")),
                }
            }
            "write" => {
                let path = next();
                let done = std::fs::write(path, next());
                say(&done
                    .map_or_else(|error| format!("{path}: {error}"), |()| format!("{path}: ok")));
            }
            "ls" => {
                let path = next();
                let mut names: Vec<_> = std::fs::read_dir(path)
                    .map(|all| {
                        all.flatten().map(|e| e.file_name().into_string().unwrap()).collect()
                    })
                    .unwrap_or_default();
                names.sort();
                say(&format!("{path}: {}", names.join(" ")));
            }
            "stat" => {
                use std::os::unix::fs::MetadataExt;
                let path = next();
                match std::fs::symlink_metadata(path) {
                    Ok(m) => say(&format!(
                        "stat {path} {} {} {:o} {}",
                        m.uid(),
                        m.gid(),
                        m.mode(),
                        m.rdev()
                    )),
                    Err(error) => say(&format!("stat {path} {error}")),
                }
            }
            "nodes" => {
                use std::os::unix::fs::MetadataExt;
                let folder = next();
                let mut lines: Vec<_> = std::fs::read_dir(folder)
                    .unwrap()
                    .flatten()
                    .map(|entry| {
                        let m = std::fs::symlink_metadata(entry.path()).unwrap();
                        let link = std::fs::read_link(entry.path()).unwrap_or_default();
                        let path = entry.path();
                        let (path, link) = (path.display(), link.display());
                        format!("node {path} {} {} {:o} {} {link}", m.uid(), m.gid(), m.mode(), m.rdev())
                    })
                    .collect();
                lines.sort();
                say(&lines.join("\n"));
            }
            "chown" => {
                let path = next();
                let ids = (next().parse().unwrap(), next().parse().unwrap());
                let done = std::os::unix::fs::chown(path, Some(ids.0), Some(ids.1));
                let error = done.map_or_else(|error| error.raw_os_error().unwrap(), |()| 0);
                say(&format!("chown {path} {error}"));
            }
            "link" => say(&format!("{:?}", std::fs::read_link(next()))),
            "env" => {
                let mut all: Vec<_> = std::env::vars().map(|(k, v)| format!("{k}={v}")).collect();
                all.sort();
                say(&all.join("\n"));
            }
            "pid" => say(&format!("pid {}", unsafe { getpid() })),
            "cwd" => say(&format!("cwd {}", std::env::current_dir().unwrap().display())),
            "tty" => say(&format!("tty {}", unsafe { isatty(0) + isatty(1) })),
            "stdin" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).unwrap();
                say(&format!("stdin {text:?}"));
            }
            "hog" => {
                let size: usize = next().parse().unwrap();
                let mut hog = Vec::new();
                for _ in 0..size {
                    hog.push(vec![1_u8; 1 << 20]);
                }
                say(&format!("hogged {}", hog.len()));
            }
            "child" => {
                let me = std::env::current_exe().unwrap_or_else(|_| "/probe".into());
                let line = next();
                let child = std::process::Command::new(me).args(line.split(' ')).status();
                say(&format!(
                    "child {:?}",
                    child.map(|status| status.code()).map_err(|e| e.kind())
                ));
            }
            "orphan" => unsafe {
                if fork() == 0 {
                    if fork() == 0 {
                        pause();
                    }
                    std::process::exit(0);
                }
            },
            "forks" => {
                let wanted: u32 = next().parse().unwrap();
                let mut made = 0;
                for _ in 0..wanted {
                    match unsafe { fork() } {
                        0 => loop {
                            unsafe { pause() };
                        },
                        pid if pid > 0 => made += 1,
                        _ => break,
                    }
                }
                say(&format!("forks {made}"));
            }
            "kill" => {
                let pid = next().parse().unwrap();
                say(&format!("kill {}", unsafe { kill(pid, next().parse().unwrap()) }));
            }
            "mount" => {
                let done = unsafe {
                    let kind = b"tmpfs\0".as_ptr();
                    mount(kind, b"/tmp\0".as_ptr(), kind, 0, std::ptr::null())
                };
                let error = std::io::Error::last_os_error().raw_os_error();
                say(&format!("mount {}", if done == 0 { 0 } else { error.unwrap() }));
            }
            "remount" => {
                let path = format!("{}\0", next());
                // MS_REMOUNT | MS_BIND: the read-only flag is not among them.
                let done = unsafe {
                    let none = b"none\0".as_ptr();
                    mount(none, path.as_ptr(), none, 0x1020, std::ptr::null())
                };
                let error = std::io::Error::last_os_error().raw_os_error();
                say(&format!("remount {}", if done == 0 { 0 } else { error.unwrap() }));
            }
            "mknod" => {
                let path = format!("{}\0", next());
                let (major, minor): (u64, u64) =
                    (next().parse().unwrap(), next().parse().unwrap());
                let done = unsafe { mknod(path.as_ptr(), 0o20_666, major << 8 | minor) };
                let error = std::io::Error::last_os_error().raw_os_error();
                say(&format!("mknod {}", if done == 0 { 0 } else { error.unwrap() }));
            }
            "unshare" => {
                let done = unsafe { unshare(0x1000_0000) };
                let error = std::io::Error::last_os_error().raw_os_error();
                say(&format!("unshare {}", if done == 0 { 0 } else { error.unwrap() }));
            }
            "syscall" => {
                let done = unsafe { syscall(next().parse().unwrap(), 0, 0, 0, 0, 0) };
                let error = std::io::Error::last_os_error().raw_os_error();
                say(&format!("syscall {}", if done >= 0 { 0 } else { error.unwrap() }));
            }
            "open" => {
                let path = next();
                let done = std::fs::File::open(path).map_err(|error| error.raw_os_error().unwrap());
                say(&format!("open {path} {}", done.map_or_else(|error| error, |_| 0)));
            }
            "spin" => loop {
                std::hint::spin_loop();
            },
            other => {
                eprintln!("probe: no word {other}");
                std::process::exit(99);
            }
        }
    }
}
