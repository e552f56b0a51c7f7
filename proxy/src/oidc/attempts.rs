//! Sign-ins that have begun and are not done, in memory: bounded in number, per source and in bytes; each has ten minutes, and is
//! used up by its first answer.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use access::connector::Flow;
use access::event::Client;
use access::time::Timestamp;
use access::words::ConnectorName;

use super::device::{Asking, Waiting};
use super::settle::Proven;
use super::{CROWDED, NO_ATTEMPT, Refusal};
use crate::clock;
use crate::listen::admission::source_of;

/// From the beginning to the last answer.
pub(crate) const LIFE: Duration = Duration::from_secs(600);
/// Most of them.
const MAX: usize = 10_000;
/// Most of them from one source.
const MAX_OF_ONE: usize = 200;
/// Most bytes of what clients sent with them.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most device flows: the provider is asked when each begins, and as often as its client asks us.
const MAX_DEVICE: usize = 500;
/// Most device flows from one source.
const MAX_DEVICE_OF_ONE: usize = 20;

/// What a sign-in that has begun is for.
#[derive(Debug, Clone)]
pub(crate) enum For {
    /// A client's login.
    Login(Box<ForLogin>),
    /// A session that waits until its person has shown anew who they are.
    StepUp { sign_in: u64, asked: String },
    /// Nobody: an administrator tries the connector.
    DryRun,
}

/// A client's login.
#[derive(Debug, Clone)]
pub(crate) struct ForLogin {
    pub(crate) flow: Flow,
    /// What the client's verifier must hash to.
    pub(crate) challenge: String,
    pub(crate) ssh_public_key: String,
    pub(crate) csr_pem: String,
    pub(crate) host: String,
}

/// How far it is.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// Nobody has signed in at the provider yet.
    Begun,
    /// Somebody has, in a browser that we cannot tell from an attacker's; they must say that they meant it.
    Proven(Box<Proven>),
    /// They did.
    Approved(Box<Proven>),
    /// It comes to nothing.
    Refused(Refusal),
}

/// A sign-in that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) id: String,
    pub(crate) connector: ConnectorName,
    pub(crate) purpose: For,
    /// What both ends show, where a person is to compare.
    pub(crate) code: String,
    pub(crate) state: String,
    pub(crate) nonce: String,
    pub(crate) verifier: String,
    pub(crate) redirect: String,
    /// Where the provider wants the browser.
    pub(crate) url: String,
    /// The browser that was sent there, by the hash of its cookie.
    pub(crate) browser: Option<[u8; 32]>,
    /// A device flow at the provider.
    pub(super) device: Option<Arc<Asking>>,
    pub(crate) client: Client,
    pub(crate) begun: Timestamp,
    pub(crate) until: Instant,
    pub(crate) stage: Stage,
}

impl Attempt {
    fn bytes(&self) -> usize {
        let of = match &self.purpose {
            For::Login(login) => login.ssh_public_key.len() + login.csr_pem.len() + login.host.len(),
            _ => 0,
        };
        of + self.url.len() + 1024
    }

    fn is_device(&self) -> bool {
        matches!(&self.purpose, For::Login(login) if login.flow == Flow::Device)
    }
}

#[derive(Default)]
struct All {
    by_id: HashMap<String, Attempt>,
    by_state: HashMap<String, String>,
    of_source: HashMap<IpAddr, Count>,
    by_age: BTreeSet<(Instant, String)>,
    bytes: usize,
    devices: usize,
}

/// Of one source.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: usize,
    devices: usize,
}

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<All>>);

