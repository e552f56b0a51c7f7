//! The schema of resources against what is really taken: every example of the docs, and those with something else in each place.

use access::policy::Stated;
use serde_json::{Value, json};

use super::{faults, told, validator};

/// The resources of the examples in the docs, each as JSON.
fn examples() -> Vec<Value> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut texts = vec![std::fs::read_to_string(root.join("README.md")).expect("read")];
    for page in std::fs::read_dir(root.join("docs")).expect("docs") {
        let path = page.expect("a page").path();
        if path.extension().is_some_and(|kind| kind == "md") {
            texts.push(std::fs::read_to_string(path).expect("read"));
        }
    }
    let blocks = texts.iter().flat_map(|text| text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()));
    let declared = blocks.filter(|block| block.contains("kind: "));
    let mut found: Vec<Value> = declared
        .flat_map(|block| config::policy::resources("an example", block, None).unwrap_or_default())
        .map(|stated| serde_json::to_value(stated).expect("json"))
        .collect();
    for more in [
        r#"{"kind":"cluster","name":"seoul","id":"x","revision":7,"labels":{"env":"prod"},"managed_by":"a repository"}"#,
        r#"{"kind":"messenger","name":"ops","spec":{"webhook":{"url":"https://hook.example","secret":"whsec_x"},"events":["lock.*"]}}"#,
        r#"{"kind":"audit_sink","name":"siem","spec":{"webhook":{"url":"https://siem.example","secret_version":2,"allow_private":true}}}"#,
        r#"{"kind":"lock","name":"kim","spec":{"target":{"user":"kim"},"reason":"lost laptop","for":"8h"}}"#,
        r#"{"kind":"settings","name":"settings","spec":{"options":{"recording":"best_effort","max_output":"1GiB","notice":"Mind."}}}"#,
        r#"{"kind":"role","name":"all","spec":{"allow":{"kubernetes":[{"labels":{"*":["*"]},"groups":["team:{{team}}"],"verbs":["get"],"where":"'a' in user.roles"}],
            "ssh":[{"labels":{"*":["*"]},"logins":["root","adm-{{logins}}"],"kinds":["exec","forward"],"forwards":["*.db:5432","[::1]:8000-8999"]},
                {"labels":{"*":["*"]},"logins":["root"],"kinds":["exec"],"commands":["uptime *"]}],
            "audit":[{"sessions":["list"],"events":true}],"administer":{"*":"read","join_token":"write"}},
            "options":{"hours":["mon-fri 09:00-18:00 Asia/Seoul"],"networks":["10.0.0.0/8","2001:db8::/32"],"step_up":{"max_age":"15m"}}}}"#,
    ] {
        found.push(serde_json::from_str(more).expect(more));
    }
    found
}

/// Whether it would be taken: read, and without a fault of its own.
fn taken(value: &Value) -> bool {
    serde_json::from_value::<Stated>(value.clone())
        .is_ok_and(|stated| stated.resource.faults().is_empty() && stated.faults_beside().is_empty())
}

/// The pointers of every place in a value.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    let step = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            all.push(step(key));
            places(value, &step(key), all);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| {
            all.push(step(&i.to_string()));
            places(value, &step(&i.to_string()), all);
        }),
        _ => {}
    }
}

#[test]
fn every_example_fits() {
    let told = told();
    let schema = validator(&told, json!({ "$ref": "#/components/schemas/Resource" }));
    let examples = examples();
    let kinds: std::collections::BTreeSet<&str> = examples.iter().filter_map(|one| one["kind"].as_str()).collect();
    assert!(examples.len() > 30 && kinds.len() == 13, "{} {kinds:?}", examples.len());
    for example in examples {
        assert!(taken(&example), "{example}");
        assert_eq!(faults(&schema, &example), Vec::<String>::new(), "{example}");
    }
}

/// The same with something else in each place, with each place left out, and with a field that nobody knows in it.
fn others(example: &Value) -> Vec<(String, Value)> {
    let (mut all, mut changed) = (vec![String::new()], Vec::new());
    places(example, "", &mut all);
    for place in all {
        let mut put = |what: &str, with: &dyn Fn(&mut Value)| {
            let mut other = example.clone();
            with(other.pointer_mut(&place).expect("a place"));
            changed.push((format!("{place} {what}"), other));
        };
        for other in [json!(null), json!(7), json!(true), json!({}), json!("a b"), json!("x"), json!({"other": 1}), json!([{"other": 1}])] {
            // No spec may be written as null too, which nobody needs to know.
            if !(place == "/spec" && other.is_null()) {
                put(&format!("= {other}"), &|value| *value = other.clone());
            }
        }
        put("and one more", &|value| drop(value.as_object_mut().map(|fields| fields.insert("other".to_owned(), json!(1)))));
        for key in example.pointer(&place).and_then(Value::as_object).into_iter().flat_map(|fields| fields.keys()) {
            put(&format!("without {key}"), &|value| drop(value.as_object_mut().map(|fields| fields.remove(key))));
        }
    }
    changed
}

/// The schema refuses nothing that is taken; and what is not even read for its form, it refuses too. What only a parser can tell, such as
/// whether a condition compiles, is the server's to say.
#[test]
fn the_schema_and_the_server_agree_on_every_place() {
    let told = told();
    let schema = validator(&told, json!({ "$ref": "#/components/schemas/Resource" }));
    let (mut tried, mut disagreed) = (0, Vec::new());
    for example in examples() {
        for (what, other) in others(&example) {
            let (valid, read) = (schema.is_valid(&other), serde_json::from_value::<Stated>(other.clone()).is_ok());
            let of_a_parser = what.ends_with('"');
            let wrong = if valid { !read && !of_a_parser } else { taken(&other) };
            if wrong {
                disagreed.push(format!("{}{what}: valid {valid}, read {read}", example["kind"]));
            }
            tried += 1;
        }
    }
    assert!(tried > 3000, "{tried}");
    assert_eq!(disagreed, Vec::<String>::new());
}
