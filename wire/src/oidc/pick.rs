//! Finds a claim by a written path and reads it as a list of texts. What a claim grants lives elsewhere.

use serde_json::{Map, Value};

/// Most texts of one claim.
const MAX_STRINGS: usize = 1000;
/// Longest text, in bytes.
const MAX_STRING: usize = 256;

/// The claim at a path such as `groups`, `realm_access.roles` or `resource_access.naru.roles`. A key that is written with dots
/// (`https://acme/claims.groups`) goes before the walk, and at each step the longest such key does.
pub fn claim<'v>(claims: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    // Each step down leads to another object of the claims, so that their number bounds the search.
    claims.get(path).or_else(|| {
        let mut cuts = path.rmatch_indices('.').map(|(at, _)| path.split_at(at));
        cuts.find_map(|(head, tail)| claim(claims.get(head)?.as_object()?, tail.strip_prefix('.')?))
    })
}

/// A text, or the texts of a list: the first 1,000 of at most 256 bytes each. Whatever else is there is skipped, never cut.
pub fn strings(value: &Value) -> Vec<String> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let texts = items.iter().filter_map(Value::as_str).filter(|text| text.len() <= MAX_STRING);
    texts.take(MAX_STRINGS).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_walks_and_a_written_key_goes_before() {
        let claims = json!({
            "groups": ["/ops"], "realm_access": {"roles": ["a"]}, "resource_access": {"naru": {"roles": ["b"]}, "my.app": {"roles": ["c"]}},
            "https://acme/claims.groups": ["d"], "https://acme/claims": {"groups": ["e"], "more": ["f"]}, "x": "y"
        });
        let found = |path| claims.as_object().and_then(|claims| claim(claims, path)).map(strings).unwrap_or_default().concat();
        let table = [
            ("groups", "/ops"),
            ("realm_access.roles", "a"),
            ("resource_access.naru.roles", "b"),
            ("resource_access.my.app.roles", "c"),
            ("https://acme/claims.groups", "d"),
            ("https://acme/claims.more", "f"),
            ("x.y", ""),
            ("realm_access", ""),
            ("realm_access.", ""),
            ("", ""),
        ];
        table.iter().for_each(|(path, wanted)| assert_eq!(found(path), *wanted, "{path}"));
    }

    #[test]
    fn texts_are_bounded_and_other_types_are_skipped() {
        assert_eq!(strings(&json!("one")), ["one"]);
        assert_eq!(strings(&json!(["a", 1, null, ["b"], {"c": 1}, "d"])), ["a", "d"]);
        assert_eq!(strings(&json!(["x".repeat(257), "y".repeat(256)])), ["y".repeat(256)]);
        assert_eq!(strings(&json!(vec!["z"; 1001])).len(), 1000);
        assert!(strings(&json!({"a": "b"})).is_empty() && strings(&json!(true)).is_empty());
    }
}
