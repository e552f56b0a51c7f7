//! Steps of requests where the store or another step is in the way.

use access::event::{OutcomeResult, What};
use access::time::Timestamp;
use store::kv::Expect;
use wire::api::RequestState;

use super::{By, RequestError, StoredRequest, new_id};
use crate::build::{Proxy, Settings};
use crate::clock;

fn waiting(now: Timestamp) -> StoredRequest {
    let text = format!(
        r#"{{"user":"eve","asker":{{"issuer":"local","subject":"eve"}},"role":"dba","rule":"dba","created":"{now}","length":"1h","until":"{}","state":"approved","uses":3}}"#,
        now.plus(std::time::Duration::from_secs(600))
    );
    serde_json::from_str(&text).expect("a request")
}

async fn proxy(dir: &std::path::Path) -> Proxy {
    Proxy::build(Settings::of_test(&dir.join("state"))).await.expect("a proxy")
}

#[tokio::test]
async fn what_the_store_refuses_is_taken_back_in_the_log() {
    let dir = tempfile::tempdir().expect("a folder");
    let proxy = proxy(dir.path()).await;
    let (requests, log) = (&proxy.app.sessions.requests, &proxy.app.sessions.log);
    let (id, stored) = (new_id(), waiting(clock::now()));
    let told = || vec![By::system().event(What::RequestUsed(stored.facts(&id, None, None)))];
    let refused = requests.put(&id, &stored, Expect::Revision(77), told()).await;
    assert!(matches!(refused, Err(RequestError::Store(_))), "{refused:?}");
    assert!(matches!(requests.get(&id), Err(RequestError::Unknown(_))));
    requests.put(&id, &stored, Expect::Absent, told()).await.expect("stored");
    let mut reader = log.reader(1).expect("the log");
    let mut outcomes = Vec::new();
    while let Some(entry) = reader.next().expect("an entry") {
        let event = entry.event().expect("an event").event;
        if matches!(event.what, What::RequestUsed(_)) {
            outcomes.push((event.outcome.result, event.outcome.code));
        }
    }
    let failed = (OutcomeResult::Failed, Some("NARU-C007".to_owned()));
    assert_eq!(outcomes, [(OutcomeResult::Success, None), failed, (OutcomeResult::Success, None)]);
}

#[tokio::test]
async fn of_many_who_use_one_request_at_once_each_counts() {
    let dir = tempfile::tempdir().expect("a folder");
    let proxy = proxy(dir.path()).await;
    let requests = &proxy.app.sessions.requests;
    let id = new_id();
    requests.put(&id, &waiting(clock::now()), Expect::Absent, Vec::new()).await.expect("stored");
    let all = futures::future::join_all((0..8).map(|_| requests.used(&id, By::system()))).await;
    assert_eq!(all.iter().filter(|used| used.is_ok()).count(), 3);
    assert!(all.iter().filter_map(|used| used.as_ref().err()).all(|error| matches!(error, RequestError::UsedUp(_))), "{all:?}");
    let (stored, _) = requests.get(&id).expect("there");
    assert_eq!((stored.used, stored.state), (3, RequestState::UsedUp));
}
