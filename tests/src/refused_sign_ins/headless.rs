//! A sign-in that goes on in a browser elsewhere: the person sees what waits, and says in that very browser that they meant it. Whoever
//! was only sent a link, has another browser, or answers from another page gets nobody in.

use super::{apply, connector};
use crate::harness::Demo;
use crate::issuer::{Issuer, Provider};
use crate::stranger::{Attempt, Door, Said, Stranger};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// A browser: a jar of cookies.
struct Browser<'a> {
    stranger: Stranger<'a>,
    jar: String,
}

/// A page, or where it leads.
struct Page {
    status: u16,
    leads: String,
    text: String,
}

impl<'a> Browser<'a> {
    fn new(demo: &Demo, stranger: Stranger<'a>) -> Self {
        let jar = demo.folder().join(format!("jar-{}", crate::issuer::keys::random()));
        Self { stranger, jar: jar.to_string_lossy().into_owned() }
    }

    fn load(&self, path: &str, words: &[&str]) -> Page {
        let out = self.stranger.curl(path, &[&["-i", "-b", &self.jar, "-c", &self.jar], words].concat()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{path}: {text}"));
        let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
        let leads = header("location:").or_else(|| header("Location:")).unwrap_or_default();
        Page { status, leads, text }
    }

    fn open(&self, attempt: &Attempt) -> Page {
        self.load(&path_of(&attempt.browse), &[])
    }

    /// Signs in at the provider where a page leads to, and comes back.
    fn sign_in(&self, issuer: &Issuer, leads: &str) -> Page {
        let query = issuer.authorize(leads).written();
        self.load(&format!("/v1/oidc/idp/callback?{query}"), &[])
    }

    fn say(&self, attempt: &Attempt, word: &str, code: &str, words: &[&str]) -> Page {
        self.load(&format!("/sign-in/{}/{word}", attempt.id), &[&["--data", &format!("code={code}")], words].concat())
    }
}

fn path_of(url: &str) -> String {
    url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default()
}

fn begin(stranger: Stranger<'_>) -> Attempt {
    let headless = |mut wish: Value| {
        wish["flow"] = json!("headless");
        wish["redirect"] = json!(null);
        wish["host"] = json!("<script>alert(1)</script>");
        wish
    };
    stranger.begin_with("idp", headless).unwrap_or_else(|said| panic!("{}", said.text))
}

fn waits(said: &Said) -> bool {
    said.status == 200 && said.body["state"] == "waiting"
}

struct Stage<'a> {
    demo: &'a Demo,
    issuer: Issuer,
    /// Who waits at a terminal.
    waits: Stranger<'a>,
    /// Whose browser it is.
    person: Stranger<'a>,
}

impl Stage<'_> {
    fn browser(&self) -> Browser<'_> {
        Browser::new(self.demo, self.person)
    }

    /// As far as the page that asks whether it was meant.
    fn asked(&self) -> (Attempt, Browser<'_>, String) {
        let (attempt, browser) = (begin(self.waits), self.browser());
        let page = browser.open(&attempt);
        let asked = browser.sign_in(&self.issuer, &page.leads);
        let code = attempt.body["code"].as_str().unwrap().to_owned();
        assert!(asked.status == 200 && asked.text.contains(&code) && asked.text.contains("127.7.0.1"), "{}", asked.text);
        assert!(!asked.text.contains("<script") && asked.text.contains("&lt;script"), "{}", asked.text);
        assert!(asked.text.contains("frame-ancestors 'none'"), "{}", asked.text);
        (attempt, browser, code)
    }
}

