//! Links the binary at a fixed address. One that may be anywhere has some 460,000 addresses to be written
//! whenever it starts, once in the server and once in the process that all of a node's others come from:
//! pages that are then nobody else's, and a table of 11 MB read for them. Stack, heap and libraries are placed
//! at random all the same.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let set = |name: &str, value: &str| {
        std::env::var(name).is_ok_and(|text| text.split(',').any(|word| word == value))
    };
    if set("CARGO_CFG_TARGET_OS", "linux") && !set("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
