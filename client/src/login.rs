//! `naru login`, `naru status`, `naru logout`: exchanging a one-time link for certificates, and saying who is signed in.

use std::time::Duration;

use access::words::{InstallId, UserName};
use serde::Serialize;
use wire::api::{Done, SignIn, SignedIn, Status, exit};
use wire::link::{Address, Pin, SignInLink};

use crate::failure::Failure;
use crate::http::Api;
use crate::keys::{Keys, clean_certificate, clean_public};
use crate::out::{Answer, Table, say};
use crate::profile::{Facts, Home, Profile, file};
use crate::{ssh_config, tls, when};

/// How long the server may take to hear of a sign-out.
const TELL: Duration = Duration::from_secs(10);

/// Who has just signed in, where.
#[derive(Debug, Serialize)]
struct LoggedIn<'a> {
    profile: &'a str,
    server: &'a str,
    user: &'a str,
    name: &'a UserName,
    expires: access::time::Timestamp,
    install: &'a InstallId,
}

/// Signs in with a one-time link. `explicit` says that the profile was named: then the sign-in is kept there or refused, and an existing
/// current profile stays current. Without it, a profile that belongs to somebody else stays as it is, and another one is made.
pub async fn with_link(home: &Home, profile: &Profile, url: Option<&str>, link: &str, explicit: bool) -> Result<Answer, Failure> {
    let link: SignInLink = link
        .parse()
        .map_err(|e| Failure::usage("this is not a whole sign-in link").because(e).hint("quote the link: the shell may cut it at `#`"))?;
    if let Some(url) = url {
        let asked: Address = url.parse().map_err(|e| Failure::usage(format!("{url:?} is not a server's address")).because(e))?;
        if asked != link.address {
            return Err(Failure::usage(format!("the link is for {}, not for {asked}", link.address)));
        }
    }
    let holder = match Holder::of(profile) {
        Some(holder) if holder.is_gone().await => None,
        there => there,
    };
    if explicit && let Some(other) = holder.as_ref().filter(|holder| holder.lives() && !holder.is_at(&link)) {
        // Before anything is sent: the link can still be used.
        let hint =
            format!("take another name, naru --profile NAME login …, or end that sign-in first: naru --profile {} logout", profile.name);
        return Err(other.stays(profile).hint(hint));
    }
    let keys = Keys::make()?;
    let ask = SignIn { secret: link.secret.clone(), ssh_public_key: keys.ssh_public.clone(), csr_pem: keys.csr.clone() };
    let api = Api::pinned(link.address.clone(), link.pin)?;
    let answer: SignedIn = api.post("/v1/sign-in/link", &ask).await?;
    let other = holder.filter(|holder| !(holder.is_at(&link) && holder.facts.name == answer.name) && (holder.lives() || !explicit));
    let own;
    let kept = match &other {
        None => profile,
        Some(_) => {
            own = profile_for(home, &link, &answer.name)?;
            &own
        }
    };
    let facts = keep(kept, &link, &keys, &answer)?;
    if let (Some(other), true) = (&other, explicit) {
        // The link is used up, so what it gave is not thrown away.
        return Err(other
            .stays(profile)
            .because(format!("the link was for {}, whose sign-in is kept as profile {}", facts.name, kept.name))
            .hint(format!("naru --profile {} status", kept.name)));
    }
    home.set_current(kept, explicit)?;
    Ok(said(kept, &facts, other.as_ref().map(|other| (profile, other))))
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

/// How long a server on this machine may take to answer.
const GONE: std::time::Duration = std::time::Duration::from_secs(1);

/// Whose a profile is, whether or not the sign-in has ended.
struct Holder {
    facts: Facts,
    pin: Option<Pin>,
}

impl Holder {
    /// Of a profile; none where there is no sign-in or one that cannot be read, which nobody can lose.
    fn of(profile: &Profile) -> Option<Self> {
        let facts = profile.facts().ok()?;
        let roots = profile.read(file::CA).ok().and_then(|pem| tls::certificates(&pem).ok());
        Some(Self { facts, pin: roots.and_then(|roots| roots.first().map(|root| Pin::of_der(root))) })
    }

    /// The same address, which may have been set up anew, or the same authority, which may have several addresses.
    fn is_at(&self, link: &SignInLink) -> bool {
        self.facts.address == link.address.to_string() || self.pin == Some(link.pin)
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
fn profile_for(home: &Home, link: &SignInLink, name: &UserName) -> Result<Profile, Failure> {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@') { c } else { '-' }).collect()
    };
    let short: String = plain(name.as_str()).chars().take(64).collect();
    let long: String = plain(&format!("{}@{}", name.as_str(), link.address.host())).chars().take(60).collect();
    let mut number = 1u32;
    let mut candidate = short;
    loop {
        let profile = home.profile(Some(&candidate))?;
        if Holder::of(&profile).is_none_or(|holder| holder.is_at(link) && holder.facts.name == *name) {
            return Ok(profile);
        }
        candidate = if number == 1 { long.clone() } else { format!("{long}-{number}") };
        number += 1;
    }
}

/// The sentence for `naru login` without a link.
pub fn needs_a_link(other: Option<&str>) -> Failure {
    let title = match other {
        Some(flag) => format!("{flag} is not available: signing in needs a one-time link"),
        None => "signing in needs a one-time link".to_owned(),
    };
    Failure::usage(title).hint("ask an administrator for one (naru login-link create USER), then: naru login --link 'LINK'")
}

/// Checks what the server said and writes it. Everything that ends up in a file is parsed and written anew, so that an answer cannot
/// carry a line break or a directive into a file that other programs read.
fn keep(profile: &Profile, link: &SignInLink, keys: &Keys, answer: &SignedIn) -> Result<Facts, Failure> {
    let refuse = |what: &str| {
        Failure::new("NARU-A110", exit::FAILED, format!("{} gave {what}, so nothing was kept", link.address)).hint("tell an administrator")
    };
    let roots = tls::certificates(&answer.ca_pem).map_err(|_| refuse("no readable CA certificate"))?;
    let [root] = roots.as_slice() else { return Err(refuse("more than one CA certificate")) };
    if Pin::of_der(root) != link.pin {
        return Err(refuse("another CA certificate than the link names"));
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
        address: link.address.to_string(),
        user: answer.user.clone(),
        name: answer.name.clone(),
        roles: answer.roles.clone(),
        expires: answer.expires,
        install: answer.install.clone(),
        server_name: answer.server_name.clone(),
        ssh,
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

/// `naru status`: asks the server who it thinks we are.
pub async fn status(profile: &Profile, api: &Api) -> Result<Answer, Failure> {
    let status: Status = api.get("/v1/status").await?;
    let roles: Vec<&str> = status.roles.iter().map(|role| role.as_str()).collect();
    let left = when::length(status.expires.since(when::now()));
    let table = Table::facts([
        ("profile", profile.name.clone()),
        ("server", api.address().to_string()),
        ("user", status.name.to_string()),
        ("roles", roles.join(" ")),
        ("expires", format!("{} (in {left})", when::shown(status.expires))),
        ("install", status.install.to_string()),
        ("version", status.version.clone()),
    ]);
    let mut answer = Answer::new(&status, table);
    if let serde_json::Value::Object(map) = &mut answer.json {
        map.insert("profile".into(), profile.name.clone().into());
        map.insert("server".into(), api.address().to_string().into());
    }
    Ok(answer)
}

/// `naru status --all`: every sign-in of this computer, as its files say. No server is asked.
pub fn all(home: &Home, current: &str) -> Answer {
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for profile in home.profiles() {
        let Ok(facts) = profile.facts() else { continue };
        let (is_current, lives) = (profile.name == current, facts.expires > when::now());
        items.push(serde_json::json!({
            "profile": profile.name, "current": is_current, "server": facts.address, "user": facts.user, "name": facts.name,
            "roles": facts.roles, "expires": facts.expires, "signed_in": lives,
        }));
        rows.push([
            profile.name,
            if is_current { "*" } else { "" }.to_owned(),
            facts.name.to_string(),
            facts.address,
            if lives { when::shown(facts.expires) } else { "ended".to_owned() },
        ]);
    }
    Answer::new(&serde_json::json!({ "items": items }), Table::of(["profile", "current", "user", "server", "expires"], rows))
}

/// `naru logout`: tells the server that the sign-in is over, then removes keys and certificates of these profiles from this laptop.
/// They are removed also when the server cannot be told; then a warning names the time until which they would be good elsewhere.
pub async fn logout(profiles: &[Profile]) -> Result<Answer, Failure> {
    let (mut gone, mut warned) = (Vec::new(), Vec::new());
    for profile in profiles {
        warned.extend(end_at_server(profile).await);
        if profile.remove()? {
            gone.push(profile.name.clone());
        }
    }
    for line in &warned {
        say(&format!("warning: {line}"));
    }
    let line = if gone.is_empty() { "nobody was signed in".to_owned() } else { format!("signed out: {}", gone.join(" ")) };
    Ok(Answer::new(&serde_json::json!({ "signed_out": gone, "warnings": warned }), Table::line(line)))
}

/// Ends the sign-in at its server, or says what remains.
async fn end_at_server(profile: &Profile) -> Option<String> {
    // A sign-in that has ended by itself needs no word.
    let facts = profile.signed_in(when::now()).ok()?;
    let told = async {
        let _: Done = Api::of(profile)?.post("/v1/sign-out", &serde_json::json!({})).await?;
        Ok(())
    };
    let told: Result<(), Failure> = match tokio::time::timeout(TELL, told).await {
        Ok(told) => told,
        Err(_) => Err(Failure::new("NARU-N103", exit::CANNOT_REACH, format!("{} does not answer", facts.address))),
    };
    match told {
        Ok(()) => None,
        // The server knows of no such sign-in any more: somebody ended it before.
        Err(failure) if failure.exit == exit::NOT_SIGNED_IN => None,
        Err(failure) => {
            let until = when::shown(facts.expires);
            Some(format!("{failure}, so it still takes the certificates of {} wherever a copy of them is, until {until}", facts.name))
        }
    }
}

#[cfg(test)]
mod tests {
    use access::time::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_link_that_is_cut_or_for_another_server_is_usage() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let profile = home.profile(None).expect("profile");
        let cut = with_link(&home, &profile, None, "https://h:1/sign-in", false).await.expect_err("cut");
        assert_eq!(cut.exit, exit::USAGE);
        let link = format!("https://h:1/sign-in#abcdefghijklmnop.{}", Pin::of_der(b"x"));
        let other = with_link(&home, &profile, Some("https://other:1"), &link, false).await.expect_err("other");
        assert_eq!(other.exit, exit::USAGE);
        assert_eq!(needs_a_link(None).exit, exit::USAGE);
    }

    fn sign_in(profile: &Profile, address: &str, name: &str, expires: Timestamp) {
        let facts = Facts {
            address: address.into(),
            user: "i|s".into(),
            name: name.parse().expect("name"),
            roles: vec![],
            expires,
            install: "i-1".parse().expect("id"),
            server_name: "h".into(),
            ssh: vec![],
        };
        profile.write(file::FACTS, &serde_json::to_vec(&facts).expect("json")).expect("written");
    }

    #[tokio::test]
    async fn a_named_profile_of_another_server_is_refused_before_the_link_is_used() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let work = home.profile(Some("work")).expect("profile");
        sign_in(&work, "https://a:1", "alice", Timestamp::from_secs(i64::from(i32::MAX)));
        // Nothing listens there: a try to use the link would be exit 7.
        let link = format!("https://127.0.0.1:1/sign-in#abcdefghijklmnop.{}", Pin::of_der(b"x"));
        let refused = with_link(&home, &work, None, &link, true).await.expect_err("another server");
        assert_eq!((refused.code.as_str(), refused.exit), ("NARU-A111", exit::CONFLICT));
        assert!(refused.title.contains("work belongs to alice at https://a:1"), "{}", refused.title);
        let ended_demo = "https://127.0.0.1:2";
        sign_in(&work, ended_demo, "alice", Timestamp::from_secs(i64::from(i32::MAX)));
        assert_eq!(with_link(&home, &work, None, &link, true).await.expect_err("tried").exit, exit::CANNOT_REACH, "nothing is there");
        sign_in(&work, "https://a:1", "alice", Timestamp::from_secs(1));
        assert_eq!(with_link(&home, &work, None, &link, true).await.expect_err("tried").exit, exit::CANNOT_REACH);
    }

    #[test]
    fn a_new_profile_is_named_after_the_person_and_the_host() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::under(dir.path());
        let link = |address: &str| -> SignInLink {
            SignInLink { address: address.parse().expect("address"), secret: "s".repeat(16), pin: Pin::of_der(b"x") }
        };
        let kim: UserName = "kim+x@corp.example".parse().expect("name");
        let name = |link: &SignInLink| profile_for(&home, link, &kim).expect("profile").name;
        assert_eq!(name(&link("https://[::1]:1")), "kim-x@corp.example");
        let soon = Timestamp::from_secs(1);
        sign_in(&home.profile(Some("kim-x@corp.example")).expect("profile"), "https://a:1", kim.as_str(), soon);
        assert_eq!(name(&link("https://a:1")), "kim-x@corp.example", "their own is renewed");
        assert_eq!(name(&link("https://[::1]:1")), "kim-x@corp.example@--1");
        sign_in(&home.profile(Some("kim-x@corp.example@--1")).expect("profile"), "https://[::1]:2", "kim", soon);
        assert_eq!(name(&link("https://[::1]:1")), "kim-x@corp.example@--1-2");
        let all = all(&home, "kim-x@corp.example");
        assert_eq!(all.table.rows.len(), 2);
        assert_eq!((&all.json["items"][0]["current"], &all.json["items"][0]["signed_in"]), (&true.into(), &false.into()));
    }

    #[test]
    fn nothing_is_kept_of_an_answer_that_does_not_fit() {
        let dir = tempfile::tempdir().expect("dir");
        let profile = Home::under(dir.path()).profile(None).expect("profile");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = params.self_signed(&rcgen::KeyPair::generate().expect("key")).expect("ca");
        let keys = Keys::make().expect("keys");
        let link = |pin| SignInLink { address: "https://h:1".parse().expect("address"), secret: "s".repeat(16), pin };
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
        let wrong_pin = keep(&profile, &link(Pin::of_der(b"x")), &keys, &answer).expect_err("another CA");
        assert!(wrong_pin.title.contains("another CA"), "{}", wrong_pin.title);
        let no_cert = keep(&profile, &link(Pin::of_der(ca.der())), &keys, &answer).expect_err("a key is no certificate");
        assert!(no_cert.title.contains("SSH certificate"), "{}", no_cert.title);
        assert!(!profile.path(file::SSH_KEY).exists());
    }
}
