//! `naru extend`: more time for a session of one's own, as far as its role allows.

use access::amount::Period;
use access::words::{SessionId, UserName};
use wire::api::{Extend, Extended, Items, SessionQuery, SessionRow, exit};

use crate::failure::Failure;
use crate::http::{Api, with_query};
use crate::out::{Answer, Table};
use crate::{sessions, when};

/// Extends this session; without one the only live session of `user`.
pub async fn run(api: &Api, word: Option<&str>, user: &UserName, by: Period) -> Result<Answer, Failure> {
    let id = match word {
        Some(word) => sessions::find(api, word).await?,
        None => {
            let query = SessionQuery { live: Some(true), user: Some(user.clone()), ..SessionQuery::default() };
            the_only(&api.get::<Items<SessionRow>>(&with_query("/v1/sessions", &query)).await?.items)?
        }
    };
    let extended: Extended = api.make(&format!("/v1/sessions/{id}/extend"), &Extend { by }).await?;
    let table = Table::facts([
        ("session", id.to_string()),
        ("ends", when::shown(extended.ends)),
        ("can be extended by", extended.left.to_string()),
    ]);
    Ok(Answer::new(&extended, table))
}

fn the_only(live: &[SessionRow]) -> Result<SessionId, Failure> {
    match live {
        [] => Err(Failure::new("NARU-W404", exit::NOT_FOUND, "you have no live session").hint("naru sessions ls --live")),
        [one] => Ok(one.id),
        several => {
            let line = |row: &SessionRow| format!("{}  {}@{}  {}", row.id, row.login, row.node, row.command.as_deref().unwrap_or("shell"));
            let lines: Vec<String> = several.iter().map(line).collect();
            Err(Failure::usage("you have several live sessions").shown(lines.join("\n")).hint("naru extend SESSION --for TIME"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_only_session_needs_no_name() {
        let row = |id: &str| -> SessionRow {
            let row = serde_json::json!({"id": id, "user": "a", "node": "demo", "login": "root", "kind": "shell", "live": true,
                "output_bytes": 0, "recording": "strict", "started": "2026-11-21T09:49:58Z"});
            serde_json::from_value(row).expect("a row")
        };
        let (one, two) = (row("01933b6c-8b3e-7000-8000-000000000001"), row("01933b6c-8b3e-7000-8000-000000000002"));
        assert_eq!(the_only(std::slice::from_ref(&one)), Ok(one.id));
        assert_eq!(the_only(&[]).map_err(|e| e.exit), Err(exit::NOT_FOUND));
        let several = the_only(&[one, two]).expect_err("several");
        assert!(several.shown.is_some_and(|shown| shown.lines().count() == 2 && shown.contains("root@demo")));
    }
}
