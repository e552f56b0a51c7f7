//! Feeds every corpus file once to its fuzz target, and keeps targets and corpus folders in step. No target lives here.

use crate::fuzz_targets::TARGETS;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join("corpus")
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir).expect("a corpus folder").map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn each_target_has_a_corpus_and_each_corpus_a_target() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let folders: BTreeSet<String> = entries(&corpus()).into_iter().map(name).collect();
    assert_eq!(targets, folders);
    for target in targets {
        assert!(!entries(&corpus().join(&target)).is_empty(), "{target} has an empty corpus");
    }
}

#[test]
fn every_corpus_file_is_survived() {
    for (name, target) in TARGETS {
        for file in entries(&corpus().join(name)) {
            let data = std::fs::read(&file).unwrap();
            let result = std::panic::catch_unwind(|| target(&data));
            assert!(result.is_ok(), "{} breaks the target {name}", file.display());
        }
    }
}
