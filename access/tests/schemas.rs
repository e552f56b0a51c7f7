//! What schemas say of texts against the parsers of these texts: nothing that parses is refused, and of names nothing else is taken.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail by panicking, in its helpers too")]

use std::str::FromStr;

use access::amount::{Period, Size};
use access::hours::Hours;
use access::network::Network;
use access::policy::LoginPattern;
use access::policy::pattern::ForwardPattern;
use access::words::{AgentId, ConnectorName, Login, NodeName, RequestId, ResourceName, RoleName, SessionId, UserName};
use proptest::prelude::*;
use regex::Regex;
use schemars::JsonSchema;

fn pattern<T: JsonSchema>() -> String {
    let schema = schemars::schema_for!(T);
    schema.get("pattern").and_then(serde_json::Value::as_str).expect("a pattern").to_owned()
}

/// What the pattern takes and whether the parser does.
fn both<T: JsonSchema + FromStr>(text: &str) -> (bool, bool) {
    (Regex::new(&pattern::<T>()).expect("a regular expression").is_match(text), text.parse::<T>().is_ok())
}

macro_rules! names {
    ($($name:ty),*) => {
        /// The pattern and the parser are one.
        fn names_agree(text: &str) -> Result<(), TestCaseError> {
            $(
                let (fits, parses) = both::<$name>(text);
                prop_assert_eq!(fits, parses, "{} {:?}", stringify!($name), text);
            )*
            Ok(())
        }

        fn patterns() -> Vec<String> {
            vec![$(pattern::<$name>()),*]
        }
    };
}

names!(Login, NodeName, UserName, RoleName, ConnectorName, ResourceName, RequestId, AgentId, SessionId);

/// What parses fits.
fn fits<T: JsonSchema + FromStr>(text: &str) {
    let (fits, parses) = both::<T>(text);
    assert!(fits || !parses, "{} {text:?}", std::any::type_name::<T>());
}

fn all_fit(text: &str) {
    fits::<LoginPattern>(text);
    fits::<ForwardPattern>(text);
    fits::<Network>(text);
    fits::<Period>(text);
    fits::<Size>(text);
    fits::<Hours>(text);
}

/// Texts that one of the patterns takes.
fn made() -> impl Strategy<Value = String> {
    let patterns = patterns();
    (0..patterns.len()).prop_flat_map(move |at| {
        let inside = patterns[at].trim_matches(['^', '$']);
        proptest::string::string_regex(inside).expect("a pattern")
    })
}

proptest! {
    #[test]
    fn what_a_pattern_makes_is_a_name(text in made()) {
        names_agree(&text)?;
    }

    #[test]
    fn names_are_what_their_patterns_say(text in "[a-zA-Z0-9._@+ -]{0,70}|[a-z0-9-]{0,66}|.{0,8}") {
        names_agree(&text)?;
    }

    #[test]
    fn texts_that_parse_fit_their_patterns(
        text in "[a-z0-9._*{}-]{0,40}|[0-9a-f.:/]{1,20}|[0-9]{1,4}[smhdKMGTiB]{1,3}|[a-z*.0-9\\[\\]:]{1,20}:[0-9*-]{1,6}|.{0,8}",
    ) {
        all_fit(&text);
    }
}

#[test]
fn texts_that_people_write_fit_their_patterns() {
    let texts = "root * {{logins}} adm-{{email.local}}-x 10.0.0.0/8 2001:db8::/32 ::ffff:10.0.0.1 8h 90s 1GiB 100B localhost:5432 *.db:* [::1]:8000-8999 [FE80::1]:22";
    texts.split(' ').for_each(all_fit);
    for text in [
        "mon-fri 09:00-18:00 Asia/Seoul",
        "sat,sun 00:00-24:00 UTC",
        "fri-mon 22:00-06:00 Etc/GMT+5",
        "mon 00:00-00:01 America/Port-au-Prince",
    ] {
        assert_eq!(both::<Hours>(text), (true, true), "{text}");
    }
    for text in ["{{logins}}", "root", "*"] {
        assert_eq!(both::<LoginPattern>(text), (true, true), "{text}");
    }
    for bad in ["-x", "X", "{{a", "8 h", "1.5h"] {
        assert!(!both::<LoginPattern>(bad).0 && !both::<Period>(bad).0, "{bad}");
    }
}
