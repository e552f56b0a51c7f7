//! `naru logout`: the sign-in ends at the server, at the provider and here.

use std::time::Duration;

use wire::api::{SignOut, SignedOut, exit};

use super::browser::Page;
use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table, say};
use crate::profile::{Facts, Profile};
use crate::when;

/// How long the server may take to hear of a sign-out, with what it has to say to the provider.
const TELL: Duration = Duration::from_secs(10);

/// What became of the profiles.
#[derive(Debug, Default)]
struct Done {
    gone: Vec<String>,
    ended: u64,
    /// What remains to be opened, so that the provider's session ends too.
    browse: Vec<String>,
    /// Whether each provider has ended its session.
    providers: Vec<bool>,
    warned: Vec<String>,
}

/// Tells the server that the sign-ins of these profiles are over, then removes their keys and certificates from here.
///
/// They are removed also when the server cannot be told; then a warning names the time until which they would be good elsewhere. With
/// `all`, every login of the person on every computer ends; where that cannot be told nothing is removed, so that it can be tried again.
pub async fn logout(profiles: &[Profile], all: bool) -> Result<Answer, Failure> {
    let mut done = Done::default();
    for profile in profiles {
        // A sign-in that has ended by itself needs no word; the others of the person do.
        let facts = if all { Some(profile.signed_in(when::now())?) } else { profile.signed_in(when::now()).ok() };
        if let Some(facts) = facts {
            match tell(profile, &facts, all).await {
                Ok(signed_out) => done.heard(&signed_out, &facts),
                // The server knows of no such sign-in any more: somebody ended it before.
                Err(failure) if failure.exit == exit::NOT_SIGNED_IN && !all => {}
                Err(failure) if all => {
                    let hint = "nothing was removed here: try again, or leave out --all to sign out on this computer alone";
                    return Err(failure.hint(hint));
                }
                Err(failure) => {
                    let until = when::shown(facts.expires);
                    let (name, what) = (&facts.name, "so it still takes the certificates of");
                    done.warned.push(format!("{failure}, {what} {name} wherever a copy of them is, until {until}"));
                }
            }
        }
        if profile.remove()? {
            done.gone.push(profile.name.clone());
        }
    }
    for line in &done.warned {
        say(&format!("warning: {line}"));
    }
    Ok(done.answer(all))
}

async fn tell(profile: &Profile, facts: &Facts, all: bool) -> Result<SignedOut, Failure> {
    let told = async { Api::of(profile)?.post("/v1/sign-out", &SignOut { all, replaced: false }).await };
    match tokio::time::timeout(TELL, told).await {
        Ok(told) => told,
        Err(_) => Err(Failure::new("NARU-N103", exit::CANNOT_REACH, format!("{} does not answer", facts.address))),
    }
}

impl Done {
    fn heard(&mut self, signed_out: &SignedOut, facts: &Facts) {
        self.ended += signed_out.ended;
        self.providers.extend(signed_out.provider);
        let Some(browse) = &signed_out.browse else {
            if signed_out.provider == Some(false) {
                self.warned.push(format!("the identity provider could not be told: the session of {} there goes on", facts.name));
            }
            return;
        };
        match facts.address().and_then(|address| Page::of(browse, &address)) {
            Ok(page) => self.browse.push(page.to_string()),
            Err(failure) => self.warned.push(failure.to_string()),
        }
    }

    fn answer(self, all: bool) -> Answer {
        let mut lines =
            vec![if self.gone.is_empty() { "nobody was signed in".to_owned() } else { format!("signed out: {}", self.gone.join(" ")) }];
        if all {
            lines.push(format!("logins that ended, on every computer: {}", self.ended));
        }
        if !self.providers.is_empty() && self.providers.iter().all(|ended| *ended) {
            lines.push("the session at the identity provider has ended too".to_owned());
        }
        for page in &self.browse {
            lines.push("to end the session at the identity provider too, open:".to_owned());
            lines.push(format!("  {page}"));
        }
        let json = serde_json::json!({
            "signed_out": self.gone, "ended": self.ended, "providers": self.providers, "browse": self.browse, "warnings": self.warned,
        });
        Answer::new(&json, Table::text(&lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use access::time::Timestamp;

    use super::super::keep::tests::sign_in;
    use super::*;
    use crate::profile::{Home, file};

    #[test]
    fn what_the_provider_did_is_said_and_an_odd_address_is_not() {
        let facts = |dir: &std::path::Path| {
            let profile = Home::under(dir).profile(None).expect("profile");
            sign_in(&profile, "https://h:1", "alice", Timestamp::from_secs(1));
            profile.facts().expect("facts")
        };
        let dir = tempfile::tempdir().expect("dir");
        let facts = facts(dir.path());
        let said = |provider, browse: Option<&str>| {
            let mut done = Done { gone: vec!["default".into()], ..Done::default() };
            done.heard(&SignedOut { ended: 1, provider, browse: browse.map(str::to_owned) }, &facts);
            (done.warned.len(), crate::out::tsv(&done.answer(false).table, true))
        };
        assert_eq!(said(None, None), (0, "signed out: default\n".into()));
        assert!(said(Some(true), None).1.contains("has ended too"));
        assert_eq!(said(Some(false), None).0, 1);
        let (warned, text) = said(Some(false), Some("https://id.example/logout?x=y"));
        assert!(warned == 0 && text.ends_with("open:\n  https://id.example/logout?x=y\n"), "{text}");
        let (warned, text) = said(Some(false), Some("https://id.example/\x1b]52;"));
        assert!(warned == 1 && !text.contains("id.example"), "{text}");
    }

    #[tokio::test]
    async fn logins_elsewhere_are_ended_or_the_keys_stay_for_another_try() {
        let dir = tempfile::tempdir().expect("dir");
        let profile = Home::under(dir.path()).profile(None).expect("profile");
        assert_eq!(logout(std::slice::from_ref(&profile), true).await.map_err(|e| e.exit), Err(exit::NOT_SIGNED_IN));
        sign_in(&profile, "https://127.0.0.1:1", "alice", Timestamp::from_secs(i64::from(i32::MAX)));
        assert!(logout(std::slice::from_ref(&profile), true).await.is_err());
        assert!(profile.path(file::FACTS).exists(), "it is still there");
        assert!(logout(std::slice::from_ref(&profile), false).await.is_ok());
        assert!(!profile.path(file::FACTS).exists());
    }
}
