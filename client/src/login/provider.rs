//! `naru login` through an identity provider: by the browser of this computer, on another device, or with a code that is compared.

use std::io::IsTerminal as _;
use std::time::Duration;

use access::connector::Flow;
use access::words::ConnectorName;
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::{Instant, sleep, timeout_at};
use wire::api::{Begin, Begun, ConnectorRow, Finish, Finished, SignedIn, exit};

use super::browser::{Opener, Page};
use super::callback::Listener;
use super::keep::{Place, Room, Source};
use super::trust;
use crate::failure::Failure;
use crate::http::Api;
use crate::keys::Keys;
use crate::out::{Answer, say};
use crate::terminal::Ends;
use crate::when;

/// How long a sign-in is waited for, whatever the two clocks say.
const LIFE: std::ops::RangeInclusive<u64> = 60..=1800;
/// Seconds between two questions.
const INTERVAL: std::ops::RangeInclusive<u64> = 1..=60;

/// Which way the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What fits this computer.
    Best,
    /// `--device`.
    Device,
    /// `--no-browser`.
    NoBrowser,
}

/// How to sign in.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The server; without it that of the profile.
    pub url: Option<&'a str>,
    /// Its authority's pin.
    pub ca_pin: Option<&'a str>,
    /// Which provider.
    pub connector: Option<&'a ConnectorName>,
    /// Which way.
    pub way: Way,
    /// The provider is to let the person show anew who they are.
    pub again: bool,
}

/// Signs in through a provider. Ends with 130 at Ctrl-C.
pub async fn with_provider(place: Place<'_>, asked: Asked<'_>) -> Result<Answer, Failure> {
    let server = trust::server(place, asked.url, asked.ca_pin).await?;
    let room = Room::at(place, server).await?;
    let mut ends = Ends::listen()?;
    tokio::select! {
        done = sign_in(room, asked) => done,
        exit = ends.next() => Err(Failure::new("NARU-A119", exit, "the sign-in was given up")),
    }
}

async fn sign_in(room: Room<'_>, asked: Asked<'_>) -> Result<Answer, Failure> {
    let api = room.server().api()?;
    let rows: Vec<ConnectorRow> = api.all("/v1/connectors", None).await?;
    let last = room.connector().filter(|last| rows.iter().any(|row| row.name == **last));
    let row = chosen(&api, &rows, asked.connector.or(last))?;
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let opener = Opener::find(|name| std::env::var_os(name), terminal);
    let flow = flow(asked.way, row, opener.is_some(), terminal)?;
    let keys = Keys::make()?;
    let verifier = verifier()?;
    let begin = Begin {
        connector: Some(row.name.clone()),
        flow,
        redirect: None,
        challenge: challenge(&verifier),
        ssh_public_key: keys.ssh_public.clone(),
        csr_pem: keys.csr.clone(),
        host: host(),
        again: asked.again,
    };
    match opener.filter(|_| flow == Flow::Browser) {
        Some(opener) => by_browser(room, &api, begin, verifier, &keys, &opener).await,
        None => elsewhere(room, &api, &begin, verifier, &keys).await,
    }
}

/// The browser of this computer comes back to us with the provider's answer, and is told at the end how it went.
async fn by_browser(room: Room<'_>, api: &Api, begin: Begin, verifier: String, keys: &Keys, opener: &Opener) -> Result<Answer, Failure> {
    let connector = begin.connector.as_ref().ok_or_else(|| Failure::usage("which identity provider?"))?;
    let listener = Listener::bind(connector).await?;
    let begin = Begin { redirect: Some(listener.redirect()), ..begin };
    let begun: Begun = api.post("/v1/sign-in/begin", &begin).await?;
    let page = Page::of(&begun.browse, api.address())?;
    let until = until(&begun);
    let opened = opener.open(&page);
    say(if opened { "Sign in in the browser that opens. If none does, open:" } else { "No browser could be opened here. Open:" });
    say(&format!("  {page}"));
    say(&format!("Waiting until {} … (Ctrl-C gives up)", when::shown(begun.expires)));
    let arrived = timeout_at(until, listener.wait()).await.map_err(|_| late())?;
    let finish = Finish { id: begun.id, verifier, answer: Some(arrived.query.clone()) };
    let kept = match finished(api, &finish, begun.interval_s, until).await {
        Ok(signed_in) => room.take(keys, &signed_in, Source::Provider(begun.connector)).await,
        Err(failure) => Err(failure),
    };
    match &kept {
        Ok((_, facts)) => {
            let sentence = format!("{} as {}. You can close this window and go back to the terminal.", facts.address, facts.name);
            arrived.show("Signed in", &format!("You are signed in to {sentence}")).await;
        }
        Err(failure) => {
            let hint = failure.hint.as_deref().unwrap_or_default();
            arrived.show("Not signed in", &format!("{} [{}] {hint}", failure.title, failure.code)).await;
        }
    }
    kept.map(|(answer, _)| answer)
}

