//! Counts tests from what `cargo test` prints.

/// Tests over all suites.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Succeeded.
    pub(crate) passed: u64,
    /// Did not.
    pub(crate) failed: u64,
    /// Were left out on purpose.
    pub(crate) ignored: u64,
}

impl Count {
    /// Sums every `test result:` line.
    pub(crate) fn of(text: &str) -> Self {
        let mut sum = Self::default();
        for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("test result: ")) {
            sum.passed += before(line, " passed");
            sum.failed += before(line, " failed");
            sum.ignored += before(line, " ignored");
        }
        sum
    }

    /// One check that is not a test of its own, such as the formatter.
    pub(crate) fn one(ok: bool) -> Self {
        Self { passed: ok.into(), failed: (!ok).into(), ignored: 0 }
    }

    /// Adds.
    pub(crate) fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.ignored += more.ignored;
    }
}

/// The number that stands before a word.
fn before(line: &str, word: &str) -> u64 {
    let digits = |end: usize| line.get(..end).and_then(|head| head.rsplit(|c: char| !c.is_ascii_digit()).next());
    line.find(word).and_then(digits).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_all_suites() {
        let text = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.01s\n";
        assert_eq!(Count::of(text), Count { passed: 15, failed: 2, ignored: 1 });
        assert_eq!(Count::of("error: could not compile"), Count::default());
    }
}
