//! A browser without a screen: cookies, redirects followed by hand, and Keycloak's own pages filled in as a person would.

use super::http::{Answer, Curl};
use super::page::{self, Form};
use super::{Keycloak, Person, totp};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Redirects and pages of one walk; more is a circle.
const STEPS: usize = 30;

/// Where a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// An address outside Keycloak, not visited yet.
    Left(String),
    /// A page of Keycloak that asks nothing more, in its words: done, or a refusal.
    Page(String),
}

/// One person's browser, with its cookies.
pub struct Browser {
    jar: tempfile::NamedTempFile,
    keycloak: String,
    ca: Option<PathBuf>,
    says_yes: bool,
}

impl Browser {
    /// With no cookie.
    pub fn new(keycloak: &Keycloak) -> Result<Self, String> {
        Self::at(&keycloak.url())
    }

    /// The same where Keycloak is known by another address.
    pub fn at(url: &str) -> Result<Self, String> {
        let jar = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
        Ok(Self { jar, keycloak: url.into(), ca: None, says_yes: true })
    }

    /// Trusts this CA where an address is `https`, as Naru's is.
    pub fn trusting(mut self, ca: &Path) -> Self {
        self.ca = Some(ca.into());
        self
    }

    /// Presses No where Keycloak asks whether access is granted.
    pub fn refusing(mut self) -> Self {
        self.says_yes = false;
        self
    }

    /// Walks from an address (Keycloak's, or one that leads there) through every page, as this person, until the way leaves Keycloak or
    /// a page asks nothing more. A page that asks the same again, as after a wrong password, ends the walk with its words.
    pub fn open(&self, url: &str, person: &Person) -> Result<Seen, String> {
        self.walk(url, person, None)
    }

    /// The same from the page for codes of devices, with the code typed in.
    pub fn enter_code(&self, url: &str, code: &str, person: &Person) -> Result<Seen, String> {
        self.walk(url, person, Some(code))
    }

    /// Visits an address outside Keycloak, redirects and all, until an answer is none.
    pub fn visit(&self, url: &str) -> Result<Answer, String> {
        let mut url = url.to_owned();
        for _ in 0..STEPS {
            let answer = self.request(&url).send()?;
            match self.onward(&url, &answer) {
                Some(next) => url = next,
                None => return Ok(answer),
            }
        }
        Err(format!("redirected without end: {url}"))
    }

    /// Posts a form, as a page's button does; nothing is followed.
    pub fn send(&self, url: &str, fields: &[(&str, &str)]) -> Result<Answer, String> {
        self.request(url).form(fields).send()
    }

    fn walk(&self, url: &str, person: &Person, code: Option<&str>) -> Result<Seen, String> {
        let mut url = url.to_owned();
        let mut answer = self.request(&url).send()?;
        let mut inside = self.is_inside(&url);
        let mut filled: Vec<Vec<String>> = Vec::new();
        for _ in 0..STEPS {
            if let Some(next) = self.onward(&url, &answer) {
                if inside && !self.is_inside(&next) {
                    return Ok(Seen::Left(next));
                }
                inside |= self.is_inside(&next);
                answer = self.request(&next).send()?;
                url = next;
                continue;
            }
            if !inside {
                return Err(format!("{url} led nowhere: status {} {}", answer.status, answer.body));
            }
            let Some(form) = page::form(&answer.body).filter(|form| !filled.contains(&form.fields)) else {
                return Ok(Seen::Page(page::words(&answer.body)));
            };
            let Some(fields) = self.fill(&form, person, code) else { return Ok(Seen::Page(page::words(&answer.body))) };
            let action = self.absolute(&form.action);
            let pairs: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            answer = self.request(&action).form(&pairs).send()?;
            url = action;
            filled.push(form.fields);
        }
        Err(format!("asked without end: {url}"))
    }

    /// What a person would fill in and press, with what the page hides; none when the page asks for nothing that we know.
    fn fill(&self, form: &Form, person: &Person, code: Option<&str>) -> Option<Vec<(String, String)>> {
        let otp = || person.totp.as_deref().map(|secret| totp(secret, now()));
        let yes = if self.says_yes { "accept" } else { "cancel" };
        let known = [
            ("username", Some(person.name.clone())),
            ("password", Some(person.password.clone())),
            ("otp", otp()),
            ("device_user_code", code.map(str::to_owned)),
            (yes, Some(String::new())),
            ("confirmLogout", Some("Logout".into())),
        ];
        let ours: Vec<_> = known.into_iter().filter(|(name, _)| form.has(name)).collect();
        let ours: Option<Vec<(String, String)>> = ours.into_iter().map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let ours = ours.filter(|ours| !ours.is_empty())?;
        Some(form.hidden.iter().cloned().chain(ours).collect())
    }

    fn request(&self, url: &str) -> Curl {
        // Keycloak's page for codes and its endpoint for devices are one address; what is accepted tells them apart.
        let request = Curl::new(url).jar(self.jar.path()).header("Accept: text/html,application/xhtml+xml,*/*;q=0.5");
        match &self.ca {
            Some(ca) => request.ca(ca),
            None => request,
        }
    }

    fn onward(&self, from: &str, answer: &Answer) -> Option<String> {
        let next = answer.header("location").filter(|_| (300..400).contains(&answer.status))?;
        if !next.starts_with('/') {
            return Some(next.to_owned());
        }
        let host = from.split('/').take(3).collect::<Vec<_>>().join("/");
        Some(format!("{host}{next}"))
    }

    fn absolute(&self, action: &str) -> String {
        if action.starts_with('/') { format!("{}{action}", self.keycloak) } else { action.to_owned() }
    }

    fn is_inside(&self, url: &str) -> bool {
        url.strip_prefix(&self.keycloak).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
