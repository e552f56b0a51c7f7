//! What a person reaches, and a dry run of the decision. Both call `decide` and nothing else.

use access::decide::{OpenSession, allowed_logins, decide, unknown_node};
use access::event::SessionKind;
use axum::Json;
use axum::extract::State;
use wire::api::{Can, CanAnswer, Items, LabelRow, NodeRow, exit};

use super::App;
use super::person::{MakeLinks, Person, Right as _};
use super::problem::{Body, No};
use crate::clock;

/// `GET /v1/nodes`, for whoever is signed in: only nodes on which some login is allowed.
pub(crate) async fn list(State(app): State<App>, person: Person) -> Result<Json<Items<NodeRow>>, No> {
    let (view, now) = (app.sessions.live.now(), clock::now());
    let mut items = Vec::new();
    for (node, agent_id) in app.sessions.nodes.all()? {
        let logins = allowed_logins(&person.identity, &node, &view.policy, now);
        if logins.is_empty() {
            continue;
        }
        let said = app.sessions.dialler.agents.said(&node.name, &agent_id);
        let label = |(key, label): (String, access::identity::LabelValue)| LabelRow { key, value: label.value, origin: label.origin };
        items.push(NodeRow {
            name: node.name,
            labels: node.labels.into_iter().map(label).collect(),
            logins,
            connected: said.is_some(),
            agent_id,
            version: said.map(|hello| hello.version).unwrap_or_default(),
        });
    }
    Ok(Json(Items { items }))
}

/// `POST /v1/can`, for whoever is signed in, about oneself; about others for whoever may make links for them.
pub(crate) async fn can(State(app): State<App>, person: Person, Body(asked): Body<Can>) -> Result<Json<CanAnswer>, No> {
    let (view, now) = (app.sessions.live.now(), clock::now());
    let identity = match asked.as_user {
        Some(name) if name != person.identity.name => {
            let _permit = person.may(&app, MakeLinks::question(person.identity.clone()), MakeLinks::ASKED)?;
            let there = view.identity(&name, person.identity.expires);
            there.ok_or_else(|| No::not_found(format!("there is no user {name}")))?
        }
        _ => person.identity,
    };
    let decided = match app.sessions.nodes.facts(&asked.node)? {
        Some((node, _)) => {
            let question = OpenSession { identity: identity.clone(), node, login: asked.login.clone(), kind: SessionKind::Shell };
            decide(question, &view.policy, now)
        }
        None => Err(unknown_node(&identity, &asked.login, &asked.node, now)),
    };
    Ok(Json(match decided {
        Ok(permit) => CanAnswer {
            allowed: true,
            code: None,
            rule: permit.rule().to_owned(),
            sentence: format!("{} may reach {}@{}", identity.name, asked.login, asked.node),
            hint: None,
            exit: exit::OK,
        },
        Err(denial) => CanAnswer {
            allowed: false,
            code: Some(denial.code.to_owned()),
            rule: denial.rule,
            sentence: denial.sentence,
            hint: Some(denial.hint),
            exit: exit::DENIED,
        },
    }))
}
