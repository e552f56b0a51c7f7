//! Dry runs of every kind, who reaches what, and what a change would do: each calls `decide` or what is held to it, and nothing else.

use std::net::IpAddr;

use access::decide::{Administer, Denial, KubeRequest, Note, OpenForward, OpenSession, Permit, Question, decide, unknown_node};
use access::event::SessionKind;
use access::identity::{ClusterFacts, Context, Identity, Reach};
use access::policy::{Level, ResourceKind};
use access::reach::{Line, Moment, RightLine, Row, Rows, broken, list_target, list_user, rights};
use access::time::Timestamp;
use axum::Json;
use axum::extract::State;
use wire::api::{AccessQuery, AccessRow, Can, CanAnswer, Diff, DiffAsk, DiffLine, Forbidden, Page, exit};

use super::person::{AskForOthers, Person, Right as _, Told};
use super::problem::{Asked, No};
use super::resources::{kind_of, may, missing, read, there};
use super::{App, page, whole};
use crate::clock;
use crate::world::Everything;

/// The same no, of what was asked here.
fn for_others(denial: Denial, person: &Person) -> Denial {
    if denial.code != Denial::ADMINISTER {
        return denial;
    }
    let sentence = format!("{} may not ask what others may do: that needs a role with user: read in administer", person.identity.name);
    Denial { sentence, hint: "Ask an administrator, or ask about yourself without --as.".to_owned(), ..denial }
}

/// Who is asked about, from where and with what reason.
fn whom(app: &App, person: &Person, asked: &Can) -> Result<Identity, No> {
    let view = app.sessions.live.now();
    let (mut identity, from) = match &asked.as_user {
        Some(name) if *name != person.identity.name => {
            let may = decide(AskForOthers::question(person.identity.clone()), &view.policy, clock::now());
            let _permit = may.map_err(|denial| person.denied(app, for_others(denial, person), AskForOthers::ASKED))?;
            let there = view.identity(name, person.identity.expires);
            (there.ok_or_else(|| No::not_found(format!("there is no user {name}")))?, None)
        }
        _ => (person.identity.clone(), person.identity.context.from),
    };
    let from: Option<IpAddr> = asked.from.or(from);
    identity.context = Context { from, reason: asked.reason.clone(), ..identity.context };
    Ok(identity)
}

/// `POST /v1/can`, for whoever is signed in, about oneself; about others for whoever may read users, at other times for whoever may read
/// roles.
pub(crate) async fn can(State(app): State<App>, Told(person, asked): Told<Person, Can>) -> Result<Json<CanAnswer>, No> {
    let identity = whom(&app, &person, &asked)?;
    if asked.at.is_some() {
        may(&app, &person, ResourceKind::Role, Level::Read)?;
    }
    let now = asked.at.unwrap_or_else(clock::now);
    // A sign-in that ends before the time that is asked about is no answer to what the roles say.
    let identity = Identity { expires: identity.expires.max(now.plus(std::time::Duration::from_secs(1))), ..identity };
    let answer = match (asked.ssh, asked.forward, asked.kubernetes) {
        (Some(ssh), None, None) => {
            let words = format!("{} may reach {}@{}", identity.name, ssh.login, ssh.node);
            let kind = ssh.kind.unwrap_or(if ssh.command.is_some() { SessionKind::Exec } else { SessionKind::Shell });
            match app.sessions.nodes.facts(&ssh.node)? {
                Some((node, _)) => {
                    answer(&app, OpenSession { identity, node, login: ssh.login, kind, begun: None, command: ssh.command }, now, words)
                }
                None => no(unknown_node(&identity, &ssh.login, &ssh.node, &app.sessions.live.now().policy, now)),
            }
        }
        (None, Some(forward), None) => {
            let words =
                format!("{} may have a forward to {}:{} as {}@{}", identity.name, forward.host, forward.port, forward.login, forward.node);
            match app.sessions.nodes.facts(&forward.node)? {
                Some((node, _)) => {
                    answer(&app, OpenForward { identity, node, login: forward.login, host: forward.host, port: forward.port }, now, words)
                }
                None => no(unknown_node(&identity, &forward.login, &forward.node, &app.sessions.live.now().policy, now)),
            }
        }
        (None, None, Some(kube)) => {
            // One that does not exist looks like one that no role reaches.
            let nowhere = || ClusterFacts { name: kube.cluster.clone(), labels: Default::default(), agent: None };
            let cluster = app.sessions.nodes.cluster(&kube.cluster);
            let exists = cluster.is_some();
            let words = format!("{} may {} {} on {}", identity.name, kube.verb.as_str(), kube.resource, kube.cluster);
            let question = KubeRequest {
                identity,
                cluster: cluster.unwrap_or_else(nowhere),
                verb: kube.verb,
                api_group: kube.api_group,
                resource: kube.resource,
                namespace: kube.namespace,
                name: kube.name,
                begun: None,
            };
            let decided = decide(question, &app.sessions.live.now().policy, now);
            match decided {
                Ok(permit) if exists => CanAnswer { groups: permit.duties().groups.clone(), ..yes(&permit, words) },
                Ok(_) => return Err(No::not_found(format!("there is no cluster {}", kube.cluster))),
                Err(denial) => no(denial),
            }
        }
        _ => return Err(No::bad("NARU-W422", "exactly one of ssh, forward and kubernetes can be asked about")),
    };
    // What is tried out, and what conditions look at, is for who may read roles.
    let reads = Administer { identity: person.identity, kind: ResourceKind::Role, level: Level::Read };
    let told = decide(reads, &app.sessions.live.now().policy, clock::now()).is_ok();
    Ok(Json(if told { answer } else { CanAnswer { notes: Vec::new(), ..answer } }))
}