impl Attempts {
    fn all(&self) -> MutexGuard<'_, All> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.sweep(Instant::now());
        all
    }

    /// Takes one in, or refuses where there are too many.
    pub(crate) fn begin(&self, attempt: Attempt) -> Result<(), Refusal> {
        self.all().insert(attempt)
    }

    /// Takes one out: it is used up.
    pub(crate) fn take(&self, id: &str) -> Result<Attempt, Refusal> {
        self.all().remove(id).ok_or_else(unknown)
    }

    /// Looks at one.
    pub(crate) fn get(&self, id: &str) -> Result<Attempt, Refusal> {
        self.all().by_id.get(id).cloned().ok_or_else(unknown)
    }

    /// The one that a provider's answer is for. It has no second answer.
    pub(crate) fn of_state(&self, state: &str) -> Result<Attempt, Refusal> {
        let mut all = self.all();
        let id = all.by_state.remove(state).ok_or_else(unknown)?;
        all.by_id.get(&id).cloned().ok_or_else(unknown)
    }

    /// Moves one on.
    pub(crate) fn set(&self, id: &str, stage: Stage) {
        if let Some(attempt) = self.all().by_id.get_mut(id) {
            attempt.stage = stage;
        }
    }

    /// Its person is asked at the provider, each time that its client asks us.
    pub(super) fn wait_for(&self, id: &str, waiting: Waiting) {
        if let Some(attempt) = self.all().by_id.get_mut(id) {
            attempt.device = Some(Arc::new(Asking::new(waiting)));
        }
    }

    /// Binds one to the browser that opened it: the first one keeps it.
    pub(crate) fn bind(&self, id: &str, browser: [u8; 32]) -> Result<Attempt, Refusal> {
        let mut all = self.all();
        let attempt = all.by_id.get_mut(id).ok_or_else(unknown)?;
        match attempt.browser {
            Some(other) if other != browser => {
                Err(Refusal::new(super::OTHER_ATTEMPT, "browser", "this sign-in was opened in another browser")
                    .hint("Begin again, and open the address only once."))
            }
            _ => {
                attempt.browser = Some(browser);
                Ok(attempt.clone())
            }
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.all().by_id.len()
    }
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(NO_ATTEMPT, "unknown", "this sign-in is not known: it is done, too old, or was never begun")
        .hint("Begin again with `naru login`.")
}

impl All {
    fn insert(&mut self, attempt: Attempt) -> Result<(), Refusal> {
        let (source, device) = (source_of(attempt.client.ip), attempt.is_device());
        let own = self.of_source.get(&source).copied().unwrap_or_default();
        let crowded = || {
            Refusal::new(CROWDED, "crowded", "too many sign-ins have begun and are not done").hint("Wait a few minutes, then try again.")
        };
        if own.all >= MAX_OF_ONE || device && own.devices >= MAX_DEVICE_OF_ONE {
            return Err(crowded());
        }
        while self.by_id.len() >= MAX || self.bytes + attempt.bytes() > MAX_BYTES {
            self.make_room(own, |count| count.all, |_| true).ok_or_else(crowded)?;
        }
        while device && self.devices >= MAX_DEVICE {
            self.make_room(own, |count| count.devices, Attempt::is_device).ok_or_else(crowded)?;
        }
        self.bytes += attempt.bytes();
        self.devices += usize::from(device);
        let count = self.of_source.entry(source).or_default();
        (count.all, count.devices) = (count.all + 1, count.devices + usize::from(device));
        self.by_state.insert(attempt.state.clone(), attempt.id.clone());
        self.by_age.insert((attempt.until, attempt.id.clone()));
        self.by_id.insert(attempt.id.clone(), attempt);
        Ok(())
    }

    /// Whoever has most of them makes room, so that a flood from many sources keeps out none that has few.
    fn make_room(&mut self, own: Count, of: impl Fn(&Count) -> usize, is: impl Fn(&Attempt) -> bool) -> Option<Attempt> {
        let most = self.of_source.iter().map(|(source, count)| (*source, of(count))).max_by_key(|(_, count)| *count);
        let (crowd, _) = most.filter(|(_, count)| *count > of(&own) + 1)?;
        let theirs = |id: &str| self.by_id.get(id).is_some_and(|one| source_of(one.client.ip) == crowd && is(one));
        let oldest = self.by_age.iter().find(|(_, id)| theirs(id)).map(|(_, id)| id.clone())?;
        self.remove(&oldest)
    }

    fn remove(&mut self, id: &str) -> Option<Attempt> {
        let attempt = self.by_id.remove(id)?;
        self.by_state.remove(&attempt.state);
        self.by_age.remove(&(attempt.until, attempt.id.clone()));
        self.bytes = self.bytes.saturating_sub(attempt.bytes());
        let (source, devices) = (source_of(attempt.client.ip), usize::from(attempt.is_device()));
        self.devices -= devices;
        if let Some(count) = self.of_source.get_mut(&source) {
            (count.all, count.devices) = (count.all - 1, count.devices - devices);
            if count.all == 0 {
                self.of_source.remove(&source);
            }
        }
        Some(attempt)
    }

    fn sweep(&mut self, now: Instant) {
        while let Some((_, id)) = self.by_age.first().filter(|(until, _)| *until <= now).cloned() {
            self.remove(&id);
        }
    }
}

/// A new id: 128 random bits, hex.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A code that people compare: eight letters and digits without those that look alike, 40 bits.
pub(crate) fn new_code() -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let random = uuid::Uuid::new_v4();
    // Bytes 8 and 6 carry the version; the first five do not.
    let bits = random.as_bytes().iter().take(5).fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let letter = |at: u64| LETTERS.get(usize::try_from(bits >> (at * 5) & 31).unwrap_or(0)).map_or('A', |byte| char::from(*byte));
    let all: String = (0..8).map(letter).collect();
    let (first, second) = all.split_at(4);
    format!("{first}-{second}")
}

