//! Which server is meant, and why its authority is believed: a pin that was given, a sign-in that is there, or a person who compares.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use wire::api::exit;
use wire::link::{Address, Pin};

use super::keep::{Holder, Place, Server};
use crate::failure::Failure;
use crate::http::Api;
use crate::out::plain;
use crate::profile::Profile;

/// Most bytes of an answer that is typed.
const TYPED: u64 = 256;

/// The server at `url`, or that of the profile. A pin stands in `ca_pin` or behind a `#` of the URL; without one the authority is that
/// of an earlier sign-in at this address, else a person at the terminal is asked.
pub(super) async fn server(place: Place<'_>, url: Option<&str>, ca_pin: Option<&str>) -> Result<Server, Failure> {
    let given = ca_pin.map(pin).transpose()?;
    let Some(url) = url else { return unnamed(place, given) };
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, pin)| (url, Some(pin)));
    let address: Address = url.parse().map_err(|e| Failure::usage(format!("{url:?} is not a server's address")).because(e))?;
    let written = fragment.map(pin).transpose()?;
    if let (Some(one), Some(other)) = (given, written)
        && one != other
    {
        return Err(Failure::usage("--ca-pin and the address name two authorities").hint("give the one that the administrator gave you"));
    }
    if let Some(pin) = given.or(written) {
        return Ok(Server { address, pin });
    }
    let known = || place.home.servers().into_iter().find_map(|(there, pin)| (there == address).then_some(pin));
    let pin = match of_sign_in(place.profile, &address).or_else(known) {
        Some(pin) => pin,
        None => {
            let pin = ask(&address).await?;
            // Whoever has compared once is not asked again, also where the sign-in fails.
            place.home.remember(&address, pin)?;
            pin
        }
    };
    Ok(Server { address, pin })
}

/// The server of the profile's sign-in, whether or not that has ended; without one the only server that this computer knows.
fn unnamed(place: Place<'_>, given: Option<Pin>) -> Result<Server, Failure> {
    let (address, pin) = match (Holder::of(place.profile), place.home.servers().as_slice()) {
        (Some(holder), _) => (holder.facts.address()?, holder.pin),
        (None, [(address, pin)]) => (address.clone(), Some(*pin)),
        (None, known) => {
            let names: Vec<String> = known.iter().map(|(address, _)| format!("naru login {address}")).collect();
            let first = "naru login https://HOST:PORT --ca-pin sha256:…, as your administrator gave it to you, or naru login --link 'LINK'";
            return Err(Failure::usage("which server?").hint(if names.is_empty() { first.to_owned() } else { names.join("\n") }));
        }
    };
    let pin = given.or(pin).ok_or_else(|| unknown(&address))?;
    Ok(Server { address, pin })
}

/// The authority of the profile's sign-in, where that is at this address.
fn of_sign_in(profile: &Profile, address: &Address) -> Option<Pin> {
    let holder = Holder::of(profile)?;
    (holder.facts.address == address.to_string()).then_some(holder.pin?)
}

fn pin(text: &str) -> Result<Pin, Failure> {
    text.parse().map_err(|e| Failure::usage(format!("{text:?} is not the pin of an authority")).because(e))
}

fn unknown(address: &Address) -> Failure {
    Failure::new("NARU-A116", exit::USAGE, format!("the authority of {address} is not known to this computer yet"))
        .hint("add --ca-pin sha256:…, as your administrator gave it to you")
}

/// Shows the authority to the person, as ssh does with a host key. No request is sent to a server that nobody vouches for.
async fn ask(address: &Address) -> Result<Pin, Failure> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(unknown(address));
    }
    let pin = Api::introduce(address.clone()).await?;
    let question = format!(
        "The authority of {address} is {pin}\nDoes the line that your administrator gave you say the same? (yes/no, or paste that pin) "
    );
    let mut stderr = std::io::stderr().lock();
    for line in question.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let _ = write!(stderr, "{}{end}", plain(line));
    }
    let _ = stderr.flush();
    let mut said = String::new();
    let _ = std::io::Read::take(std::io::stdin().lock(), TYPED).read_line(&mut said);
    if agrees(&said, pin) {
        return Ok(pin);
    }
    Err(Failure::new("NARU-A117", exit::FAILED, format!("the authority of {address} was not confirmed, so nothing was sent there"))
        .hint("ask your administrator for the line with --ca-pin"))
}

fn agrees(said: &str, pin: Pin) -> bool {
    said.trim() == "yes" || said.trim() == pin.to_string()
}

#[cfg(test)]
mod tests {
    use access::time::Timestamp;

    use super::super::keep::tests::sign_in;
    use super::*;
    use crate::profile::{Home, file};

    #[tokio::test]
    async fn a_pin_comes_from_the_words_the_address_or_a_sign_in() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let profile = home.profile(None).expect("profile");
        let place = Place { home: &home, profile: &profile, explicit: false };
        let (one, two) = (Pin::of_der(b"one"), Pin::of_der(b"two"));
        let url = format!("https://h:1#{one}");
        assert_eq!(server(place, Some(&url), None).await.map(|s| s.pin), Ok(one));
        assert_eq!(server(place, Some("https://h:1"), Some(&two.to_string())).await.map(|s| s.pin), Ok(two));
        assert_eq!(server(place, Some(&url), Some(&two.to_string())).await.map_err(|e| e.exit), Err(exit::USAGE), "two");
        assert_eq!(server(place, Some("https://h:1#sha256:x"), None).await.map_err(|e| e.exit), Err(exit::USAGE), "no pin");
        assert_eq!(server(place, None, None).await.map_err(|e| e.exit), Err(exit::USAGE), "no server");

        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&rcgen::KeyPair::generate().expect("key")).expect("ca");
        let work = home.profile(Some("work")).expect("profile");
        sign_in(&work, "https://h:1", "alice", Timestamp::from_secs(1));
        work.write(file::CA, ca.pem().as_bytes()).expect("written");
        let there = Server { address: "https://h:1".parse().expect("address"), pin: Pin::of_der(ca.der()) };
        let at_work = Place { profile: &work, ..place };
        assert_eq!(server(at_work, None, None).await, Ok(there.clone()), "that of the profile");
        assert_eq!(server(at_work, Some("h:1"), None).await, Ok(there.clone()));
        assert_eq!(server(place, Some("h:1"), None).await.map_err(|e| e.code), Err("NARU-A116".into()), "somebody else's");
        home.remember(&there.address, there.pin).expect("kept");
        assert_eq!(server(place, Some("h:1"), None).await, Ok(there.clone()), "signed in to before");
        assert_eq!(server(place, None, None).await, Ok(there.clone()), "the only one");
        home.remember(&"https://h:2".parse().expect("address"), one).expect("kept");
        let hint = server(place, None, None).await.expect_err("one of two").hint;
        assert_eq!(hint.as_deref(), Some("naru login https://h:1\nnaru login https://h:2"));
        assert_eq!(server(at_work, None, Some(&two.to_string())).await.map(|s| s.pin), Ok(two), "set up anew");
    }

    #[test]
    fn only_yes_or_the_pin_agrees() {
        let pin = Pin::of_der(b"x");
        assert!(agrees("yes\n", pin) && agrees(&format!(" {pin}\n"), pin));
        for no in ["", "y", "no", "Yes it is", &Pin::of_der(b"y").to_string()] {
            assert!(!agrees(no, pin), "{no:?}");
        }
    }
}
