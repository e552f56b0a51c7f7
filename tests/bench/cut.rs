//! How soon live sessions end when somebody may no longer have them: from the administrator's command, the start of its process included,
//! to the end of the last client.

use crate::report::{Goal, Report};
use crate::route::{Route, ms};
use crate::series::Series;
use crate::sessions::Sessions;
use crate::setup::{Naru, Setup};
use serde_json::{Value, json};
use std::time::Instant;

/// Whose sessions these are.
const WHO: &str = "alice";

/// By a lock and by a change of roles, of one session and of very many.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let Some((naru, route)) = setup.naru.as_ref().zip(setup.routes.iter().find(|route| route.name == "naru")) else { return Ok(()) };
    let roles = naru.shown(&["get", "user", WHO])?["spec"]["roles"].clone();
    let many = (setup.size(20, 2), setup.size(50, 5));
    for (word, way) in [("a lock", Way::Lock), ("a change of roles", Way::Roles(roles))] {
        let mut one = Series::default();
        for _ in 0..setup.size(30, 2) {
            one.push("naru", cut(setup, naru, route, &way, (1, 1))?);
        }
        report.row(&format!("{word} ends one session, p50"), "ms", Goal::None, &one, 50);
        report.row(&format!("{word} ends one session, p99"), "ms", Goal::Figure(1_000.0), &one, 99);
        let mut all = Series::default();
        all.push("naru", cut(setup, naru, route, &way, many)?);
        report.row(&format!("{word} ends the last of {} sessions", many.0 * many.1), "ms", Goal::Figure(2_000.0), &all, 50);
    }
    Ok(())
}

fn cut(setup: &Setup, naru: &Naru, route: &Route, way: &Way, (connections, each): (usize, usize)) -> Result<f64, String> {
    let mut sessions = Sessions::open(setup, route, connections, each)?;
    let begun = Instant::now();
    way.end(naru)?;
    sessions.gone()?;
    let took = begun.elapsed();
    way.again(naru)?;
    Ok(ms(took))
}

/// What ends them.
enum Way {
    Lock,
    /// Without these roles, which are given back.
    Roles(Value),
}

impl Way {
    fn end(&self, naru: &Naru) -> Result<(), String> {
        match self {
            Self::Lock => naru.administer(&["lock", "add", &format!("user/{WHO}"), "--name", "bench", "--reason", "measured"]),
            Self::Roles(_) => set_roles(naru, json!([])),
        }
    }

    /// Lets them come again.
    fn again(&self, naru: &Naru) -> Result<(), String> {
        match self {
            Self::Lock => naru.administer(&["lock", "rm", "bench"]),
            Self::Roles(roles) => set_roles(naru, roles.clone()),
        }
    }
}

fn set_roles(naru: &Naru, roles: Value) -> Result<(), String> {
    let mut user = naru.shown(&["get", "user", WHO])?;
    user["spec"]["roles"] = roles;
    naru.apply(&user.to_string())
}
