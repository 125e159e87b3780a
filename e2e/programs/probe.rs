//! The end-to-end tests' program: does what its arguments say, in their order, and ends with 0.
//!
//! Static and without dependencies, so that its image holds nothing else. Everything that it finds out
//! it prints, one fact a line, so that a test reads it from the logs.

use std::fs;
use std::io::Write;
use std::process::exit;
use std::time::Duration;

const HELP: &str = "probe STEP...
  say TEXT          print a line
  complain TEXT     print a line on standard error
  lines N           print N numbered lines
  env NAME          print NAME=value, or NAME is not set
  limits            print soft and hard limits
  mounts            print what is mounted
  cgroup            print this process's limits as its cgroup has them
  identity          print user, groups, host name, process and working directory
  capabilities      print the effective capabilities as hexadecimal digits
  read FILE         print a file
  write FILE TEXT   write a file; print whether that went well
  await FILE        wait until a file is there
  alloc MIB         take memory and touch it
  sleep SECONDS     wait
  forever           wait for ever
  burn              keep one core busy, for ever
  toil FILE         work a fifth of the time while a file is there
  on-term STATUS    from now on, SIGTERM ends the process with STATUS
  ignore-term       from now on, SIGTERM is ignored
  fetch HOST:PORT   ask for / by HTTP and print the answer
  exists FILE       end with 1 unless a file is there
  talk              answer what is typed: size, env NAME, identity, exit STATUS, anything
  copy              print standard input, byte by byte
  bulk N            print N numbered lines at once
  exit STATUS       end";

fn main() {
    let mut words = std::env::args().skip(1);
    while let Some(step) = words.next() {
        let mut word = || words.next().unwrap_or_else(|| fail(&format!("{step} wants a word")));
        match step.as_str() {
            "say" => say(&word()),
            "complain" => eprintln!("{}", word()),
            "lines" => (0..number(&word())).for_each(|n| say(&format!("line {n}"))),
            "env" => env(&word()),
            "limits" => say(&text("/proc/self/limits")),
            "mounts" => say(&text("/proc/self/mounts")),
            "cgroup" => cgroup(),
            "identity" => identity(),
            "capabilities" => say(&status("CapEff")),
            "read" => say(&text(&word())),
            "write" => write(&word(), &word()),
            "await" => await_file(&word()),
            "alloc" => alloc(number(&word())),
            "sleep" => std::thread::sleep(Duration::from_secs_f64(float(&word()))),
            "forever" => forever(),
            "burn" => burn(),
            "toil" => toil(&word()),
            "on-term" => on_term(number(&word())),
            "ignore-term" => ignore_term(),
            "fetch" => fetch(&word()),
            "exists" => {
                if !fs::exists(word()).unwrap_or(false) {
                    exit(1);
                }
            }
            "talk" => talk(),
            "copy" => copy(),
            "bulk" => bulk(number(&word())),
            "exit" => exit(i32::try_from(number(&word())).unwrap_or(255)),
            other => fail(&format!("{other} is no step\n{HELP}")),
        }
    }
}

fn fail(why: &str) -> ! {
    eprintln!("probe: {why}");
    exit(64);
}

fn say(line: &str) {
    println!("{}", line.trim_end_matches('\n'));
    std::io::stdout().flush().unwrap_or(());
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| fail(&format!("{word} is no number")))
}

fn float(word: &str) -> f64 {
    word.parse().unwrap_or_else(|_| fail(&format!("{word} is no number")))
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("{path}: {error}"))
}

fn env(name: &str) {
    match std::env::var(name) {
        Ok(value) => say(&format!("{name}={value}")),
        Err(_) => say(&format!("{name} is not set")),
    }
}

fn status(field: &str) -> String {
    let status = text("/proc/self/status");
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    format!("{field} {}", line.split_once(':').map_or("", |(_, value)| value.trim()))
}

fn identity() {
    for field in ["Uid", "Gid", "Groups"] {
        say(&status(field));
    }
    say(&format!("hostname {}", text("/proc/sys/kernel/hostname").trim()));
    say(&format!("process {}", std::process::id()));
    let here = std::env::current_dir().map(|path| path.display().to_string());
    say(&format!("directory {}", here.unwrap_or_else(|error| error.to_string())));
}

