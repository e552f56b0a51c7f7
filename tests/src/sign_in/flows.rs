//! Ways to sign in where no browser opens: the provider's own page for devices, and a browser elsewhere with a code that is compared.

use super::*;
use crate::keycloak::{Curl, Keycloak};

/// A `naru login` that has printed where to go on, and the code to compare.
struct Waiting {
    login: Program,
    address: String,
    code: String,
}

impl Waiting {
    fn of(somebody: &Somebody<'_>, way: &str) -> Self {
        let mut login = somebody.begins(&[way]);
        // The address and the code stand alone on lines that are set in.
        let mut alone = || {
            loop {
                if let Some(word) = login.line().strip_prefix("  ") {
                    return word.to_owned();
                }
            }
        };
        let (address, code) = (alone(), alone());
        Self { login, address, code }
    }

    /// Exit code and what was said.
    fn end(self) -> (Option<i32>, String) {
        let left = self.login.end();
        (left.code, left.err)
    }
}

impl Somebody<'_> {
    pub(super) fn signs_in_by_device(&self) {
        let waiting = Waiting::of(self, "--device");
        let page = waiting.address.split('?').next().unwrap();
        // It is asked before the code is typed, too.
        std::thread::sleep(std::time::Duration::from_millis(2500));
        let seen = self.browser.enter_code(page, &waiting.code, &self.at_keycloak).unwrap();
        assert!(matches!(&seen, Seen::Page(words) if words.contains("Successful")), "{seen:?}");
        let (code, said) = waiting.end();
        assert_eq!(code, Some(0), "{said}");
        self.must_config();
    }
}

#[test]
fn on_a_device_without_a_browser() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let minji = acme.somebody("minji", "minji");
    minji.signs_in_by_device();
    minji.must_work();
    let event = acme.event("auth.login", |event| event["actor"]["name"] == "minji");
    assert_eq!(event["data"]["flow"], "device");

    let mut jun = acme.somebody("jun", "jun");
    jun.browser = Browser::new(keycloak().unwrap()).unwrap().refusing();
    let waiting = Waiting::of(&jun, "--device");
    jun.browser.open(&waiting.address, &jun.at_keycloak).unwrap();
    let (code, said) = waiting.end();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("NARU-A121") && said.contains("refused"), "{said}");
    acme.event("auth.login.failed", |event| event["outcome"]["code"] == "NARU-A121");
}

#[test]
fn with_a_browser_elsewhere() {
    if !Keycloak::wanted() {
        return;
    }
    let acme = Acme::new();
    let minji = acme.somebody("minji", "minji");
    let waiting = Waiting::of(&minji, "--no-browser");
    let page = minji.confirm_page(&waiting.address);
    assert!(page.contains(&waiting.code), "{page}");
    // Whoever has the address and even the code, but another browser, is not asked and not heard.
    let other = acme.somebody("other", "jun");
    let answer = other.browser.visit(&waiting.address).unwrap();
    assert!(answer.body.contains("another browser"), "{}", answer.body);
    for word in ["approve", "deny"] {
        let curl = Curl::new(&format!("{}/{word}", waiting.address)).ca(acme.demo.ready("ca").as_ref());
        let answer = curl.form(&[("code", &waiting.code)]).send().unwrap();
        assert!(answer.status >= 400, "{word}: {}", answer.status);
    }
    let said = minji.press(&waiting.address, "approve", &waiting.code);
    assert!(said.contains("It is done"), "{said}");
    let (code, said) = waiting.end();
    assert_eq!(code, Some(0), "{said}");
    minji.must_config();
    minji.must_work();
    assert_eq!(acme.event("auth.login", |event| event["actor"]["name"] == "minji")["data"]["flow"], "headless");

    let waiting = Waiting::of(&other, "--no-browser");
    other.confirm_page(&waiting.address);
    let said = other.press(&waiting.address, "approve", "0000-0000");
    assert!(said.contains("came to nothing"), "{said}");
    let said = other.press(&waiting.address, "deny", &waiting.code);
    assert!(said.contains("refused"), "{said}");
    let (code, said) = waiting.end();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("refused it in the browser"), "{said}");
}
