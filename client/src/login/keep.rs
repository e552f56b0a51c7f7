//! Where a sign-in is kept, whoever gave it: the rules of profiles, and the checks before anything is written. Asks nobody to sign in.

use std::time::Duration;

use access::time::Timestamp;
use access::words::{ConnectorName, InstallId, UserName};
use serde::Serialize;
use wire::api::{SignOut, SignedIn, SignedOut, exit};
use wire::link::{Address, Pin};

use crate::failure::Failure;
use crate::http::Api;
use crate::keys::{Keys, clean_certificate, clean_public};
use crate::out::{Answer, Table, say};
use crate::profile::{Facts, Home, Profile, file};
use crate::{ssh_config, tls, when};

/// How long a server on this machine may take to answer.
const GONE: Duration = Duration::from_secs(1);
/// How long the server may take to hear that a sign-in was replaced.
const REPLACED: Duration = Duration::from_secs(3);

/// Where the user wants a sign-in. `explicit` says that the profile was named: then the sign-in is kept there or refused, and an existing
/// current profile stays current. Without it, a profile that belongs to somebody else stays as it is, and another one is made.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the words say it")]
pub struct Place<'a> {
    pub home: &'a Home,
    pub profile: &'a Profile,
    pub explicit: bool,
}

/// A proxy and the authority that its certificate must end in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) pin: Pin,
}

impl Server {
    /// As nobody.
    pub(super) fn api(&self) -> Result<Api, Failure> {
        Api::pinned(self.address.clone(), self.pin)
    }
}

/// Who has just signed in, where.
#[derive(Debug, Serialize)]
struct LoggedIn<'a> {
    profile: &'a str,
    server: &'a str,
    user: &'a str,
    name: &'a UserName,
    expires: Timestamp,
    install: &'a InstallId,
}

/// What gave a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A one-time link.
    Link,
    /// A bot's token.
    Token,
    /// A person at a provider. The server is told that the login which this one replaces is over.
    Provider(ConnectorName),
}

impl Source {
    /// What an error says of a sign-in that came out as somebody else's.
    fn for_whom(&self) -> &'static str {
        match self {
            Self::Link => "the link was for",
            Self::Token => "the token was for",
            Self::Provider(_) => "the provider signed in",
        }
    }

    /// An old sign-in by link or token ends by itself, and what runs on it goes on until then.
    fn ends_the_old(&self) -> bool {
        matches!(self, Self::Provider(_))
    }

    fn connector(self) -> Option<ConnectorName> {
        if let Self::Provider(connector) = self { Some(connector) } else { None }
    }
}

/// A place that has been looked at: a new sign-in may be asked for.
pub(super) struct Room<'a> {
    place: Place<'a>,
    server: Server,
    holder: Option<Holder>,
}

impl<'a> Room<'a> {
    /// Looks whose the profile is. Refuses before anything is sent: a link, a code or a token can still be used.
    pub(super) async fn at(place: Place<'a>, server: Server) -> Result<Self, Failure> {
        let holder = match Holder::of(place.profile) {
            Some(holder) if holder.is_gone().await => None,
            there => there,
        };
        if place.explicit
            && let Some(other) = holder.as_ref().filter(|holder| holder.lives() && !holder.is_at(&server))
        {
            let name = &place.profile.name;
            let hint = format!("take another name, naru --profile NAME login …, or end that sign-in first: naru --profile {name} logout");
            return Err(other.stays(place.profile).hint(hint));
        }
        Ok(Self { place, server, holder })
    }

    /// Where the sign-in is asked for.
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// The provider that the last sign-in at this server was made through.
    pub(super) fn connector(&self) -> Option<&ConnectorName> {
        self.holder.as_ref().filter(|holder| holder.is_at(&self.server))?.facts.connector.as_ref()
    }

    /// Keeps a sign-in.
    pub(super) async fn take(self, keys: &Keys, answer: &SignedIn, source: Source) -> Result<(Answer, Facts), Failure> {
        let Self { place: Place { home, profile, explicit }, server, holder } = self;
        let own = |holder: &Holder| holder.is_at(&server) && holder.facts.name == answer.name;
        let before = holder.as_ref().filter(|holder| own(holder) && source.ends_the_old() && holder.lives());
        let before = before.and_then(|_| Api::of(profile).ok());
        let other = holder.filter(|holder| !own(holder) && (holder.lives() || !explicit));
        let another;
        let kept = match &other {
            None => profile,
            Some(_) => {
                another = profile_for(home, &server, &answer.name)?;
                &another
            }
        };
        let for_whom = source.for_whom();
        let facts = keep(kept, &server, keys, answer, source.connector())?;
        home.remember(&server.address, server.pin)?;
        if let Some(before) = before {
            replaced(&before).await;
        }
        if let (Some(other), true) = (&other, explicit) {
            // It cannot be had a second time, so what it gave is not thrown away.
            return Err(other
                .stays(profile)
                .because(format!("{for_whom} {}, whose sign-in is kept as profile {}", facts.name, kept.name))
                .hint(format!("naru --profile {} status", kept.name)));
        }
        home.set_current(kept, explicit)?;
        Ok((said(kept, &facts, other.as_ref().map(|other| (profile, other))), facts))
    }
}

