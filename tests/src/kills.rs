//! Promise P1: whatever is killed whenever, what the client has received was recorded before.

use crate::harness::{Demo, Person, fast};
use crate::recordings::{cast, newest, verify, wait};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Kills in the inner loop, and in the whole run.
const FEW: u32 = 10;
const MANY: u32 = 200;
/// A demo is given up after so many rounds, so that checking it stays quick.
const ROUNDS_A_DEMO: u32 = 20;

/// Output of several kinds: a flood, small writes, both streams, bytes that are no text.
const GENERATORS: [&str; 4] = [
    "seq 1 400000; sleep 60",
    "i=0; while :; do echo $i; i=$((i+1)); done",
    "i=0; while :; do echo $i; echo $i >&2; i=$((i+1)); sleep 0.003; done",
    "head -c 3000000 /dev/urandom; sleep 60",
];

fn chance(seed: &mut u64, below: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % below
}

fn begin(alice: &Person, generator: &str) -> Child {
    let file = |name: &str| std::fs::File::create(alice.home().join(name)).unwrap();
    let mut command = alice.command("ssh");
    command.args(["demo.naru", generator]).stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
    command.spawn().unwrap()
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// One life and death of everything.
fn round(demo: &mut Demo, alice: &Person, olga: &Person, number: u32, seed: &mut u64) {
    let generator = GENERATORS[number as usize % GENERATORS.len()];
    let mut client = begin(alice, generator);
    wait("the first output", || (size(&alice.home().join("out")) > 0).then_some(()));
    std::thread::sleep(Duration::from_millis(chance(seed, 150)));
    demo.kill_all();
    // The connection is gone, so the client ends by itself.
    client.wait().unwrap();
    demo.start_again().unwrap_or_else(|why| panic!("round {number} ({generator}): {why}"));
    let id = newest(olga);
    let cast = cast(olga, &id);
    for (code, name) in [('O', "out"), ('E', "err")] {
        let mut came = std::fs::read(alice.home().join(name)).unwrap();
        if code == 'E' {
            // The client's own words about the lost connection, and the notice.
            came = came.split_inclusive(|b| *b == b'\n').filter(|line| line[0].is_ascii_digit()).collect::<Vec<_>>().concat();
        }
        let recorded = wire::asciicast::bytes(&cast, code).unwrap();
        assert!(
            recorded.starts_with(&came),
            "round {number} ({generator}): {} bytes came on {name}, {} are recorded",
            came.len(),
            recorded.len()
        );
    }
    let played = olga.naru(&["recording", "verify", &id]);
    assert!(played.status.success(), "round {number}: {}", String::from_utf8_lossy(&played.stdout));
    if number.is_multiple_of(5) {
        let (report, code) = verify(olga, &demo.server(), &[]);
        assert_eq!(code, 0, "round {number}: {report}");
    }
}

#[test]
fn what_was_received_was_recorded_whenever_everything_is_killed() {
    let rounds = if fast() { FEW } else { MANY };
    let mut seed = 0x2545_F491_4F6C_DD1D_u64 ^ u64::from(std::process::id());
    let first = seed;
    #[allow(clippy::print_stdout, reason = "how to have the same kills again")]
    {
        println!("{rounds} kills, seed {first}");
    }
    let mut done = 0;
    while done < rounds {
        let mut demo = Demo::start(&[]).unwrap();
        let (alice, olga) = (demo.sign_in("alice").unwrap(), demo.sign_in("olga").unwrap());
        for _ in 0..ROUNDS_A_DEMO.min(rounds - done) {
            round(&mut demo, &alice, &olga, done, &mut seed);
            done += 1;
        }
        let (report, code) = verify(&olga, &demo.server(), &[]);
        assert_eq!(code, 0, "{report}");
    }
}
