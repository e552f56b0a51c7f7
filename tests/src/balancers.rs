//! A proxy behind a load balancer: whose address is in the log, and what those hear who claim to be somebody else. The balancer here
//! is a few lines of ours that write what the test wants; a real one is in `haproxy`.

mod haproxy;

use crate::harness::{Demo, Person};
use crate::recordings::wait;
use crate::refused_sign_ins::events;
use crate::stranger::Door;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Command, Stdio};

/// The address of the balancer; all of 127.0.0.0/8 is this machine.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const BANNER: &[u8] = b"SSH-2.0-";

/// A server whose only balancer is at [`BALANCER`].
struct Stage {
    up: Demo,
    olga: Person,
    port: u16,
}

impl Stage {
    fn new(by: &str) -> Self {
        let up = Demo::up_with(Ipv4Addr::LOCALHOST, &settings(by)).unwrap();
        // Who comes from an address that is not named is at that address, as always.
        let olga = up.sign_in("admin").unwrap();
        std::fs::write(olga.home().join("u.yaml"), "kind: user\nname: admin\nspec: {roles: [admin, auditor]}\n").unwrap();
        assert!(olga.naru(&["apply", "-f", "u.yaml"]).status.success());
        let port = up.ready("url").rsplit_once(':').unwrap().1.parse().unwrap();
        Self { up, olga, port }
    }

    /// A connection from an address of loopback.
    fn from(&self, address: Ipv4Addr) -> TcpStream {
        reach(address, SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port))
    }

    /// Somebody with keys who reaches the proxy by this port of loopback.
    fn door(&self, port: u16) -> Door {
        let ca = self.up.state().join("keys/x509-ca.crt");
        Door::to(&self.up, &format!("stranger-{port}"), &format!("https://127.0.0.1:{port}"), &ca)
    }

    /// Where the server says that refused sign-ins came from: address and port.
    fn refused(&self) -> Vec<(String, u64)> {
        let all = events(&self.olga, "auth.login.failed");
        all.iter().map(|event| (event["client"]["ip"].as_str().unwrap().to_owned(), event["client"]["port"].as_u64().unwrap())).collect()
    }

    fn refused_from(&self, ip: &str) -> bool {
        self.refused().iter().any(|(from, _)| from == ip)
    }
}

/// IPv4 in its other spelling, and a network that is not there, so that each is read as it is meant.
fn settings(by: &str) -> String {
    format!("balancers: {{peers: [\"fd00::/8\", \"::ffff:{BALANCER}\"], by: {by}}}\n")
}

/// What somebody sends who has no good link.
fn no_link(door: &Door) -> Value {
    let mut body = door.keys();
    body["secret"] = json!("never-made");
    body
}

fn reach(from: Ipv4Addr, to: SocketAddrV4) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(from, 0)).unwrap();
    connect(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream
}

/// All that is answered until the other side closes.
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // What was answered before a reset counts.
    let _ = stream.read_to_end(&mut all);
    all
}

/// Whether an SSH server answers to these bytes.
fn is_greeted(mut stream: TcpStream, bytes: &[u8]) -> bool {
    // One who is refused may be so before all is written.
    let _ = stream.write_all(bytes);
    let mut begin = [0; BANNER.len()];
    stream.read_exact(&mut begin).is_ok() && begin == *BANNER
}

/// A port of loopback that leads to the proxy by way of the balancer's address, with this before each connection's own bytes.
fn balancer(to: u16, header: &'static [u8]) -> u16 {
    balancer_at(0, SocketAddrV4::new(Ipv4Addr::LOCALHOST, to), header)
}

fn balancer_at(port: u16, to: SocketAddrV4, header: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (near, mut far) = (near.unwrap(), reach(BALANCER, to));
            far.write_all(header).unwrap();
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    port
}

const V1: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
/// 192.0.2.77 port 4660, with an extension of four bytes.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x4d\xc0\0\x02\x01\x12\x34\x01\xbb\x04\0\x04\0\0\0\0";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

