//! What stands behind load balancers in tests: a web server that keeps connections open, and beside it
//! one of plain TCP.
//!
//! `GET /` says which version of which task answers, `/wait?MS` does so after a while, `/health` is what
//! health checks ask, `/sick` makes it fail from now on, `/well` succeed again, `/die` ends the process.
//! SIGTERM ends it at once, with whatever it has begun: who loses nothing then has not been sent anything.
//! `$PORT` (8080), `$TCP_PORT` (none), `$VERSION` (0) and `$SICK` tell how it begins.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn _exit(status: i32) -> !;
}

const SIGTERM: i32 = 15;

static SICK: AtomicBool = AtomicBool::new(false);

extern "C" fn on_sigterm(_: i32) {
    // SAFETY: _exit may be called in a signal handler (signal-safety(7)).
    unsafe { _exit(0) }
}

fn main() {
    // SAFETY: the handler is a function of the right form and calls nothing that is forbidden there.
    unsafe { signal(SIGTERM, on_sigterm as *const () as usize) };
    SICK.store(std::env::var("SICK").is_ok(), Ordering::Relaxed);
    if let Some(port) = number("TCP_PORT") {
        std::thread::spawn(move || serve(port, echo));
    }
    serve(number("PORT").unwrap_or(8080), requests);
}

fn number(name: &str) -> Option<u16> {
    std::env::var(name).ok()?.parse().ok()
}

fn serve(port: u16, answer: fn(TcpStream) -> std::io::Result<()>) {
    let listener = match TcpListener::bind(("0.0.0.0", port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("web: cannot listen on port {port}: {error}");
            exit(1);
        }
    };
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || answer(stream));
    }
}

/// Which version of which task this is.
fn name() -> String {
    let version = std::env::var("VERSION").unwrap_or_else(|_| "0".to_owned());
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{version} {}", host.trim())
}

fn requests(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let Some((path, length, last)) = head(&mut reader)? else { return Ok(()) };
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        let (status, body) = match path {
            "/" => ("200 OK", name()),
            "/wait" => {
                std::thread::sleep(Duration::from_millis(query.parse().unwrap_or(0)));
                ("200 OK", name())
            }
            "/health" if SICK.load(Ordering::Relaxed) => ("503 Service Unavailable", "sick".to_owned()),
            "/health" => ("200 OK", "ok".to_owned()),
            "/sick" | "/well" => {
                SICK.store(path == "/sick", Ordering::Relaxed);
                ("200 OK", name())
            }
            "/die" => exit(3),
            _ => ("404 Not Found", "there is nothing here".to_owned()),
        };
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes())?;
        if last {
            return Ok(());
        }
    }
}

/// A request's target, how long its body is, and whether it is the connection's last; none at its end.
fn head(reader: &mut impl BufRead) -> std::io::Result<Option<(String, u64, bool)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
    let (mut length, mut last) = (0, line.trim_end().ends_with("HTTP/1.0"));
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((field, value)) = line.trim_end().split_once(':') else { break };
        match field.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "connection" => last = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Ok(Some((path, length, last)))
}

/// Says who it is, and then what it is told.
fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(format!("{}\n", name()).as_bytes())?;
    let mut reader = stream.try_clone()?;
    std::io::copy(&mut reader, &mut stream).map(drop)
}