#[test]
fn only_the_browser_that_was_asked_says_yes() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let issuer = provider.issuer("idp");
    apply(&admin, "idp", &connector("idp", &issuer.url, "")).unwrap();
    let at = |host| door.from(Ipv4Addr::new(127, 7, 0, host));
    let stage = Stage { demo: &demo, issuer, waits: at(1), person: at(2) };

    let (attempt, browser, code) = stage.asked();
    assert!(waits(&stage.waits.poll(&attempt)), "nobody has said yes");
    // Another browser, another code, another page, another word.
    let other = stage.browser();
    assert_ne!(other.say(&attempt, "approve", &code, &[]).status, 200);
    assert_ne!(browser.say(&attempt, "approve", "AAAA-AAAA", &[]).status, 200);
    assert_ne!(browser.say(&attempt, "approve", &code, &["-H", "Origin: https://evil.example"]).status, 200);
    assert_ne!(browser.say(&attempt, "allow", &code, &[]).status, 200);
    assert_ne!(browser.load(&format!("/sign-in/{}/approve?code={code}", attempt.id), &[]).status, 200);
    assert!(waits(&stage.waits.poll(&attempt)));
    let thief = Attempt { verifier: "A".repeat(43), ..attempt.clone() };
    assert_eq!(browser.say(&attempt, "approve", &code, &[]).status, 200);
    assert!(stage.waits.poll(&thief).refused(), "who did not begin it gets nothing");
    let said = stage.waits.poll(&attempt);
    assert!(said.signed_in() && said.body["name"] == "idp", "{}", said.text);
    assert!(stage.waits.poll(&attempt).refused(), "it counts once");
    assert_ne!(browser.say(&attempt, "approve", &code, &[]).status, 200);

    // A no is a no, and told.
    let (attempt, browser, code) = stage.asked();
    browser.say(&attempt, "deny", &code, &[]);
    assert!(stage.waits.poll(&attempt).refused());
    assert_ne!(browser.say(&attempt, "approve", &code, &[]).status, 200);
}

#[test]
fn a_callback_counts_for_the_browser_that_was_sent_out_only() {
    let demo = Demo::start(&[]).unwrap();
    let (admin, door, provider) = (demo.sign_in("admin").unwrap(), Door::of(&demo), Provider::start());
    let (issuer, other) = (provider.issuer("idp"), provider.issuer("other"));
    apply(&admin, "both", &(connector("idp", &issuer.url, "") + &connector("other", &other.url, ""))).unwrap();
    let at = |host| door.from(Ipv4Addr::new(127, 7, 1, host));
    let stage = Stage { demo: &demo, issuer: issuer.clone(), waits: at(1), person: at(2) };
    let refused = |page: &Page| page.status >= 400 && !page.text.contains("approve");

    // The provider's address sent to somebody who never opened ours.
    let (attempt, browser) = (begin(stage.waits), stage.browser());
    let page = browser.open(&attempt);
    assert!(page.leads.starts_with(&format!("{}/authorize?", issuer.url)), "{}", page.text);
    let victim = stage.browser();
    assert!(refused(&victim.sign_in(&issuer, &page.leads)));
    assert!(!stage.waits.poll(&attempt).signed_in());

    // The address opened by a second browser after the first.
    let attempt = begin(stage.waits);
    let leads = stage.browser().open(&attempt).leads;
    assert!(!leads.is_empty() && refused(&stage.browser().open(&attempt)));

    // The answer brought to another connector's address.
    let (attempt, browser) = (begin(stage.waits), stage.browser());
    let query = issuer.authorize(&browser.open(&attempt).leads).written();
    assert!(refused(&browser.load(&format!("/v1/oidc/other/callback?{query}"), &[])));
    assert!(!stage.waits.poll(&attempt).signed_in());

    // The same answer twice, and the answer of a client's own browser flow.
    let (attempt, browser) = (begin(stage.waits), stage.browser());
    let query = issuer.authorize(&browser.open(&attempt).leads).written();
    let back = format!("/v1/oidc/idp/callback?{query}");
    assert_eq!(browser.load(&back, &[]).status, 200);
    let asked = issuer.asked("token");
    assert!(refused(&browser.load(&back, &[])) && issuer.asked("token") == asked);
    let plain = stage.waits.begin("idp").unwrap();
    let query = issuer.authorize(&plain.browse).written();
    assert!(refused(&browser.load(&format!("/v1/oidc/idp/callback?{query}"), &[])));
    assert!(refused(&browser.load(&format!("/sign-in/{}", plain.id), &[])));

    // Ids that nobody has, and texts that are none.
    for path in [
        "/sign-in/0",
        "/sign-in/..%2f..%2fv1",
        "/v1/oidc/idp/callback",
        "/v1/oidc/none/callback?state=x&code=y",
        "/v1/oidc/idp/callback?state=%00&code=%ff",
    ] {
        assert!(refused(&browser.load(path, &[])), "{path}");
    }
    assert!(!demo.log().contains("panicked") && issuer.wrongs().is_empty(), "{:?}", issuer.wrongs());
}
