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

/// Signs in with a one-time link and keeps the result in the profile. `explicit` says that the profile was named: then an existing
/// current profile stays current.
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
    let keys = Keys::make()?;
    let ask = SignIn { secret: link.secret.clone(), ssh_public_key: keys.ssh_public.clone(), csr_pem: keys.csr.clone() };
    let api = Api::pinned(link.address.clone(), link.pin)?;
    let answer: SignedIn = api.post("/v1/sign-in/link", &ask).await?;
    let facts = keep(profile, &link, &keys, &answer)?;
    home.set_current(profile, explicit)?;
    let said = LoggedIn {
        profile: &profile.name,
        server: &facts.address,
        user: &facts.user,
        name: &facts.name,
        expires: facts.expires,
        install: &facts.install,
    };
    let line = format!("signed in to {} as {} until {} (profile {})", facts.address, facts.name, when::shown(facts.expires), profile.name);
    Ok(Answer::new(&said, Table::line(line)))
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
