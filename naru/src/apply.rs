//! `naru apply`: files to resources, with every fault of all files at once. Sending them is the client's.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use access::policy::{Resource, ResourceKind, Stated};
use client::diff;
use client::failure::Failure;
use client::http::Api;
use client::out::Answer;
use client::resources;
use config::faults::Fault;
use wire::api::{FieldFault, exit};

/// As much as `config` reads, and one byte to notice more.
const MOST: u64 = 1024 * 1024 + 1;

/// A file as it was named, and its text.
pub(crate) struct Text {
    pub name: String,
    pub text: String,
}

impl Text {
    /// Its resources; none where it has faults, which are told later.
    fn resources(&self) -> Option<Vec<Stated>> {
        config::policy::resources(&self.name, &self.text, None).ok()
    }
}

/// Applies all files or nothing. That nobody is signed in is told after the faults of the files.
pub(crate) async fn run(api: Result<Api, Failure>, files: &[PathBuf], how: resources::How) -> Result<Answer, Failure> {
    let texts = read(files)?;
    let resources = checked(&texts, &api).await?;
    resources::apply(&api?, resources, how).await.map_err(|failure| placed(&texts, failure))
}

/// Shows what applying all files would do.
pub(crate) async fn diff(api: Result<Api, Failure>, files: &[PathBuf], look: diff::Look) -> Result<Answer, Failure> {
    let texts = read(files)?;
    let resources = checked(&texts, &api).await?;
    diff::resources(&api?, resources, look).await.map_err(|failure| placed(&texts, failure))
}

/// All resources, or every fault that can be known here.
async fn checked(texts: &[Text], api: &Result<Api, Failure>) -> Result<Vec<serde_json::Value>, Failure> {
    // A template may name any trait that somebody has or a provider gives: there, or in these files. Who may not list people is not told of the rest.
    let there = match api {
        Ok(api) => resources::known_traits(api).await.ok(),
        Err(_) => None,
    };
    declared(texts, there)
}

/// Faults that only the server could find, with their places in the files.
fn placed(texts: &[Text], failure: Failure) -> Failure {
    let (mut places, mut without) = (Vec::new(), Vec::new());
    for field in failure.fields() {
        match place(texts, field) {
            Some(fault) => places.push(fault),
            None => without.push(format!("{}: {}", words(field), field.message)),
        }
    }
    if places.is_empty() {
        return failure;
    }
    let blocks = [config::faults::text(&places), without.join("\n")];
    failure.shown(blocks.join("\n").trim_end().to_owned() + "\n")
}

/// `role/dba /spec/allow`.
fn words(field: &FieldFault) -> String {
    let whose = [field.kind.as_deref(), field.name.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("/");
    format!("{whose} {}", field.pointer).trim().to_owned()
}

fn place(texts: &[Text], field: &FieldFault) -> Option<Fault> {
    let kind = field.kind.as_deref().and_then(|word| ResourceKind::DECLARED.into_iter().find(|kind| kind.as_str() == word))?;
    let (name, path) = (field.name.as_deref()?, path(&field.pointer));
    let remedy = field.remedy.as_deref().unwrap_or("mend it here");
    texts.iter().find_map(|text| config::policy::place_fault(&text.name, &text.text, (kind, name), &path, (&field.message, remedy)))
}

/// A JSON pointer (RFC 6901) into a resource as a path in its spec: `/spec/allow/ssh/0` is `allow.ssh[0]`.
fn path(pointer: &str) -> String {
    let pointer = pointer.strip_prefix("/spec").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(pointer);
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(&part);
        }
    }
    path
}

