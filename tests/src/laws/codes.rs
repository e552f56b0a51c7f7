//! The law about error codes: a code that a person can meet stands in `docs/codes.md`, and nothing stands there that cannot be met.

use super::sources::{Source, rust};
use super::{Breach, breach, keep, root};
use std::collections::{BTreeMap, BTreeSet};

/// The page that people search.
const PAGE: &str = "docs/codes.md";

/// Every `NARU-` with a letter and three digits in a text.
fn codes(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (at, begin) in text.match_indices("NARU-") {
        let Some(rest) = text.get(at + begin.len()..at + begin.len() + 4) else { continue };
        if rest.starts_with(|c: char| c.is_ascii_uppercase()) && rest[1..].bytes().all(|b| b.is_ascii_digit()) {
            out.insert(format!("{begin}{rest}"));
        }
    }
    out
}

/// The codes that have a row of their own.
fn rows(page: &str) -> BTreeSet<String> {
    let first = |line: &str| codes(line.strip_prefix("| ")?.split(" |").next()?).pop_first();
    page.lines().filter_map(first).collect()
}

fn explained(files: &[Source], page: &str) -> Vec<Breach> {
    let product = files.iter().filter(|file| !file.in_crate("tests") && !file.path.contains("/tests/"));
    let mut met: BTreeMap<String, &str> = BTreeMap::new();
    for file in product {
        for (_, line) in file.code() {
            met.extend(codes(line).into_iter().map(|code| (code, file.path.as_str())));
        }
    }
    let rows = rows(page);
    let missing = met.iter().filter(|(code, _)| !rows.contains(*code));
    let mut out: Vec<Breach> =
        missing.map(|(code, path)| breach("codes", code, format!("{path} says it, {PAGE} has no row for it"))).collect();
    let stale = rows.iter().filter(|code| !met.contains_key(*code));
    out.extend(stale.map(|code| breach("codes", code, format!("{PAGE} has a row for it, no code says it"))));
    out
}

#[test]
fn every_code_is_explained() {
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    keep("codes", &explained(&rust(), &page));
}

#[test]
fn the_law_bites() {
    // Split so that no reader of this tree takes them for real ones.
    let (one, two) = (concat!("NARU-", "Z001"), concat!("NARU-", "Z002"));
    let file = |path: &str, text: String| vec![Source { path: path.into(), text }];
    let page = format!("| code | meaning |\n| {one} | see {two} |\n");
    let said = |path: &str, code: &str| explained(&file(path, format!("fail(\"{code}\");\n")), &page);
    assert_eq!(said("proxy/src/b.rs", one), []);
    assert_eq!(said("proxy/src/b.rs", two).len(), 2, "one without a row, one row too many");
    assert_eq!(said("proxy/tests/b.rs", two).len(), 1, "tests may say what they like");
    assert_eq!(codes("NARU-P20 NARU-p201 NARU-P2x1 NARU-"), BTreeSet::new());
}