/// Now and when it is over.
pub(crate) fn times() -> (Timestamp, Instant) {
    (clock::now(), Instant::now() + LIFE)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::oidc) fn attempt(n: u32, ip: u32) -> Attempt {
        let (begun, until) = times();
        Attempt {
            id: format!("i{n}"),
            connector: "k".parse().expect("a name"),
            purpose: For::DryRun,
            code: new_code(),
            state: format!("s{n}"),
            nonce: String::new(),
            verifier: String::new(),
            redirect: String::new(),
            url: String::new(),
            browser: None,
            device: None,
            client: Client { ip: IpAddr::V4(ip.into()), port: 1, user_agent: None, run: None },
            begun,
            until,
            stage: Stage::Begun,
        }
    }

    fn login(n: u32, ip: u32, flow: Flow, bytes: usize) -> Attempt {
        let (challenge, ssh_public_key, csr_pem) = (String::new(), String::new(), "x".repeat(bytes));
        let login = ForLogin { flow, challenge, ssh_public_key, csr_pem, host: String::new() };
        Attempt { purpose: For::Login(Box::new(login)), ..attempt(n, ip) }
    }

    #[test]
    fn long_ones_of_few_sources_keep_out_nobody_who_has_few() {
        let attempts = Attempts::default();
        let begun = (0..20_000).filter(|n| attempts.begin(login(*n, n % 20, Flow::Headless, 6 * 1024)).is_ok()).count();
        assert!(begun < MAX_OF_ONE * 20 && begun == attempts.count(), "bounded in bytes: {begun}");
        assert!(attempts.begin(login(30_000, 4_000, Flow::Headless, 6 * 1024)).is_ok(), "one more source");
        assert_eq!(attempts.count(), begun);
    }

    #[test]
    fn providers_are_asked_about_few_device_flows() {
        let attempts = Attempts::default();
        let begun = |ip: u32| (0..100).filter(|n| attempts.begin(login(ip * 1000 + n, ip, Flow::Device, 1)).is_ok()).count();
        assert_eq!(begun(1), MAX_DEVICE_OF_ONE);
        assert!(attempts.begin(login(1, 1, Flow::Headless, 1)).is_ok(), "another flow");
        (2..100).for_each(|ip| {
            begun(ip);
        });
        assert!(attempts.0.lock().expect("whole").devices <= MAX_DEVICE);
        assert!(attempts.begin(login(1_000_000, 1_000, Flow::Device, 1)).is_ok(), "one more source");
    }

    #[test]
    fn a_flood_takes_bounded_room_and_keeps_out_nobody_who_has_few() {
        let attempts = Attempts::default();
        let begun = (0..100_000).filter(|n| attempts.begin(attempt(*n, n % 100)).is_ok()).count();
        assert_eq!((begun, attempts.count()), (MAX, MAX), "100 sources, each less than its bound");
        assert!(attempts.begin(attempt(200_000, 7)).is_err(), "one of the crowd");
        assert!(attempts.begin(attempt(200_001, 4_000)).is_ok(), "one more source");
        assert_eq!(attempts.count(), MAX);
        let few = Attempts::default();
        assert_eq!((0..1_000).filter(|n| few.begin(attempt(*n, 1)).is_ok()).count(), MAX_OF_ONE);
    }

    #[test]
    fn each_is_used_up_by_its_first_answer_and_by_its_first_browser() {
        let attempts = Attempts::default();
        attempts.begin(attempt(1, 1)).expect("begun");
        assert_eq!(attempts.of_state("s1").expect("there").id, "i1");
        assert!(attempts.of_state("s1").is_err(), "answered");
        assert!(attempts.bind("i1", [1; 32]).is_ok() && attempts.bind("i1", [1; 32]).is_ok());
        assert!(attempts.bind("i1", [2; 32]).is_err(), "another browser");
        assert!(attempts.take("i1").is_ok());
        assert!(attempts.take("i1").is_err(), "taken");
        attempts.begin(Attempt { until: Instant::now(), ..attempt(2, 1) }).expect("begun");
        assert!(attempts.get("i2").is_err(), "too old");
    }

    #[test]
    fn a_code_has_eight_letters_that_do_not_look_alike() {
        let code = new_code();
        assert!(code.len() == 9 && code.chars().all(|c| c == '-' || c.is_ascii_uppercase() || c.is_ascii_digit()), "{code}");
        assert!(!code.contains(['O', '0', 'I', '1']) && code != new_code());
    }
}