/// The texts of all files.
pub(crate) fn texts(files: &[PathBuf]) -> Result<Vec<Text>, Failure> {
    let mut texts = Vec::new();
    for path in files {
        let mut text = String::new();
        let failed = |e: std::io::Error| Failure::file("read", path, &e);
        if path == Path::new("-") {
            std::io::stdin().take(MOST).read_to_string(&mut text).map_err(failed)?;
        } else {
            std::fs::File::open(path).map_err(failed)?.take(MOST).read_to_string(&mut text).map_err(failed)?;
        }
        texts.push(Text { name: path.to_string_lossy().into_owned(), text });
    }
    Ok(texts)
}

/// The same; that they declare nothing at all is a mistake, not a change.
fn read(files: &[PathBuf]) -> Result<Vec<Text>, Failure> {
    let texts = texts(files)?;
    if texts.iter().all(|text| text.resources().is_some_and(|found| found.is_empty())) {
        let names: Vec<&str> = texts.iter().map(|text| text.name.as_str()).collect();
        let title = match names.as_slice() {
            [one] => format!("this file declares nothing: {one}"),
            many => format!("these files declare nothing: {}", many.join(", ")),
        };
        return Err(Failure::usage(title).hint("a resource is kind, name and spec; nothing was sent"));
    }
    Ok(texts)
}

/// All resources, or every fault of every text. `there` are the traits that people have already.
fn declared(texts: &[Text], there: Option<BTreeSet<String>>) -> Result<Vec<serde_json::Value>, Failure> {
    let known = there.map(|mut known| {
        let found = texts.iter().filter_map(Text::resources).flatten();
        known.extend(found.flat_map(|stated| match stated.resource {
            Resource::User { spec, .. } => spec.traits.into_keys().collect(),
            Resource::OidcConnector { spec, .. } => spec.traits.into_keys().collect(),
            Resource::Bot { spec, .. } => spec.traits.into_keys().collect(),
            _ => Vec::new(),
        }));
        known
    });
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for Text { name, text } in texts {
        match config::policy::resources(name, text, known.as_ref()) {
            Ok(found) => all.extend(found.iter().map(serde_json::to_value)),
            Err(found) => faults.extend(found),
        }
    }
    if !faults.is_empty() {
        return Err(crate::faults::failure(&faults, "nothing was applied"));
    }
    all.into_iter().collect::<Result<_, _>>().map_err(|e| Failure::new("NARU-C041", exit::FAILED, "a resource cannot be sent").because(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_only_the_server_finds_stands_where_it_was_written() {
        let text = "kind: role\nname: dba\nspec:\n  may_request: [production, nothing]\n";
        let texts = [Text { name: "roles.yaml".to_owned(), text: text.to_owned() }];
        let field = |pointer: &str, name: &str| FieldFault {
            kind: Some("role".into()),
            name: Some(name.into()),
            pointer: pointer.into(),
            message: "there is no role nothing".into(),
            remedy: None,
        };
        let problem = |fields| wire::api::Problem {
            code: "NARU-C003".into(),
            title: "No.".into(),
            detail: None,
            hint: None,
            offer: None,
            fields,
            exit: exit::USAGE,
        };
        let said = |fields| placed(&texts, Failure::from_problem(problem(fields), 422));
        let shown = said(vec![field("/spec/may_request/1", "dba"), field("/spec", "elsewhere")]).shown.expect("blocks");
        assert!(shown.contains("roles.yaml:4:29") && shown.ends_with("\nrole/elsewhere /spec: there is no role nothing\n"), "{shown}");
        let elsewhere = client::out::Out::PLAIN.error(&said(vec![field("/spec", "elsewhere")]));
        assert!(elsewhere.contains("role/elsewhere /spec: there is no role nothing"), "{elsewhere}");
    }

    #[test]
    fn pointers_are_paths() {
        for (pointer, wanted) in [
            ("/spec/allow/ssh/0/logins/1", "allow.ssh[0].logins[1]"),
            ("/labels/a~1b", "labels.a/b"),
            ("/spec", ""),
            ("", ""),
            ("/specs", "specs"),
        ] {
            assert_eq!(path(pointer), wanted, "{pointer}");
        }
    }
}
