//! The demonstration's application: a web server of one file and no dependency, linked statically so
//! that its image needs nothing but itself.
//!
//! `GET /` says who answers, `GET /health` says ok, `GET /crash` ends the process with status 3, and
//! `hello --health` asks a running server, for use as a container health check. The port is `$PORT`
//! or 8080, the greeting `$GREETING`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::time::Duration;

unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn _exit(status: i32) -> !;
}

const SIGTERM: i32 = 15;

/// Ends at once: there is nothing to save. Process 1 of a container is not ended by a signal for
/// which it has no handler.
extern "C" fn on_sigterm(_: i32) {
    // SAFETY: _exit may be called in a signal handler (signal-safety(7)).
    unsafe { _exit(0) }
}

fn main() {
    // SAFETY: the handler is a function of the right form and calls nothing that is forbidden there.
    unsafe { signal(SIGTERM, on_sigterm as *const () as usize) };
    let port = std::env::var("PORT").ok().and_then(|p| p.parse().ok()).unwrap_or(8080_u16);
    if std::env::args().any(|arg| arg == "--health") {
        exit(i32::from(!healthy(port)));
    }
    let listener = match TcpListener::bind(("0.0.0.0", port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("hello: cannot listen on port {port}: {error}");
            exit(1);
        }
    };
    println!("hello: listening on port {port}, process {}", std::process::id());
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            if let Err(error) = answer(stream) {
                eprintln!("hello: a client went away: {error}");
            }
        });
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?).take(16 << 10).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    println!("hello: {request}");
    match request.split(' ').nth(1) {
        Some("/") => {
            let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned());
            let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
            respond(&mut stream, "200 OK", &format!("{greeting} from {}\n", host.trim()))
        }
        Some("/health") => respond(&mut stream, "200 OK", "ok\n"),
        Some("/crash") => {
            respond(&mut stream, "200 OK", "goodbye\n")?;
            eprintln!("hello: told to crash");
            exit(3);
        }
        _ => respond(&mut stream, "404 Not Found", "there is nothing here\n"),
    }
}

fn respond(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /health HTTP/1.1\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