/// Ends a sign-in that nobody can use any more: its keys are gone from here. It goes on while shells hang on it; a server that does not
/// answer lets it run out.
async fn replaced(before: &Api) {
    let told = before.post::<SignedOut>("/v1/sign-out", &SignOut { all: false, replaced: true });
    let _ = tokio::time::timeout(REPLACED, told).await;
}

/// The answer, with a word on the profile that was left alone.
fn said(profile: &Profile, facts: &Facts, left: Option<(&Profile, &Holder)>) -> Answer {
    let said = LoggedIn {
        profile: &profile.name,
        server: &facts.address,
        user: &facts.user,
        name: &facts.name,
        expires: facts.expires,
        install: &facts.install,
    };
    let line = format!("signed in to {} as {} until {} (profile {})", facts.address, facts.name, when::shown(facts.expires), profile.name);
    if let Some((before, holder)) = left {
        say(&format!(
            "note: the current profile is now {}; {} at {} stays as profile {}: naru --profile {} …",
            profile.name, holder.facts.name, holder.facts.address, before.name, before.name
        ));
    }
    Answer::new(&said, Table::line(line))
}

/// Whose a profile is, whether or not the sign-in has ended.
pub(super) struct Holder {
    pub(super) facts: Facts,
    pub(super) pin: Option<Pin>,
}

impl Holder {
    /// Of a profile; none where there is no sign-in or one that cannot be read, which nobody can lose.
    pub(super) fn of(profile: &Profile) -> Option<Self> {
        let facts = profile.facts().ok()?;
        let roots = profile.read(file::CA).ok().and_then(|pem| tls::certificates(&pem).ok());
        Some(Self { facts, pin: roots.and_then(|roots| roots.first().map(|root| Pin::of_der(root))) })
    }

    /// The same address, which may have been set up anew, or the same authority, which may have several addresses.
    fn is_at(&self, server: &Server) -> bool {
        self.facts.address == server.address.to_string() || self.pin == Some(server.pin)
    }

    fn lives(&self) -> bool {
        self.facts.expires > when::now()
    }

    /// Its server was on this machine, and nothing is there any more: a demo that has ended.
    async fn is_gone(&self) -> bool {
        let Ok(address) = self.facts.address.parse::<Address>() else { return false };
        let Ok(ip) = address.host().parse::<std::net::IpAddr>() else { return false };
        let dialled = tokio::time::timeout(GONE, tokio::net::TcpStream::connect((ip, address.port())));
        ip.is_loopback() && matches!(dialled.await, Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused)
    }

    fn stays(&self, profile: &Profile) -> Failure {
        let title = format!("profile {} belongs to {} at {} and was left as it is", profile.name, self.facts.name, self.facts.address);
        Failure::new("NARU-A111", exit::CONFLICT, title)
    }
}

/// The profile for a person whose sign-in has no other place: their name, then name and host, then numbered. One that is theirs already
/// is taken again.
fn profile_for(home: &Home, server: &Server, name: &UserName) -> Result<Profile, Failure> {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@') { c } else { '-' }).collect()
    };
    let short: String = plain(name.as_str()).chars().take(64).collect();
    let long: String = plain(&format!("{}@{}", name.as_str(), server.address.host())).chars().take(60).collect();
    let mut number = 1u32;
    let mut candidate = short;
    loop {
        let profile = home.profile(Some(&candidate))?;
        if Holder::of(&profile).is_none_or(|holder| holder.is_at(server) && holder.facts.name == *name) {
            return Ok(profile);
        }
        candidate = if number == 1 { long.clone() } else { format!("{long}-{number}") };
        number += 1;
    }
}