#[test]
fn the_log_has_the_address_that_is_behind_the_balancer() {
    let stage = Stage::new("proxy_protocol");
    for (header, ip, port) in [(V1, "2001:db8::7", Some(4711)), (V2, "192.0.2.77", Some(0x1234)), (LOCAL, "127.0.0.2", None)] {
        let door = stage.door(balancer(stage.port, header));
        let said = door.from(Ipv4Addr::LOCALHOST).post("/v1/sign-in/link", &no_link(&door));
        assert!(said.refused() && said.status == 401, "{} {}", said.status, said.text);
        assert!(stage.refused().iter().any(|(from, at)| from == ip && port.is_none_or(|port| port == *at)), "{:?}", stage.refused());
    }
}

#[test]
fn people_and_agents_work_through_a_balancer() {
    // As it should be run: the balancer has the public address and the same port.
    let hidden = Ipv4Addr::new(127, 0, 0, 5);
    let up = Demo::up_with(hidden, &settings("proxy_protocol")).unwrap();
    let port = up.ready("url").rsplit_once(':').unwrap().1.parse().unwrap();
    balancer_at(port, SocketAddrV4::new(hidden, port), V2);
    let admin = up.sign_in("admin").unwrap();
    let account = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let account = account.trim();
    let role = format!("kind: role\nname: ops\nspec:\n  allow: {{ssh: [{{labels: {{'*': ['*']}}, logins: [{account}]}}]}}\n---\n");
    let user = "kind: user\nname: admin\nspec: {roles: [admin, auditor, ops]}\n";
    std::fs::write(admin.home().join("r.yaml"), role + user).unwrap();
    assert!(admin.naru(&["apply", "-f", "r.yaml"]).status.success());

    let words: Vec<&str> = up.ready("join").split(' ').skip(1).map(|word| if word == "NAME" { "web-1" } else { word }).collect();
    assert!(up.naru(&[&words[..], &["--state", "a1", "--no-run"]].concat()).stdout(Stdio::null()).status().unwrap().success());
    std::fs::write(up.folder().join("agent.yaml"), format!("allow_logins: [{account}]\n")).unwrap();
    // Ended with everything that the server's harness started.
    let mut agent = up.naru(&["agent", "run", "--state", "a1", "--config", "agent.yaml"]).stderr(Stdio::null()).spawn().unwrap();

    wait("a session by OpenSSH", || (admin.ssh(&["web-1.naru", "exit 7"]).status.code() == Some(7)).then_some(()));
    assert_eq!(admin.naru(&["ssh", "web-1", "exit 8"]).status.code(), Some(8));
    for (kind, least) in [("auth.login", 1), ("agent.joined", 1), ("session.start", 2)] {
        let all = events(&admin, kind);
        assert!(all.len() >= least && all.iter().all(|event| event["client"]["ip"] == "192.0.2.77"), "{kind}: {all:?}");
    }
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn nobody_but_the_balancer_says_who_somebody_is() {
    let stage = Stage::new("proxy_protocol");
    let ssh = b"SSH-2.0-x\r\n";
    let all = |parts: &[&[u8]]| parts.concat();
    let stranger = Ipv4Addr::new(127, 0, 0, 3);
    assert!(is_greeted(stage.from(stranger), ssh), "directly, as always");
    for header in [V1, V2, LOCAL] {
        assert!(!is_greeted(stage.from(stranger), &all(&[header, ssh])), "{header:?} of somebody who is not named");
        assert!(is_greeted(stage.from(BALANCER), &all(&[header, ssh])), "{header:?}");
        for second in [V1, V2, LOCAL] {
            assert!(!is_greeted(stage.from(BALANCER), &all(&[header, second, ssh])), "two headers: {header:?} {second:?}");
        }
        let mut slow = stage.from(BALANCER);
        header.iter().for_each(|byte| slow.write_all(&[*byte]).unwrap());
        assert!(is_greeted(slow, ssh), "one byte at a time: {header:?}");
    }
    for bytes in
        [&ssh[..], b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.1 1\r\nSSH-2.0-x\r\n", b"NARU/1 demo\r\nSSH-2.0-x\r\n"]
    {
        assert!(
            answer(&mut {
                let mut stream = stage.from(BALANCER);
                stream.write_all(bytes).unwrap();
                stream
            })
            .is_empty(),
            "{bytes:?}"
        );
    }
    // Inside TLS a header is the client's own word.
    let port = balancer(stage.port, V2);
    let mut tls = Command::new("openssl");
    tls.args(["s_client", "-quiet", "-verify_quiet", "-alpn", "naru-ssh/1", "-connect", &format!("127.0.0.1:{port}")]);
    let inside = |bytes: &[u8]| {
        let mut child = tls.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(bytes).unwrap();
        let mut begin = [0; BANNER.len()];
        let greeted = child.stdout.take().unwrap().read_exact(&mut begin).is_ok() && begin == *BANNER;
        // It may have ended with the connection.
        let _ = child.kill();
        child.wait().unwrap();
        greeted
    };
    let mut inside = inside;
    assert!(inside(ssh), "SSH inside TLS behind a balancer");
    assert!(!inside(&all(&[V1, ssh])), "a header after TLS");
    assert!(!stage.up.log().contains("panicked"), "{}", stage.up.log());
}

#[test]
fn half_a_header_does_not_wait_for_ever_and_keeps_nobody_out() {
    let stage = Stage::new("proxy_protocol");
    // More at once than one address may have before sign-in: the balancer is not one client.
    let mut halves: Vec<TcpStream> = (0..300).map(|_| stage.from(BALANCER)).collect();
    for (at, half) in halves.iter_mut().enumerate() {
        half.write_all(&V2[..at % V2.len()]).unwrap();
    }
    assert!(is_greeted(stage.from(BALANCER), &[V1, b"SSH-2.0-x\r\n"].concat()));
    // Whoever is behind it is: of one address there is no more room than there would be without a balancer.
    let crowd: Vec<TcpStream> = (0..128)
        .map(|_| {
            let mut one = stage.from(BALANCER);
            one.write_all(&[V2, b"\x16"].concat()).unwrap();
            one
        })
        .collect();
    wait("the address that is crowded", || (!is_greeted(stage.from(BALANCER), &[V2, b"SSH-2.0-x\r\n"].concat())).then_some(()));
    assert!(is_greeted(stage.from(BALANCER), &[V1, b"SSH-2.0-x\r\n"].concat()), "others have room");
    drop(crowd);
    for half in &mut halves {
        assert!(answer(half).is_empty(), "closed by the proxy, without a word");
    }
}

#[test]
fn a_forwarded_address_counts_only_from_the_balancer() {
    let stage = Stage::new("x_forwarded_for");
    let door = stage.door(stage.port);
    let post = |from: Ipv4Addr, lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|line| format!("X-Forwarded-For: {line}")).collect();
        let words = lines.iter().flat_map(|line| ["-H", line.as_str()]);
        let words: Vec<&str> = words.chain(["-H", "Content-Type: application/json", "--data-binary", "@-"]).collect();
        door.from(from).ask("/v1/sign-in/link", &words, no_link(&door).to_string().as_bytes())
    };
    let many = "198.51.100.2,".repeat(3_000);
    for (lines, ip) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["198.51.100.1, 192.0.2.2"], "192.0.2.2"),
        (&["198.51.100.1", "192.0.2.3:80, 127.0.0.2"], "192.0.2.3"),
        (&["unknown, [2001:db8::9]"], "2001:db8::9"),
        (&[many.as_str(), "::ffff:192.0.2.4"], "192.0.2.4"),
        (&[], "127.0.0.2"),
    ] {
        let said = post(BALANCER, lines);
        assert!(said.refused() && said.status == 401, "{ip}: {} {}", said.status, said.text);
        assert!(stage.refused_from(ip), "{ip}: {:?}", stage.refused());
    }
    for lines in [&["unknown"][..], &["192.0.2.1, 192.0.2"], &[&"127.0.0.2,".repeat(10_000 / 4)]] {
        let said = post(BALANCER, lines);
        assert!(said.status == 400 && said.body["code"] == "NARU-W400", "{} {}", said.status, said.text);
    }
    assert_eq!(post(Ipv4Addr::new(127, 0, 0, 4), &["192.0.2.9"]).status, 401);
    assert!(stage.refused_from("127.0.0.4") && !stage.refused_from("192.0.2.9"), "{:?}", stage.refused());
    assert!(!stage.refused().iter().any(|(ip, _)| ip.starts_with("198.51.100.")), "what a client wrote: {:?}", stage.refused());
    // A header of the PROXY protocol is nothing here, whoever writes it.
    assert!(!is_greeted(stage.from(BALANCER), &[V2, b"SSH-2.0-x\r\n"].concat()));
}
