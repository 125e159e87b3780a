//! A plugin that the test itself serves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::*;

/// What was asked: path and body.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Serves a plugin until the process ends.
fn serve(socket: &Path, answer: impl Fn(&str, &Value) -> Value + Send + 'static) -> Asked {
    let listener = UnixListener::bind(socket).unwrap();
    let asked = Asked::default();
    let notes = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let path = first.split(' ').nth(1).unwrap().to_owned();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let text = answer(&path, &body).to_string();
            notes.lock().unwrap().push((path, body));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
            // A client that is gone has what it wanted.
            drop(reader.get_mut().write_all(format!("{head}{text}").as_bytes()));
        }
    });
    asked
}

fn folders(at: &Path) -> Folders {
    let (sockets, specs) = (at.join("run"), at.join("etc"));
    for folder in [&sockets, &specs] {
        std::fs::create_dir_all(folder).unwrap();
    }
    Folders { sockets, specs: vec![specs] }
}

#[tokio::test]
async fn drivers_are_found_where_docker_finds_them() {
    let at = tempfile::tempdir().unwrap();
    let folders = folders(at.path());
    let volumes = |path: &str, _: &Value| match path {
        "/Plugin.Activate" => json!({"Implements": ["VolumeDriver"]}),
        _ => json!({"Err": "no such call"}),
    };
    serve(&folders.sockets.join("one.sock"), volumes);
    std::fs::create_dir(folders.sockets.join("two")).unwrap();
    serve(&folders.sockets.join("two/two.sock"), volumes);
    serve(&at.path().join("three"), volumes);
    let spec = format!("unix://{}\n", at.path().join("three").display());
    std::fs::write(folders.specs[0].join("three.spec"), &spec).unwrap();
    let json = json!({"Name": "four", "Addr": spec.trim()}).to_string();
    std::fs::write(folders.specs[0].join("four.json"), json).unwrap();
    let network = |_: &str, _: &Value| json!({"Implements": ["NetworkDriver"]});
    serve(&folders.sockets.join("network.sock"), network);
    std::fs::write(folders.specs[0].join("gone.spec"), "unix:///nowhere/at/all").unwrap();
    std::fs::write(folders.specs[0].join("tls.spec"), "https://127.0.0.1:1").unwrap();
    assert_eq!(folders.drivers().await, ["four", "one", "three", "two"]);
    assert!(folders.find("tls").unwrap_err().contains("TLS"));
    for name in ["absent", "../one", "vendor/one:latest", ""] {
        assert_eq!(folders.find(name).unwrap(), None, "{name}");
    }
    let why = folders.driver("absent").unwrap_err().to_string();
    assert!(why.contains("no plugin of that name") && why.contains("--runtime docker"), "{why}");
}

#[test]
fn addresses_are_read() {
    assert_eq!(address("unix:///a.sock\n"), Ok(Place::Socket("/a.sock".into())));
    assert_eq!(address("tcp://localhost:80"), Ok(Place::Tcp("localhost:80".into())));
    assert_eq!(address("http://h:1/"), Ok(Place::Tcp("h:1".into())));
    for wrong in ["", "h:1", "unix://a", "ftp://h"] {
        assert!(address(wrong).is_err(), "{wrong}");
    }
    assert!(described(r#"{"Addr": "tcp://h:1", "TLSConfig": {}}"#).is_err());
    assert!(described("no").is_err());
}

#[test]
fn a_driver_is_asked_as_docker_asks_it() {
    let at = tempfile::tempdir().unwrap();
    let folders = folders(at.path());
    let mountpoint = at.path().join("data");
    std::fs::create_dir(&mountpoint).unwrap();
    let (there, folder) = (Mutex::new(false), mountpoint.clone());
    let asked = serve(&folders.sockets.join("d.sock"), move |path, body| {
        let mut there = there.lock().unwrap();
        match path {
            "/Plugin.Activate" => json!({"Implements": ["VolumeDriver"]}),
            "/VolumeDriver.Get" if !*there => json!({"Err": "no such volume"}),
            "/VolumeDriver.Create" => {
                *there = true;
                json!({"Err": ""})
            }
            "/VolumeDriver.Mount" if body["Name"] == "bad" => json!({"Mountpoint": "data"}),
            "/VolumeDriver.Mount" => json!({"Mountpoint": folder, "Err": ""}),
            "/VolumeDriver.Remove" => json!({"Err": "volume is in use"}),
            _ => json!({}),
        }
    });
    let driver = folders.driver("d").unwrap();
    let opts = BTreeMap::from([("size".to_owned(), "1g".to_owned())]);
    assert!(!driver.has("v").unwrap());
    driver.create("v", &opts).unwrap();
    driver.create("v", &opts).unwrap();
    assert_eq!(driver.mount("v", "c-1").unwrap(), mountpoint);
    driver.unmount("v", "c-1").unwrap();
    let text = |error: RuntimeError| stdx::chain(&error);
    let why = text(driver.remove("v").unwrap_err());
    assert!(why.contains("\"d\"") && why.contains("volume is in use"), "{why}");
    assert!(text(driver.mount("bad", "c-1").unwrap_err()).contains("absolute"));
    let asked = asked.lock().unwrap();
    let of = |path: &str| {
        let bodies = asked.iter().filter(|(asked, _)| asked == path);
        bodies.map(|(_, body)| body.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("/VolumeDriver.Create"), [json!({"Name": "v", "Opts": {"size": "1g"}})]);
    assert_eq!(of("/VolumeDriver.Mount")[0], json!({"Name": "v", "ID": "c-1"}));
    assert_eq!(of("/VolumeDriver.Unmount"), [json!({"Name": "v", "ID": "c-1"})]);
}