/// A browser anywhere signs in; we ask now and then whether it has.
async fn elsewhere(room: Room<'_>, api: &Api, begin: &Begin, verifier: String, keys: &Keys) -> Result<Answer, Failure> {
    let begun: Begun = api.post("/v1/sign-in/begin", begin).await?;
    let page = Page::of(&begun.browse, api.address())?;
    say("Open this address in a browser, on any computer or phone:");
    say(&format!("  {page}"));
    if let Some(code) = &begun.code {
        let doing = if begin.flow == Flow::Device { "Type or compare this code there:" } else { "Go on there only if it shows this code:" };
        say(doing);
        say(&format!("  {code}"));
    }
    say(&format!("Waiting until {} …", when::shown(begun.expires)));
    let until = until(&begun);
    let finish = Finish { id: begun.id, verifier, answer: None };
    let signed_in = finished(api, &finish, begun.interval_s, until).await?;
    room.take(keys, &signed_in, Source::Provider(begun.connector)).await.map(|(answer, _)| answer)
}

/// Asks until it is done, refused or too late. With an answer of the provider the first question counts at once, and it can be asked once.
async fn finished(api: &Api, finish: &Finish, interval_s: u64, until: Instant) -> Result<SignedIn, Failure> {
    let every = |seconds: u64| Duration::from_secs(seconds.clamp(*INTERVAL.start(), *INTERVAL.end()));
    let mut pause = every(interval_s);
    let mut wait = finish.answer.is_none();
    loop {
        if wait {
            timeout_at(until, sleep(pause)).await.map_err(|_| late())?;
        }
        wait = true;
        match api.post("/v1/sign-in/finish", finish).await {
            Ok(Finished::SignedIn(signed_in)) => return Ok(*signed_in),
            Ok(Finished::Waiting { interval_s }) => pause = every(interval_s),
            // A laptop that changes its network while somebody types a code.
            Err(failure) if failure.exit == exit::CANNOT_REACH && finish.answer.is_none() => {
                say(&format!("note: {failure}; trying again"));
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// When to give up. The server's clock may be another; it refuses by itself what is too late.
fn until(begun: &Begun) -> Instant {
    let left = begun.expires.since(when::now()).as_secs();
    Instant::now() + Duration::from_secs(left.clamp(*LIFE.start(), *LIFE.end()))
}

fn late() -> Failure {
    Failure::new("NARU-A114", exit::NOT_SIGNED_IN, "nobody signed in within the time that there was").hint("naru login, once more")
}

/// The provider that is meant.
fn chosen<'a>(api: &Api, rows: &'a [ConnectorRow], asked: Option<&ConnectorName>) -> Result<&'a ConnectorRow, Failure> {
    let address = api.address();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let names = names.join(", ");
    match (asked, rows) {
        (_, []) => Err(Failure::new("NARU-A113", exit::FAILED, format!("{address} has no identity provider to sign in with"))
            .hint("ask an administrator for a link (naru login-link create USER), then: naru login --link 'LINK'")),
        (Some(name), rows) => rows.iter().find(|row| row.name == *name).ok_or_else(|| {
            Failure::new("NARU-A112", exit::USAGE, format!("{address} has no connector {name}")).hint(format!("it has: {names}"))
        }),
        (None, [row]) => Ok(row),
        (None, _) => Err(Failure::new("NARU-A112", exit::USAGE, format!("{address} has several identity providers"))
            .hint(format!("say which with --connector: {names}"))),
    }
}

/// The way that is asked for, or the best one here: nothing is opened or shown where nobody is, unless the words say so.
fn flow(way: Way, row: &ConnectorRow, opens: bool, terminal: bool) -> Result<Flow, Failure> {
    let allowed = |flow: Flow| row.flows.is_empty() || row.flows.contains(&flow);
    let asked = match way {
        Way::Device => Flow::Device,
        Way::NoBrowser => Flow::Headless,
        Way::Best => {
            if opens && allowed(Flow::Browser) {
                return Ok(Flow::Browser);
            }
            if terminal && let Some(flow) = [Flow::Headless, Flow::Device].into_iter().find(|flow| allowed(*flow)) {
                return Ok(flow);
            }
            let title = "there is no terminal and no browser here to sign in with";
            return Err(Failure::new("NARU-A115", exit::NOT_SIGNED_IN, title)
                .hint("add --no-browser or --device: they print an address to open elsewhere; or set BROWSER"));
        }
    };
    if allowed(asked) {
        return Ok(asked);
    }
    let ways: Vec<&str> = row.flows.iter().map(|flow| flow.as_str()).collect();
    let title = format!("connector {} does not allow to sign in this way ({})", row.name, asked.as_str());
    Err(Failure::new("NARU-A113", exit::FAILED, title).hint(format!("it allows: {}", ways.join(", "))))
}

/// 32 random bytes in base64url (RFC 7636 section 4.1).
fn verifier() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|e| Failure::new("NARU-C013", exit::FAILED, "this computer gives no random numbers").because(e))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// RFC 7636 section 4.2, S256.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// What this computer calls itself, in at most 64 characters.
fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The browser's way, whatever this computer has.
    pub(in crate::login) async fn by_browser_of(room: Room<'_>, opener: &Opener) -> Result<Answer, Failure> {
        let api = room.server().api()?;
        let (keys, verifier) = (Keys::make()?, verifier()?);
        let begin = Begin {
            connector: Some("corp".parse().expect("name")),
            flow: Flow::Browser,
            redirect: None,
            challenge: challenge(&verifier),
            ssh_public_key: keys.ssh_public.clone(),
            csr_pem: keys.csr.clone(),
            host: host(),
            again: false,
        };
        by_browser(room, &api, begin, verifier, &keys, opener).await
    }

    fn row(name: &str, flows: &[Flow]) -> ConnectorRow {
        ConnectorRow { name: name.parse().expect("name"), issuer: "https://id.example".into(), flows: flows.to_vec() }
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        assert_eq!(challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let (one, two) = (verifier().expect("one"), verifier().expect("two"));
        assert!(one.len() == 43 && one != two);
    }

    #[test]
    fn a_way_fits_what_there_is_and_what_the_connector_allows() {
        let all = row("c", &Flow::ALL);
        let code = |found: Result<Flow, Failure>| found.map_err(|failure| (failure.code, failure.exit));
        assert_eq!(code(flow(Way::Best, &all, true, false)), Ok(Flow::Browser), "$BROWSER");
        assert_eq!(code(flow(Way::Best, &all, false, true)), Ok(Flow::Headless));
        assert_eq!(code(flow(Way::Best, &row("c", &[Flow::Device]), true, true)), Ok(Flow::Device));
        assert_eq!(code(flow(Way::Best, &all, false, false)), Err(("NARU-A115".into(), exit::NOT_SIGNED_IN)));
        assert_eq!(code(flow(Way::Best, &row("c", &[Flow::Device]), true, false)), Err(("NARU-A115".into(), exit::NOT_SIGNED_IN)));
        assert_eq!(code(flow(Way::Device, &all, true, false)), Ok(Flow::Device));
        assert_eq!(code(flow(Way::NoBrowser, &row("c", &[]), true, true)), Ok(Flow::Headless));
        assert_eq!(code(flow(Way::NoBrowser, &row("c", &[Flow::Browser]), true, true)), Err(("NARU-A113".into(), exit::FAILED)));
    }

    #[test]
    fn one_provider_is_taken_and_several_are_listed() {
        let api = Api::pinned("https://h:1".parse().expect("address"), wire::link::Pin::of_der(b"x")).expect("api");
        let two = [row("corp", &[]), row("lab", &[])];
        let lab: ConnectorName = "lab".parse().expect("name");
        assert_eq!(chosen(&api, &two, Some(&lab)).map(|row| &row.name), Ok(&lab));
        assert_eq!(chosen(&api, &two[..1], None).map(|row| row.name.as_str()), Ok("corp"));
        let several = chosen(&api, &two, None).expect_err("several");
        assert_eq!((several.exit, several.hint.as_deref()), (exit::USAGE, Some("say which with --connector: corp, lab")));
        assert_eq!(chosen(&api, &two[..1], Some(&lab)).map_err(|e| e.exit), Err(exit::USAGE));
        assert_eq!(chosen(&api, &[], None).map_err(|e| e.code), Err("NARU-A113".into()));
    }
}
