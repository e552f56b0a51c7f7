//! Whether somebody has shown freshly and strongly enough who they are, for what the allowing roles demand. Who may is decided before.

use std::time::Duration;

use super::denial::{Denial, any_of, listed};
use super::session::Demanding;
use crate::identity::{Auth, Method};
use crate::policy::StepUp;
use crate::time::Timestamp;
use crate::words::shown;

/// Checks what every allowing role demands, at this moment: now, or when the session began that is decided again.
///
/// # Errors
/// The denial of the first role, by name, whose demand is unmet; its `step_up` is what would meet them all.
pub(super) fn check(auth: &Auth, moment: Timestamp, demanding: &[Demanding<'_>]) -> Result<(), Denial> {
    let demands = || demanding.iter().filter_map(|one| Some((one.word.as_str(), one.options.step_up.as_ref()?)));
    let Some((word, lacks)) = demands().find_map(|(word, wanted)| Some((word, Lack::of(wanted, auth, moment)?))) else { return Ok(()) };
    Err(Denial {
        code: Denial::STEP_UP,
        rule: format!("{}/options.step_up", word.trim_start_matches("role ")),
        sentence: format!("{word} demands {}", lacks.sentence),
        hint: lacks.hint(auth.method).to_owned(),
        step_up: Some(Box::new(merged(&demands().map(|(_, wanted)| wanted).collect::<Vec<_>>()))),
        ..Denial::bare()
    })
}

/// One demand that is unmet.
struct Lack {
    /// After `demands`.
    sentence: String,
    /// Whether only time has passed.
    stale: bool,
}

impl Lack {
    /// The first thing that is missing; none when all is there.
    fn of(wanted: &StepUp, auth: &Auth, moment: Timestamp) -> Option<Self> {
        // Break-glass is the way in while no provider can say any such thing.
        let by_provider = auth.method != Method::BreakGlass;
        let level = |acr: &String| wanted.acr.contains(acr);
        if by_provider && !wanted.acr.is_empty() && !auth.acr.as_ref().is_some_and(level) {
            let had = auth.acr.as_ref().map_or("has none".to_owned(), |acr| format!("has {}", shown(acr)));
            return Some(Self { sentence: format!("a sign-in of level {} (acr); yours {had}", any_of(&wanted.acr)), stale: false });
        }
        if by_provider && !wanted.amr.iter().all(|method| auth.amr.contains(method)) {
            let had: Vec<String> = auth.amr.iter().map(|method| shown(method)).collect();
            let had = if had.is_empty() { "names none".to_owned() } else { format!("was with {}", listed(&had)) };
            return Some(Self { sentence: format!("a sign-in with {} (amr); yours {had}", listed(&wanted.amr)), stale: false });
        }
        let most = wanted.max_age?.duration();
        let age = auth.time.map(|time| moment.since(time));
        if age.is_some_and(|age| age <= most) {
            return None;
        }
        let most = in_words(most);
        let did = match age.map(in_words) {
            None => "when you did is not known".to_owned(),
            Some(age) if age == most => "you did a little longer ago".to_owned(),
            Some(age) => format!("you did {age} ago"),
        };
        Some(Self { sentence: format!("that you signed in at most {most} ago; {did}"), stale: true })
    }

    /// What the person can do about it.
    fn hint(&self, method: Method) -> &'static str {
        match method {
            Method::Oidc => "Run `naru login --again` to show anew who you are; where it can, Naru asks by itself.",
            Method::Bot => "A bot has to sign in with a new token, and a person to do what a token cannot show.",
            Method::BreakGlass => "Make a new link on the server with `naru break-glass`.",
            Method::Link if self.stale => "Sign in anew, with a new link or through the identity provider: `naru login`.",
            Method::Link => "A link shows no such thing: sign in through the identity provider with `naru login`.",
        }
    }
}

/// One demand that meets them all, as far as there can be one: met ones too, so that showing anew for one role does not lose another.
fn merged(demands: &[&StepUp]) -> StepUp {
    let mut all = StepUp { max_age: demands.iter().filter_map(|wanted| wanted.max_age).min(), ..StepUp::default() };
    for wanted in demands {
        // The levels that every role takes; where there is none, no sign-in can be enough, and the first role's are as good as others.
        let both: Vec<String> = all.acr.iter().filter(|acr| wanted.acr.contains(acr)).cloned().collect();
        if all.acr.is_empty() {
            all.acr.clone_from(&wanted.acr);
        } else if !both.is_empty() {
            all.acr = both;
        }
        all.amr.extend(wanted.amr.iter().cloned());
    }
    all.amr.sort_unstable();
    all.amr.dedup();
    all
}

/// `15 minutes`, `1 hour`, `90 minutes`, `2 hours`: rounded down to the largest unit of which there are two, or exactly one hour.
fn in_words(length: Duration) -> String {
    let secs = length.as_secs();
    let (count, unit) = match secs {
        172_800.. => (secs / 86_400, "day"),
        7_200.. => (secs / 3_600, "hour"),
        3_600 => (1, "hour"),
        60.. => (secs / 60, "minute"),
        _ => (secs, "second"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}