/// Checks what the server said and writes it. Everything that ends up in a file is parsed and written anew, so that an answer cannot
/// carry a line break or a directive into a file that other programs read.
fn keep(profile: &Profile, server: &Server, keys: &Keys, answer: &SignedIn, connector: Option<ConnectorName>) -> Result<Facts, Failure> {
    let refuse = |what: &str| {
        Failure::new("NARU-A110", exit::FAILED, format!("{} gave {what}, so nothing was kept", server.address))
            .hint("tell an administrator")
    };
    let roots = tls::certificates(&answer.ca_pem).map_err(|_| refuse("no readable CA certificate"))?;
    let [root] = roots.as_slice() else { return Err(refuse("more than one CA certificate")) };
    if Pin::of_der(root) != server.pin {
        return Err(refuse("another CA certificate than the one that was pinned"));
    }
    let certificate =
        clean_certificate(&answer.ssh_certificate, &keys.ssh_public).ok_or_else(|| refuse("no SSH certificate for our key"))?;
    let host_ca = clean_public(&answer.ssh_host_ca).ok_or_else(|| refuse("no readable host CA key"))?;
    let mut ssh = Vec::new();
    for place in &answer.ssh {
        let place: Address = place.parse().map_err(|_| refuse("an SSH address that is none"))?;
        ssh.push(place.authority());
    }
    if answer.user.chars().any(char::is_control) || answer.server_name.parse::<Address>().is_err() {
        return Err(refuse("a name with characters that no name has"));
    }
    let facts = Facts {
        address: server.address.to_string(),
        user: answer.user.clone(),
        name: answer.name.clone(),
        roles: answer.roles.clone(),
        expires: answer.expires,
        install: answer.install.clone(),
        server_name: answer.server_name.clone(),
        ssh,
        connector,
    };
    let tls_pem = format!("{}{}", keys.tls_private.as_str(), answer.x509_chain_pem);
    tls::signed_in(&answer.ca_pem, &tls_pem).map_err(|_| refuse("no readable X.509 certificate for our key"))?;
    // The old facts go first and the new ones come last: a sign-in that was cut in the middle is none.
    profile.remove()?;
    profile.write(file::SSH_KEY, keys.ssh_private.as_bytes())?;
    profile.write(file::SSH_PUBLIC, format!("{}\n", keys.ssh_public).as_bytes())?;
    profile.write(file::SSH_CERT, format!("{certificate}\n").as_bytes())?;
    profile.write(file::TLS, tls_pem.as_bytes())?;
    profile.write(file::CA, answer.ca_pem.as_bytes())?;
    profile.write(file::KNOWN_HOSTS, ssh_config::known_hosts(&host_ca, &facts).as_bytes())?;
    profile.write(file::FACTS, &serde_json::to_vec(&facts).unwrap_or_default())?;
    Ok(facts)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::login) fn sign_in(profile: &Profile, address: &str, name: &str, expires: Timestamp) {
        let facts = Facts {
            address: address.into(),
            user: "i|s".into(),
            name: name.parse().expect("name"),
            roles: vec![],
            expires,
            install: "i-1".parse().expect("id"),
            server_name: "h".into(),
            ssh: vec![],
            connector: None,
        };
        profile.write(file::FACTS, &serde_json::to_vec(&facts).expect("json")).expect("written");
    }

    #[test]
    fn a_new_profile_is_named_after_the_person_and_the_host() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let link = |address: &str| Server { address: address.parse().expect("address"), pin: Pin::of_der(b"x") };
        let kim: UserName = "kim+x@corp.example".parse().expect("name");
        let name = |link: &Server| profile_for(&home, link, &kim).expect("profile").name;
        assert_eq!(name(&link("https://[::1]:1")), "kim-x@corp.example");
        let soon = Timestamp::from_secs(1);
        sign_in(&home.profile(Some("kim-x@corp.example")).expect("profile"), "https://a:1", kim.as_str(), soon);
        assert_eq!(name(&link("https://a:1")), "kim-x@corp.example", "their own is renewed");
        assert_eq!(name(&link("https://[::1]:1")), "kim-x@corp.example@--1");
        sign_in(&home.profile(Some("kim-x@corp.example@--1")).expect("profile"), "https://[::1]:2", "kim", soon);
        assert_eq!(name(&link("https://[::1]:1")), "kim-x@corp.example@--1-2");
    }

    #[test]
    fn nothing_is_kept_of_an_answer_that_does_not_fit() {
        let dir = tempfile::tempdir().expect("dir");
        let profile = Home::under(dir.path()).profile(None).expect("profile");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&rcgen::KeyPair::generate().expect("key")).expect("ca");
        let keys = Keys::make().expect("keys");
        let link = |pin| Server { address: "https://h:1".parse().expect("address"), pin };
        let answer = SignedIn {
            user: "i|s".into(),
            name: "alice".parse().expect("name"),
            roles: vec![],
            expires: Timestamp::from_secs(1),
            ssh_certificate: keys.ssh_public.clone(),
            x509_chain_pem: ca.pem(),
            ca_pem: ca.pem(),
            ssh_host_ca: keys.ssh_public.clone(),
            install: "i-1".parse().expect("id"),
            ssh: vec!["h:1\n  ProxyCommand sh".into()],
            server_name: "h".into(),
        };
        let wrong_pin = keep(&profile, &link(Pin::of_der(b"x")), &keys, &answer, None).expect_err("another CA");
        assert!(wrong_pin.title.contains("another CA"), "{}", wrong_pin.title);
        let no_cert = keep(&profile, &link(Pin::of_der(ca.der())), &keys, &answer, None).expect_err("a key is no certificate");
        assert!(no_cert.title.contains("SSH certificate"), "{}", no_cert.title);
        assert!(!profile.path(file::SSH_KEY).exists());
    }
}
