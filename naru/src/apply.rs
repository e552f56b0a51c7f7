//! `naru apply`: files to resources, with every fault of all files at once. Sending them is the client's.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use access::policy::Resource;
use client::failure::Failure;
use client::http::Api;
use client::out::Answer;
use client::resources;
use wire::api::exit;

/// As much as `config` reads, and one byte to notice more.
const MOST: u64 = 1024 * 1024 + 1;

/// A file as it was named, and its text.
struct Text {
    name: String,
    text: String,
}

impl Text {
    /// Its resources; none where it has faults, which are told later.
    fn resources(&self) -> Option<Vec<Resource>> {
        config::policy::resources(&self.name, &self.text, None).ok()
    }
}

/// Applies all files or nothing. That nobody is signed in is told after the faults of the files.
pub(crate) async fn run(api: Result<Api, Failure>, files: &[PathBuf], dry_run: bool) -> Result<Answer, Failure> {
    let texts = read(files)?;
    // A template may name any trait that somebody has or a provider gives: there, or in these files. Who may not list people is not told of the rest.
    let there = match &api {
        Ok(api) => resources::known_traits(api).await.ok(),
        Err(_) => None,
    };
    let resources = declared(&texts, there)?;
    resources::apply(&api?, resources, dry_run).await.map_err(|failure| placed(&texts, failure))
}

/// A role that only the server could miss, with its place in the files: the server names user and role, one pair a line.
fn placed(texts: &[Text], failure: Failure) -> Failure {
    if failure.code != "NARU-C004" {
        return failure;
    }
    let roles: Vec<String> = texts
        .iter()
        .filter_map(Text::resources)
        .flatten()
        .filter(|resource| matches!(resource, Resource::Role { .. }))
        .map(|role| role.name().to_owned())
        .collect();
    let known: Vec<&str> = roles.iter().map(String::as_str).collect();
    let pairs = failure.cause.iter().flat_map(|cause| cause.lines());
    let pairs = pairs.filter_map(|line| line.strip_prefix("user ")?.split_once(": there is no role "));
    let places: Vec<_> = pairs
        .filter_map(|(user, role)| texts.iter().find_map(|text| config::policy::unknown_role(&text.name, &text.text, user, role, &known)))
        .collect();
    if places.is_empty() {
        return failure;
    }
    let blocks = config::faults::text(&places);
    Failure { cause: None, ..failure }.shown(blocks)
}

/// The texts of all files; that they declare nothing at all is a mistake, not a change.
fn read(files: &[PathBuf]) -> Result<Vec<Text>, Failure> {
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
        known.extend(found.flat_map(|resource| match resource {
            Resource::User { spec, .. } => spec.traits.into_keys().collect(),
            Resource::OidcConnector { spec, .. } => spec.traits.into_keys().collect(),
            Resource::Bot { spec, .. } => spec.traits.into_keys().collect(),
            Resource::Role { .. } => Vec::new(),
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
    fn a_role_that_the_server_misses_is_shown_in_its_file() {
        let text = "kind: user\nname: bob\nspec: {roles: [nobody-knows]}\n";
        let texts = [Text { name: "half.yaml".to_owned(), text: text.to_owned() }];
        let said = || Failure::new("NARU-C004", exit::USAGE, "a user names a role that does not exist").hint("declare it");
        let shown = placed(&texts, said().because("user bob: there is no role nobody-knows\nuser eve: there is no role x"));
        assert!(shown.shown.as_deref().is_some_and(|blocks| blocks.contains("half.yaml:3:16") && blocks.contains("^^^^")), "{shown:?}");
        let elsewhere = said().because("user eve: there is no role x");
        assert_eq!(placed(&texts, elsewhere.clone()), elsewhere);
    }
}
