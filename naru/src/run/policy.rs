//! The commands of who may do what: which call of `client` each word makes.

use std::io::Read as _;
use std::path::Path;

use access::policy::KubeVerb;
use client::can::{self, Around, Kube};
use client::failure::Failure;
use client::http::Api;
use client::out::{Answer, Out};
use client::requests::{self, Wish, Word};
use client::{diff, locks, reach, when};
use wire::api::{AccessQuery, Decide, RequestQuery};

use crate::cli;

/// Most bytes of a plan.
const PLAN: u64 = 64 * 1024 * 1024;

pub(super) async fn can(api: &Api, what: cli::Can) -> Result<Answer, Failure> {
    let (asked, around) = match what {
        cli::Can::Ssh { place, exec, sftp, around } => (can::ssh(&place, exec, sftp)?, around),
        cli::Can::Forward { to, via, around } => (can::forward(&to, &via)?, around),
        cli::Can::Exec { what, there, around } => {
            let cli::There { cluster, namespace } = there;
            (can::kube(Kube { cluster, verb: KubeVerb::Exec, what, subresource: None, namespace, api_group: None })?, around)
        }
        cli::Can::Kube { verb, what, subresource, api_group, there, around } => {
            let cli::There { cluster, namespace } = there;
            (can::kube(Kube { cluster, verb, what, subresource, namespace, api_group })?, around)
        }
    };
    let cli::Around { as_user, at, from, reason } = around;
    let at = at.map(|at| when::point(&at, when::now())).transpose()?;
    can::ask(api, asked, Around { as_user, at, from, reason }).await
}

pub(super) async fn request(api: &Api, what: cli::Request, out: Out) -> Result<u8, Failure> {
    let answer = match what {
        cli::Request::Create { what, on, length, reason, uses, wait } => {
            requests::create(api, Wish { what, on, length, reason, uses }, wait).await?
        }
        cli::Request::Ls { state, mine, limit, watch } => {
            let query = RequestQuery { state, mine, ..RequestQuery::default() };
            if watch {
                return requests::watch(api, &query, out).await;
            }
            requests::ls(api, &query, limit).await?
        }
        cli::Request::Show { id } => requests::show(api, &id).await?,
        cli::Request::Approve { id, comment, length, yes } => {
            requests::decide(api, &id, Word::Approve, Decide { comment, length }, yes).await?
        }
        cli::Request::Deny { id, comment } => requests::decide(api, &id, Word::Deny, Decide { comment, length: None }, true).await?,
        cli::Request::Revoke { id, comment } => requests::decide(api, &id, Word::Revoke, Decide { comment, length: None }, true).await?,
    };
    out.answer(&answer)
}

pub(super) async fn lock(api: &Api, what: cli::Lock) -> Result<Answer, Failure> {
    match what {
        cli::Lock::Add { target, reason, length, name, allow_self_lockout } => {
            let name = name.map(|name| name.to_string());
            locks::add(api, locks::New { target, reason, length, name, allow_self_lockout }).await
        }
        cli::Lock::Ls => locks::ls(api).await,
        cli::Lock::Rm { which } => locks::rm(api, &which).await,
    }
}

pub(super) async fn access(api: &Api, what: cli::Access) -> Result<Answer, Failure> {
    match what {
        cli::Access::List { user, target } => reach::list(api, AccessQuery { user, target, ..AccessQuery::default() }).await,
        cli::Access::Diff { plan, markdown, look: words } => {
            let plan = diff::plan::read(&bytes(&plan)?)?;
            diff::planned(api, plan, look(&words, markdown)).await
        }
    }
}

pub(super) fn look(words: &cli::Look, markdown: bool) -> diff::Look {
    diff::Look { lines: words.lines, markdown, exit_code: words.exit_code }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().take(PLAN + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|file| file.take(PLAN + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|e| Failure::file("read", path, &e))?;
    if bytes.len() as u64 > PLAN {
        return Err(Failure::usage(format!("{} is longer than {PLAN} bytes", path.display())));
    }
    Ok(bytes)
}
