//! Receivers that are declared: they begin, hear what they asked for, change and end with what is declared.

use std::sync::Arc;

use access::event::{Actor, Event, What};
use access::words::InstallId;
use base64::Engine as _;
use serde_json::json;
use store::kv::Expect;
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, KEY, Mode};
use super::{Place, until};
use crate::authority::ask::Keys;
use crate::authority::keyring::Keyring;
use crate::authority::sealed::Seal;
use crate::declared::{SECRET, Stored, key_of};
use crate::live::Live;
use crate::notify::DeclaredSinks;
use access::policy::ResourceKind;

#[tokio::test]
async fn a_declared_messenger_hears_what_it_asked_for_for_as_long_as_it_is_declared() {
    let place = Place::new();
    let install: InstallId = "i".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::new(Keyring::open(folder.path(), &install).unwrap());
    let live = Live::start(place.store.clone(), install).unwrap();
    let stop = CancellationToken::new();
    let sinks = DeclaredSinks::new(live.clone(), keys.clone(), place.log.clone(), place.store.clone());
    let running = tokio::spawn(sinks.run(stop.clone()));
    let fake = Fake::start(Mode::Accept).await;
    let secret = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(KEY));
    let spec = json!({"webhook": {"url": format!("http://{}/in", fake.address), "allow_private": true}, "events": ["server.*"]});
    let mut stored = Stored::new("m-1".into(), crate::clock::now(), spec);
    stored.secrets = [(SECRET.to_owned(), keys.ask(Seal { place: "messenger/ops", secret: secret.as_bytes() }).unwrap())].into();
    let key = key_of(ResourceKind::Messenger, "ops");
    let store: &Arc<dyn store::kv::Kv> = &place.store;
    let place_of = |id: &str| store.get(&format!("sink/messenger/ops/{id}")).unwrap().is_some();
    store.put(&key, &stored.bytes(), Expect::Absent).unwrap();
    live.refresh().unwrap();
    // Its place is kept before anything is sent: what comes from now on is heard.
    until("its place", || place_of("m-1")).await;
    let tell = |what| drop(place.log.append(&Event::new(crate::clock::now(), Actor::system(), what)).unwrap());
    tell(What::Logout {});
    tell(What::ServerStopped {});
    until("the event", || !fake.accepted().is_empty()).await;
    let types: Vec<_> = fake.accepted().iter().map(|got| got.json()["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(types, ["server.stopped"], "and nothing that it did not ask for");
    // Deleted and made again before anybody looked: another one, which goes on with nothing of the first.
    stored.id = "m-2".into();
    store.put(&key, &stored.bytes(), Expect::Any).unwrap();
    live.refresh().unwrap();
    until("the other's place", || place_of("m-2") && !place_of("m-1")).await;
    store.batch(&[store::kv::Change::delete(key, Expect::Any)]).unwrap();
    live.refresh().unwrap();
    until("its end", || !place_of("m-2")).await;
    tell(What::ServerStopped {});
    stop.cancel();
    running.await.unwrap();
    assert_eq!(fake.accepted().len(), 1, "who is not declared any more hears nothing");
}
