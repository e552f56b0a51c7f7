//! One program for all fuzz targets: `NARU_FUZZ_TARGET` names the one to run. No target lives here.
#![no_main]

#[path = "../src/fuzz_targets.rs"]
mod fuzz_targets;

use std::sync::OnceLock;

static TARGET: OnceLock<fuzz_targets::Target> = OnceLock::new();

fn chosen() -> fuzz_targets::Target {
    let name = std::env::var("NARU_FUZZ_TARGET").expect("NARU_FUZZ_TARGET names a target");
    let found = fuzz_targets::TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no target {name}")).1
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET.get_or_init(chosen)(data));
