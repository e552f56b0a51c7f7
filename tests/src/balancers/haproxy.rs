//! The same with a real HAProxy, as people run it: passing bytes through with either version of the header, and ending TLS.

use super::{BALANCER, Stage, no_link};
use crate::harness::free_port;
use crate::recordings::wait;
use crate::stranger::Door;
use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};

/// A running HAProxy, ended with the test.
struct Haproxy(Child);

impl Drop for Haproxy {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has seen.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The configurations for it that people are shown: passing through, and ending TLS.
fn shown() -> [&'static str; 2] {
    let page = include_str!("../../../docs/operating-behind-a-balancer.md");
    let blocks: Vec<&str> = page.split("```").filter_map(|block| block.strip_prefix("\n# HAProxy\n")).collect();
    blocks.try_into().unwrap()
}

/// Starts one as shown, with other words in it, whose connections come from the balancer's address.
fn start(stage: &Stage, shown: &str, other: &[(&str, &str)]) -> (Haproxy, u16) {
    let (port, to) = (free_port(), format!("127.0.0.1:{}", stage.port));
    let (bind, source) = (format!("bind 127.0.0.1:{port}"), format!("  source {BALANCER}\n"));
    let mut text = shown.to_owned();
    for (from, to) in [&[("10.0.0.5:8443", to.as_str()), ("bind :8443", &bind), ("bind :443", &bind)], other].concat() {
        text = text.replace(from, to);
    }
    let file = stage.up.folder().join(format!("haproxy-{port}.cfg"));
    std::fs::write(&file, text + &source).unwrap();
    let log = File::create(file.with_extension("log")).unwrap();
    // Where Debian puts it, which is not in everybody's PATH.
    let program = if std::path::Path::new("/usr/sbin/haproxy").is_file() { "/usr/sbin/haproxy" } else { "haproxy" };
    let mut command = Command::new(program);
    command.args(["-db", "-f"]).arg(&file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut haproxy = Haproxy(command.spawn().unwrap());
    wait("HAProxy", || {
        let ended = haproxy.0.try_wait().unwrap();
        assert!(ended.is_none(), "{}", std::fs::read_to_string(file.with_extension("log")).unwrap());
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    (haproxy, port)
}

/// Somebody at an address is refused through HAProxy, and the log has the address.
fn is_seen(stage: &Stage, door: &Door, from: Ipv4Addr, words: &[&str]) {
    let all = [words, &["-H", "Content-Type: application/json", "--data-binary", "@-"]].concat();
    let said = door.from(from).ask("/v1/sign-in/link", &all, no_link(door).to_string().as_bytes());
    assert!(said.refused() && said.status == 401, "{} {}", said.status, said.text);
    assert!(stage.refused_from(&from.to_string()), "{from}: {:?}", stage.refused());
}

#[test]
fn haproxy_passes_bytes_through() {
    let stage = Stage::new("proxy_protocol");
    let as_shown = "send-proxy-v2 check check-send-proxy";
    assert!(shown()[0].contains(as_shown));
    // Looking often whether the proxy is there, which says LOCAL; version 1; extensions.
    let often = format!("{as_shown} inter 50ms");
    for (at, how) in [(11, as_shown), (12, &often), (13, "send-proxy"), (14, "send-proxy-v2 proxy-v2-options unique-id,crc32c")] {
        let (_haproxy, port) = start(&stage, shown()[0], &[(as_shown, how)]);
        let door = stage.door(port);
        is_seen(&stage, &door, Ipv4Addr::new(127, 0, 0, at), &[]);
        // What a client writes before is after what HAProxy writes.
        let spoofed = Ipv4Addr::new(127, 0, 1, at);
        let mut curl = door.from(spoofed).curl("/v1/ca", &["--haproxy-protocol"]);
        assert!(!curl.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success(), "a second header");
    }
    assert!(!stage.up.log().contains("panicked"), "{}", stage.up.log());
}

#[test]
fn haproxy_ends_tls() {
    let stage = Stage::new("x_forwarded_for");
    let at = |name: &str| stage.up.folder().join(name).to_string_lossy().into_owned();
    let (key, cert, both) = (at("balancer.key"), at("balancer.crt"), at("balancer.pem"));
    let words = ["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2", "-subj", "/CN=balancer"];
    let made = Command::new("openssl").args(words).args(["-keyout", &key, "-out", &cert]).stderr(Stdio::null()).status().unwrap();
    assert!(made.success());
    std::fs::write(&both, std::fs::read_to_string(&cert).unwrap() + &std::fs::read_to_string(&key).unwrap()).unwrap();
    let ca = stage.up.state().join("keys/x509-ca.crt");
    let ca = ca.to_string_lossy();
    let other = [("/etc/haproxy/naru.pem", both.as_str()), ("/etc/haproxy/naru-ca.crt", &ca), ("naru.example", "localhost")];
    let (_haproxy, port) = start(&stage, shown()[1], &other);
    let door = stage.door(port);
    // The certificate is the balancer's own here.
    is_seen(&stage, &door, Ipv4Addr::new(127, 0, 0, 21), &["-k"]);
    is_seen(&stage, &door, Ipv4Addr::new(127, 0, 0, 22), &["-k", "-H", "X-Forwarded-For: 198.51.100.1"]);
    assert!(!stage.refused_from("198.51.100.1"), "what a client wrote: {:?}", stage.refused());
}
