//! Somebody of an identity provider is forgotten: their logins end, and their name is free for another.

use access::event::What;
use access::words::UserName;
use store::kv::{Change as Write, Expect};
use wire::api::{Applied, AppliedItem, Change};

use super::App;
use super::person::Person;
use super::privilege::reaches;
use super::problem::No;
use crate::clock;
use crate::live::{PEOPLE, View};
use crate::oidc::Cause;

/// Forgets this person; whoever asks administers users and has what the person has. Signing in again makes them known again.
pub(super) async fn person(app: &App, view: &View, asker: &Person, name: &UserName) -> Result<Applied, No> {
    let known = view.people.get(name).ok_or_else(|| No::not_found(format!("there is no user {name}")))?;
    let identity = view.of_provider(name, known, clock::now());
    let roles = identity.map(|identity| identity.roles).unwrap_or_default();
    reaches(app, view, asker, &roles, &format!("forget the user {name}"))?;
    let (issuer, subject) = (&known.issuer, &known.subject);
    let what = What::PolicyChanged {
        kind: "user".to_owned(),
        name: name.to_string(),
        change: "deleted".to_owned(),
        policy: view.policy.digest().to_owned(),
        diff: Default::default(),
    };
    let logged = app.sessions.log.append(&asker.event(what))?;
    let _durable = app.sessions.log.durable(logged).await?;
    app.store.batch(&[Write::delete(format!("{PEOPLE}{name}"), Expect::Any)])?;
    app.sessions.live.refresh().map_err(No::ours)?;
    let theirs = app.sessions.people.live_logins(clock::now(), |record| {
        record.provider.as_ref().is_some_and(|said| said.issuer == *issuer && said.subject == *subject)
    })?;
    let cause = Cause::new("removed", format!("{} removed you", asker.identity.name));
    theirs.iter().for_each(|login| app.oidc.end(login, &cause));
    let item = AppliedItem { kind: "user".to_owned(), name: name.to_string(), change: Change::Deleted, next: None };
    Ok(Applied { items: vec![item] })
}
