//! `naru login --link`: exchanging a one-time link for certificates.

use wire::api::{SignIn, SignedIn};
use wire::link::{Address, SignInLink};

use super::keep::{Place, Room, Server, Source};
use crate::failure::Failure;
use crate::keys::Keys;
use crate::out::Answer;

/// Signs in with a one-time link. `url` is the server that was named beside it.
pub async fn with_link(place: Place<'_>, url: Option<&str>, link: &str) -> Result<Answer, Failure> {
    let link: SignInLink = link
        .parse()
        .map_err(|e| Failure::usage("this is not a whole sign-in link").because(e).hint("quote the link: the shell may cut it at `#`"))?;
    if let Some(url) = url {
        let asked: Address = url.parse().map_err(|e| Failure::usage(format!("{url:?} is not a server's address")).because(e))?;
        if asked != link.address {
            return Err(Failure::usage(format!("the link is for {}, not for {asked}", link.address)));
        }
    }
    let room = Room::at(place, Server { address: link.address, pin: link.pin }).await?;
    let keys = Keys::make()?;
    let ask = SignIn { secret: link.secret, ssh_public_key: keys.ssh_public.clone(), csr_pem: keys.csr.clone() };
    let answer: SignedIn = room.server().api()?.post("/v1/sign-in/link", &ask).await?;
    room.take(&keys, &answer, Source::Link).await.map(|(answer, _)| answer)
}

#[cfg(test)]
mod tests {
    use access::time::Timestamp;
    use wire::api::exit;
    use wire::link::Pin;

    use super::super::keep::tests::sign_in;
    use super::*;
    use crate::profile::Home;

    #[tokio::test]
    async fn a_link_that_is_cut_or_for_another_server_is_usage() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let profile = home.profile(None).expect("profile");
        let cut = with_link(Place { home: &home, profile: &profile, explicit: false }, None, "https://h:1/sign-in").await.expect_err("cut");
        assert_eq!(cut.exit, exit::USAGE);
        let link = format!("https://h:1/sign-in#abcdefghijklmnop.{}", Pin::of_der(b"x"));
        let other =
            with_link(Place { home: &home, profile: &profile, explicit: false }, Some("https://other:1"), &link).await.expect_err("other");
        assert_eq!(other.exit, exit::USAGE);
    }

    #[tokio::test]
    async fn a_named_profile_of_another_server_is_refused_before_the_link_is_used() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let work = home.profile(Some("work")).expect("profile");
        sign_in(&work, "https://a:1", "alice", Timestamp::from_secs(i64::from(i32::MAX)));
        // Nothing listens there: a try to use the link would be exit 7.
        let link = format!("https://127.0.0.1:1/sign-in#abcdefghijklmnop.{}", Pin::of_der(b"x"));
        let refused = with_link(Place { home: &home, profile: &work, explicit: true }, None, &link).await.expect_err("another server");
        assert_eq!((refused.code.as_str(), refused.exit), ("NARU-A111", exit::CONFLICT));
        assert!(refused.title.contains("work belongs to alice at https://a:1"), "{}", refused.title);
        let ended_demo = "https://127.0.0.1:2";
        sign_in(&work, ended_demo, "alice", Timestamp::from_secs(i64::from(i32::MAX)));
        assert_eq!(
            with_link(Place { home: &home, profile: &work, explicit: true }, None, &link).await.expect_err("tried").exit,
            exit::CANNOT_REACH,
            "nothing is there"
        );
        sign_in(&work, "https://a:1", "alice", Timestamp::from_secs(1));
        assert_eq!(
            with_link(Place { home: &home, profile: &work, explicit: true }, None, &link).await.expect_err("tried").exit,
            exit::CANNOT_REACH
        );
    }
}