fn answer<Q: Question>(app: &App, question: Q, now: Timestamp, words: String) -> CanAnswer {
    match decide(question, &app.sessions.live.now().policy, now) {
        Ok(permit) => yes(&permit, words),
        Err(denial) => no(denial),
    }
}

fn yes<Q: Question>(permit: &Permit<Q>, sentence: String) -> CanAnswer {
    CanAnswer {
        allowed: true,
        code: None,
        rule: permit.rule().to_owned(),
        sentence,
        hint: None,
        offer: None,
        request: permit.request().cloned(),
        until: permit.until(),
        groups: Vec::new(),
        notes: permit.notes().iter().map(told).collect(),
        exit: exit::OK,
    }
}

fn no(denial: Denial) -> CanAnswer {
    let exit = match denial.code {
        Denial::LOCKED => exit::LOCKED,
        _ if denial.offer.is_some() => exit::NEEDS_APPROVAL,
        _ => exit::DENIED,
    };
    CanAnswer {
        allowed: false,
        code: Some(denial.code.to_owned()),
        rule: denial.rule,
        sentence: denial.sentence,
        hint: Some(denial.hint),
        offer: denial.offer.map(|offer| *offer),
        request: None,
        until: None,
        groups: Vec::new(),
        notes: denial.notes.iter().map(told).collect(),
        exit,
    }
}

fn told(note: &Note) -> String {
    match note {
        Note::WouldDeny { rule, sentence } => format!("{sentence} (by {rule}, which is only tried out)"),
        Note::ConditionFailed { rule, why } => format!("the condition of {rule} could not be answered: {why}"),
    }
}

/// Rows on a page where nothing is said, and at most.
const PAGE: usize = 1_000;
/// Lines each way where nothing is said, and at most.
const LINES: usize = 200;
const MOST_LINES: usize = 10_000;

