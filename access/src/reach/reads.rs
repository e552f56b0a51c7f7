//! Which labels of a target a condition looks at, found in its text. What is not understood counts as everything.

/// The keys of the labels that a condition reads of its target; none where it may read more than labels, such as the name.
pub(super) fn labels(source: &str) -> Option<Vec<&str>> {
    let mut keys = Vec::new();
    for (at, word) in source.match_indices("target") {
        let rest = source.get(at + word.len()..)?;
        if [".login", ".kind"].iter().any(|field| rest.strip_prefix(field).is_some_and(|rest| !rest.starts_with(of_name))) {
            continue;
        }
        let rest = rest.strip_prefix(".labels")?;
        let key = match rest.strip_prefix('.') {
            Some(rest) => rest.split(|c| !of_name(c)).next()?,
            None => quoted(rest.strip_prefix('[')?)?,
        };
        if key.is_empty() {
            return None;
        }
        keys.push(key);
    }
    (!keys.is_empty() || source.contains("target")).then_some(keys)
}

/// Whether a condition may read the login.
pub(super) fn login(source: &str) -> bool {
    source.contains("login") || labels(source).is_none()
}

/// The text of `'key']`.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (key, rest) = text.strip_prefix(quote)?.split_once(quote)?;
    (rest.starts_with(']') && !key.contains('\\')).then_some(key)
}

const fn of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_found_or_is_everything() {
        assert_eq!(labels("target.labels.env == 'prod' && target.labels['a.b/c'] != 'x'"), Some(vec!["env", "a.b/c"]));
        assert_eq!(labels("has(target.labels.team) || target.login == 'root'"), Some(vec!["team"]));
        assert_eq!(labels("target.kind == 'node'"), Some(vec![]));
        for more in [
            "target.name == 'x'",
            "'x' in target.labels",
            "[target].exists(t, t.name == 'x')",
            "target .labels.env == 'x'",
            "target.labels [\"x\"] == 'y'",
            "target.labels['\\x6e'] == ''",
            "target['name'] == ''",
            "target.labels[user.name] == ''",
            "target.kinds == ''",
            "user.name == 'x'",
        ] {
            assert_eq!(labels(more), None, "{more}");
        }
        assert!(login("target.login == 'x'") && !login("target.labels.env == 'x'"));
    }
}