/// Whichever version of cgroups there is to see, if any is mounted in the container.
fn cgroup() {
    say(&text("/proc/self/cgroup"));
    for file in [
        "memory.max",
        "cpu.max",
        "cpu.weight",
        "pids.max",
        "memory/memory.limit_in_bytes",
        "memory/memory.soft_limit_in_bytes",
        "cpu/cpu.shares",
        "pids/pids.max",
    ] {
        if let Ok(value) = fs::read_to_string(format!("/sys/fs/cgroup/{file}")) {
            say(&format!("{file} {}", value.trim()));
        }
    }
}

fn write(path: &str, content: &str) {
    match fs::write(path, content) {
        Ok(()) => say(&format!("wrote {path}")),
        Err(error) => say(&format!("could not write {path}: {error}")),
    }
}

fn await_file(path: &str) {
    while !fs::exists(path).unwrap_or(false) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn alloc(mib: u64) {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for _ in 0..mib {
        let mut block = vec![0_u8; 1 << 20];
        block.iter_mut().step_by(1024).for_each(|byte| *byte = 1);
        blocks.push(block);
    }
    say(&format!("took {} MiB", blocks.len()));
    std::mem::forget(blocks);
}

fn forever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Works a fifth of the time while a file is there, and waits while it is not.
fn toil(file: &str) -> ! {
    loop {
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(20) && fs::exists(file).unwrap_or(false) {
            (0..1000).for_each(|_| std::hint::spin_loop());
        }
        std::thread::sleep(Duration::from_millis(80));
    }
}

/// Keeps one core busy.
fn burn() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn fetch(address: &str) {
    let ask = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) => say(&format!("fetched {}", answer.lines().last().unwrap_or_default())),
        Err(error) => say(&format!("could not fetch {address}: {error}")),
    }
}

/// A very small shell.
fn talk() {
    say("talk> ");
    for line in std::io::stdin().lines() {
        let line = line.unwrap_or_else(|error| fail(&format!("cannot read: {error}")));
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("size", _) => {
                let mut size = [0_u16; 4];
                // SAFETY: TIOCGWINSZ writes four 16-bit numbers.
                unsafe { ioctl(0, TIOCGWINSZ, size.as_mut_ptr()) };
                say(&format!("{} {}", size[0], size[1]));
            }
            ("env", name) => env(name),
            ("identity", _) => identity(),
            ("exit", status) => exit(status.parse().unwrap_or(255)),
            _ => say(&format!("you said {line}")),
        }
    }
}

fn copy() {
    let copied = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::stdout().lock());
    if let Err(error) = copied.and_then(|_| std::io::stdout().flush()) {
        fail(&format!("cannot copy: {error}"));
    }
}

fn bulk(count: u64) {
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    for n in 0..count {
        writeln!(out, "line {n}").unwrap_or_else(|error| fail(&format!("cannot write: {error}")));
    }
}

const TIOCGWINSZ: u64 = 0x5413;
const SIGTERM: i32 = 15;
const SIG_IGN: usize = 1;
static STATUS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn _exit(status: i32) -> !;
    fn ioctl(file: i32, request: u64, ...) -> i32;
    #[link_name = "write"]
    fn raw_write(file: i32, bytes: *const u8, count: usize) -> isize;
}

extern "C" fn terminated(_: i32) {
    let told = b"terminated\n";
    let status = STATUS.load(std::sync::atomic::Ordering::Relaxed);
    // SAFETY: both functions may be called from a signal handler, and the bytes outlive the call.
    unsafe {
        raw_write(1, told.as_ptr(), told.len());
        _exit(i32::try_from(status).unwrap_or(255));
    }
}

fn on_term(status: u64) {
    STATUS.store(status, std::sync::atomic::Ordering::Relaxed);
    let handler: extern "C" fn(i32) = terminated;
    // SAFETY: the handler does nothing that a signal handler may not do.
    unsafe { signal(SIGTERM, handler as usize) };
}

fn ignore_term() {
    // SAFETY: ignoring a signal has no handler to be wrong.
    unsafe { signal(SIGTERM, SIG_IGN) };
}
