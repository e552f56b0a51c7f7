//! The document against the tree, against the rules of OpenAPI, and against the table of routes. Below: what is accepted, and answered.

use std::collections::BTreeSet;

use jsonschema::Validator;

use super::super::refusals::{OPEN, request, stage};
use super::super::routes::table;
use super::*;

mod accepted;
mod answers;

/// `docs/openapi.json`.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
/// The schema of OpenAPI 3.1 itself: spec.openapis.org/oas/3.1/schema/2022-10-07.
const OPENAPI: &str = include_str!("oas-3.1.schema.json");

fn told() -> Value {
    document(&table().routes)
}

/// For one schema, or a reference into the document.
fn validator(document: &Value, mut schema: Value) -> Validator {
    let components = document.get("components").expect("components").clone();
    schema.as_object_mut().expect("a schema").insert("components".into(), components);
    jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true).build(&schema).expect("a sound schema")
}

fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// All operations: path, method, what is told.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            all.push((path.clone(), method.clone(), operation.clone()));
        }
    }
    all
}

#[test]
fn the_document_in_the_tree_is_what_the_types_say() {
    let told = text();
    if std::env::var_os("NARU_WRITE_OPENAPI").is_some() {
        std::fs::write(KEPT, &told).expect("written");
    }
    let kept = std::fs::read_to_string(KEPT).unwrap_or_default();
    let line = kept.lines().zip(told.lines()).position(|(kept, told)| kept != told).map_or(0, |at| at + 1);
    assert!(
        kept == told,
        "docs/openapi.json is not what the types say, from line {line} on: run `cargo xtask openapi` and look at the diff"
    );
}

#[test]
fn the_document_is_openapi() {
    let told = told();
    let rules: Value = serde_json::from_str(OPENAPI).expect("json");
    let rules = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&rules).expect("a sound schema");
    assert_eq!(faults(&rules, &told), Vec::<String>::new());
    let schemas = told["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
        // Two types of one name would be told apart by a number.
        assert!(!name.ends_with(|c: char| c.is_ascii_digit()), "{name} has a name that another type has too");
    }
    let text = told.to_string();
    let named: BTreeSet<&str> = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let there: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    assert_eq!(named, there, "every schema is used, and every one that is used is there");
    // A broken document is seen to be broken.
    let mut broken = told.clone();
    broken["paths"]["/v1/ca"]["get"]["responses"] = json!([]);
    assert!(!rules.is_valid(&broken));
}

#[test]
fn every_operation_says_what_it_is() {
    let told = told();
    let (tags, mut ids) = (TAGS.map(|(name, _)| name), BTreeSet::new());
    let all = operations(&told);
    assert_eq!(all.len(), table().routes.len(), "one operation for each route");
    for (path, method, operation) in all {
        assert!(path.starts_with("/v1/"), "{path}");
        assert!(ids.insert(operation["operationId"].to_string()), "{method} {path}");
        assert!(tags.iter().any(|tag| operation["tags"] == json!([tag])), "{method} {path}");
        let summary = operation["summary"].as_str().expect("a summary");
        assert!((5..=100).contains(&summary.len()) && !summary.ends_with('.'), "{summary}");
        let said = operation["responses"].get("200").is_some_and(|good| good.get("content").is_some());
        let silent = operation["responses"].get("101").is_some() || path.ends_with("backchannel-logout");
        assert!(said != silent, "{method} {path} says what it answers, here or by its types");
        let named: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<&str> = parameters.iter().filter(|one| one["in"] == "path").filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(named, in_path, "{method} {path}");
    }
}

/// Whoever reads the document learns the truth about who may ask.
#[test]
fn what_is_open_is_what_the_tests_of_refusal_have_as_open() {
    let told = told();
    for (path, method, operation) in operations(&told) {
        assert_eq!(operation["security"] == json!([]), OPEN.contains(&path.as_str()), "{method} {path}");
    }
    let demanded = told.pointer("/paths/~1v1~1sessions~1{id}~1verify/get/x-naru-right");
    assert_eq!(demanded, Some(&json!("to play a recording")));
}

#[tokio::test]
async fn everybody_may_read_it_and_nobody_twice_for_nothing() {
    let stage = stage().await;
    let answer = stage.send(request(None, "GET", "/v1/openapi.json", "")).await;
    assert_eq!((answer.status(), &answer.headers()["content-type"]), (StatusCode::OK, &HeaderValue::from_static("application/json")));
    let tag = answer.headers()["etag"].clone();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    assert!(body == text().as_bytes(), "what is served is what is kept");
    let mut again = request(None, "GET", "/v1/openapi.json", "");
    again.headers_mut().insert(header::IF_NONE_MATCH, tag);
    let answer = stage.send(again).await;
    assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
    assert!(axum::body::to_bytes(answer.into_body(), 1).await.expect("a body").is_empty());
}

#[test]
fn comments_become_descriptions_for_others() {
    assert_eq!(plain("Its pin, see [`crate::link::Pin`],\nor `[::1]:80`."), "Its pin, see `Pin`, or `[::1]:80`.");
    let mut schema = json!({ "required": ["a"], "properties": { "a": { "default": "" }, "b": { "default": "" } } });
    tidy(&mut schema);
    assert_eq!(schema, json!({ "required": ["a"], "properties": { "a": {}, "b": { "default": "" } } }));
}
