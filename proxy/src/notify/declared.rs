//! Receivers that are declared as resources: begun, changed and ended as what is declared changes, while the proxy runs. Their places in the
//! log are kept under their ids, and forgotten with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use access::policy::{MessengerSpec, Pattern, Resource, ResourceKind};
use config::proxy::Webhook;
use recorder::log::Log;
use store::kv::{Change, Expect, Kv};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::cursor::{Cursor, SINKS};
use super::pace::Pace;
use super::post::Receiver;
use super::sign::Secrets;
use super::sink::Sink;
use crate::authority::ask::Keys;
use crate::authority::sealed::Unseal;
use crate::declared::{Declared, Id, SECRET, place_of};
use crate::live::{Live, View};

/// Why a declared receiver would not be served.
pub(crate) fn fault(spec: &MessengerSpec, secret: &str) -> Option<String> {
    let Some(webhook) = webhook("new", spec) else { return Some("it says not how to reach it".to_owned()) };
    let secret = Secrets::read(secret.as_bytes()).err().map(|error| error.to_string());
    secret.or_else(|| Receiver::new(&webhook).err().map(|error| error.to_string()))
}

fn webhook(name: &str, spec: &MessengerSpec) -> Option<Webhook> {
    let declared = spec.webhook.as_ref()?;
    let (url, allow_private) = (declared.url.clone(), declared.allow_private);
    Some(Webhook { name: name.to_owned(), url, secret_file: String::new(), allow_private })
}

fn cursor_of(id: &Id, declared: &Declared) -> String {
    format!("{}/{}", place_of(id), declared.stored.id)
}

/// One that runs, as it was declared.
struct Runs {
    revision: Option<u64>,
    /// Where its place in the log is kept: by the resource's id, so that whoever takes its name begins with what is logged then.
    place: String,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// Serves what is declared.
pub(crate) struct DeclaredSinks {
    live: Live,
    keys: Keys,
    log: Log,
    store: Arc<dyn Kv>,
    runs: BTreeMap<Id, Runs>,
}

impl DeclaredSinks {
    pub(crate) fn new(live: Live, keys: Keys, log: Log, store: Arc<dyn Kv>) -> Self {
        Self { live, keys, log, store, runs: BTreeMap::new() }
    }

    /// Follows what is declared until `stop`; then each takes what is left for as long as it is accepted at once.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.live.watch();
        loop {
            let view = changes.borrow_and_update().clone();
            self.follow(&view).await;
            drop(view);
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { break },
                () = stop.cancelled() => break,
            }
        }
        self.runs.values().for_each(|run| run.stop.cancel());
        for run in std::mem::take(&mut self.runs).into_values() {
            let _ended = run.task.await;
        }
    }

    async fn follow(&mut self, view: &View) {
        let wanted = |id: &&Id| matches!(id.0, ResourceKind::Messenger | ResourceKind::AuditSink);
        let is_there = |(id, run): (&Id, &Runs)| view.resources.get(id).is_some_and(|declared| cursor_of(id, declared) == run.place);
        let gone: Vec<Id> = self.runs.iter().filter(|run| !is_there(*run)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            let Some(place) = self.end(&id).await else { continue };
            let forget = Change::delete(format!("{SINKS}{place}"), Expect::Any);
            if let Err(error) = self.store.batch(&[forget]) {
                tracing::warn!(%error, "the place of a receiver could not be forgotten");
            }
        }
        for (id, declared) in view.resources.iter().filter(|(id, _)| wanted(id)) {
            if self.runs.get(id).is_some_and(|run| run.revision == declared.stated.revision) {
                continue;
            }
            let _before = self.end(id).await;
            match self.sink(id, declared) {
                Ok(sink) => {
                    let stop = CancellationToken::new();
                    let task = AbortOnDropHandle::new(tokio::spawn(sink.run(stop.clone())));
                    let (revision, place) = (declared.stated.revision, cursor_of(id, declared));
                    self.runs.insert(id.clone(), Runs { revision, place, stop, task });
                }
                Err(cause) => tracing::error!(sink = place_of(id), cause, "a declared receiver is not served"),
            }
        }
    }

    /// Ends one that runs, and says where its place is kept.
    async fn end(&mut self, id: &Id) -> Option<String> {
        let run = self.runs.remove(id)?;
        // Not waited for: a receiver that hangs would hold up all others. Its place is kept message by message.
        run.stop.cancel();
        run.task.abort();
        let _ended = run.task.await;
        Some(run.place)
    }

    fn sink(&self, id: &Id, declared: &Declared) -> Result<Sink, String> {
        let (Resource::Messenger { spec, .. } | Resource::AuditSink { spec, .. }) = &declared.stated.resource else {
            return Err("it is no receiver".to_owned());
        };
        let place = place_of(id);
        let webhook = webhook(&place, spec).ok_or("it says not how to reach it")?;
        let sealed = declared.stored.secrets.get(SECRET).ok_or("it has no secret to sign with")?;
        let secret = self.keys.ask(Unseal { place: &place, sealed }).map_err(|error| error.to_string())?;
        let secrets = Secrets::read(secret.as_bytes()).map_err(|error| error.to_string())?;
        let receiver = Receiver::new(&webhook).map_err(|error| error.to_string())?;
        let wanted: Vec<Pattern> = spec.events.clone();
        let cursor =
            Cursor::open(&cursor_of(id, declared), self.log.clone(), self.store.clone()).map_err(|error| error.to_string())?.of(wanted);
        Ok(Sink::new(place, receiver, secrets, cursor, Pace::default()))
    }
}