/// `GET /v1/access`, for whoever is signed in, about oneself; else for who may read users and roles.
pub(crate) async fn list(State(app): State<App>, person: Person, Asked(query): Asked<AccessQuery>) -> Result<Json<Page<AccessRow>>, No> {
    let own = query.target.is_none() && query.user.as_ref().is_none_or(|user| *user == person.identity.name);
    if !own {
        may(&app, &person, ResourceKind::User, Level::Read)?;
        may(&app, &person, ResourceKind::Role, Level::Read)?;
    }
    let limit = page::within(query.limit, PAGE, PAGE);
    let (after, user) = (query.after.clone(), query.user.unwrap_or_else(|| person.identity.name.clone()));
    let everything = Everything::now(&app.sessions.live.now(), &app.sessions.nodes)?;
    let target = query.target.as_deref().map(target).transpose()?;
    let moment = Moment { now: clock::now(), from: None };
    let _turn = app.looking.acquire().await.map_err(No::ours)?;
    let found = tokio::task::spawn_blocking(move || match target {
        Some((kind, name)) => list_target(&everything.world(), kind, &name, &moment, after.as_deref(), limit),
        None => list_user(&everything.world(), &user, &moment, after.as_deref(), limit),
    });
    let Rows { items, next } = found.await.map_err(No::ours)?;
    let row =
        |row: Row| AccessRow { user: row.user, kind: row.kind, target: row.target, r#as: row.r#as, roles: row.roles, until: row.until };
    Ok(Json(Page { items: items.into_iter().map(row).collect(), next }))
}

/// `node/db-1`, `cluster/seoul`; a name alone is a node.
fn target(text: &str) -> Result<(Reach, String), No> {
    match text.split_once('/') {
        None => Ok((Reach::Node, text.to_owned())),
        Some(("node", name)) => Ok((Reach::Node, name.to_owned())),
        Some(("cluster", name)) => Ok((Reach::Cluster, name.to_owned())),
        Some(_) => Err(No::bad("NARU-W422", "a target is node/NAME or cluster/NAME")),
    }
}

/// `POST /v1/access/diff`, for who may plan each kind that would change.
pub(crate) async fn diff(State(app): State<App>, Told(person, asked): Told<Person, DiffAsk>) -> Result<Json<Diff>, No> {
    let view = app.sessions.live.now();
    let mut after = there(&view);
    let mut changed = Vec::new();
    for change in asked.changes {
        let kind = kind_of(&change.kind)?;
        may(&app, &person, kind, Level::Plan)?;
        let id = (kind, change.name.clone());
        match change.object {
            Some(object) => {
                let stated = read(object)?;
                if stated.resource.kind() != kind || stated.resource.name() != change.name {
                    return Err(No::bad("NARU-W422", "a change names another kind or name than its object"));
                }
                after.insert(id.clone(), super::connectors::shown(stated));
            }
            None => drop(after.remove(&id).ok_or_else(|| missing(kind, &change.name))?),
        }
        changed.push(id);
    }
    let policy = whole::check(&after, &view, &person, true, &changed)?;
    let you = whole::locks_out(&after, &view, &policy, &person, &changed);
    let (before, then) = (Everything::now(&view, &app.sessions.nodes)?, Everything::with(&view, &app.sessions.nodes, &after, policy)?);
    let moment = Moment { now: asked.at.unwrap_or_else(clock::now), from: asked.from };
    let lines = asked.lines.map_or(LINES, |lines| usize::try_from(lines).unwrap_or(LINES)).min(MOST_LINES);
    let _turn = app.looking.acquire().await.map_err(No::ours)?;
    let compared = tokio::task::spawn_blocking(move || {
        let (before, then) = (before.world(), then.world());
        (access::reach::diff(&before, &then, &moment, lines), rights(&before, &then), broken(&before, &then, lines))
    });
    let (found, rights, breaks) = compared.await.map_err(No::ours)?;
    let shown = |rights: Vec<RightLine>, reached: Vec<Line>| {
        rights.into_iter().map(right).chain(reached.into_iter().map(line)).take(lines).collect::<Vec<_>>()
    };
    let (gains, loses) = (shown(rights.gains, found.gains), shown(rights.loses, found.loses));
    let lines = |lines: Vec<Line>| lines.into_iter().map(line).collect::<Vec<_>>();
    let from = asked.from.map_or("an address that every role takes".to_owned(), |from| from.to_string());
    Ok(Json(Diff {
        gains,
        loses,
        gained: found.gained + rights.gained,
        lost: found.lost + rights.lost,
        forbidden: breaks.new.into_iter().map(|one| Forbidden { guardrail: one.guardrail, lines: lines(one.lines) }).collect(),
        you,
        holds: format!("at {}, from {from}", moment.now.to_minute()),
    }))
}

fn right(line: RightLine) -> DiffLine {
    let RightLine { users, users_more, how, what, text } = line;
    let (targets, labels) = (Vec::new(), Vec::new());
    DiffLine { users, users_more, how: how.to_owned(), r#as: vec![what], targets, targets_more: 0, labels, text }
}

fn line(line: Line) -> DiffLine {
    let how = line.how().to_owned();
    let Line { users, users_more, r#as, targets, targets_more, labels, text, .. } = line;
    DiffLine { users, users_more, how, r#as, targets, targets_more, labels, text }
}
