//! What is counted, from the first moment on. Counting never waits and never fails; who is counted is not kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use access::decide::{Denial, Permit, Question};
use access::event::{Event, What};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::labels::{Asked, Code, Decided, Holder, Kind, Method, One, Reason, Speaks, Two, Type, Word};

/// Names of what fails that are kept at most: more than anybody declares.
const MOST_FAILING: usize = 512;

type By<L> = Family<L, Counter>;

/// The counters. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Meters(Arc<Inner>);

#[derive(Default)]
struct Inner {
    events: By<One<Type>>,
    begun: By<One<Kind>>,
    ended: By<One<Reason>>,
    sign_ins: By<One<Method>>,
    certificates: By<One<Holder>>,
    connections: By<One<Speaks>>,
    decisions: By<Two<Asked, Decided>>,
    refusals: By<One<Code>>,
    failing: Mutex<Failing>,
}

/// What does not work at the moment, by the name that an administrator gave it, with the reason. For /readyz only, never a label.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing {
    pub(super) sinks: BTreeMap<String, String>,
    pub(super) providers: BTreeMap<String, String>,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

/// Makes every series of a family, so that a counter is there before it counts.
fn begin<L: Clone + Eq + std::hash::Hash + fmt::Debug>(family: &By<L>, all: impl IntoIterator<Item = L>) {
    for labels in all {
        let _zero = family.get_or_create_owned(&labels);
    }
}

fn ones<W: Word>() -> impl Iterator<Item = One<W>> {
    W::all().into_iter().map(One)
}

impl Meters {
    /// All of them, at nothing.
    pub(crate) fn new() -> Self {
        let meters = Self::default();
        let of = &meters.0;
        begin(&of.events, ones());
        begin(&of.begun, ones());
        begin(&of.ended, ones());
        begin(&of.sign_ins, ones());
        begin(&of.certificates, ones());
        begin(&of.connections, ones());
        begin(&of.decisions, Asked::all().into_iter().flat_map(|asked| Decided::all().into_iter().map(move |decided| Two(asked, decided))));
        meters
    }

    /// A question was decided.
    pub(crate) fn decided<Q: Question + 'static>(&self, answer: &Result<Permit<Q>, Denial>) {
        let decided = Decided::of(if answer.is_ok() { "allowed" } else { "denied" });
        self.0.decisions.get_or_create(&Two(Asked::of_type::<Q>(), decided)).inc();
    }

    /// Something was refused, whether or not the log has a line for it.
    pub(crate) fn refused(&self, event: &Event) {
        let code = Code::of(event.outcome.code.as_deref().unwrap_or_default());
        self.0.refusals.get_or_create(&One(code)).inc();
    }

    /// Somebody connected, and it is known what they speak.
    pub(crate) fn connected(&self, speaks: &str) {
        self.0.connections.get_or_create(&One(Speaks::of(speaks))).inc();
    }

    /// An event stands in the log.
    pub(super) fn logged(&self, event: &Event, kind: Type) {
        let of = &self.0;
        of.events.get_or_create(&One(kind)).inc();
        match &event.what {
            What::SessionStart { .. } => {
                if let Some(session) = &event.session {
                    of.begun.get_or_create(&One(Kind::of(session.kind))).inc();
                }
            }
            What::SessionEnd { reason, .. } => drop(of.ended.get_or_create(&One(Reason::of(reason))).inc()),
            What::Login { method, .. } => drop(of.sign_ins.get_or_create(&One(Method::of(method))).inc()),
            What::CertIssued { .. } => drop(of.certificates.get_or_create(&One(Holder::of("user"))).inc()),
            What::CertRenewed { .. } | What::AgentJoined { .. } => {
                of.certificates.get_or_create(&One(Holder::of("agent"))).inc();
            }
            What::SinkFailed { sink, cause } => fails(&mut self.failing().sinks, sink, cause),
            What::SinkRecovered { sink, .. } => drop(self.failing().sinks.remove(sink)),
            What::ProviderFailed { connector, cause } => fails(&mut self.failing().providers, connector.as_str(), cause),
            What::ProviderRecovered { connector } => drop(self.failing().providers.remove(connector.as_str())),
            _ => {}
        }
    }

    fn failing(&self) -> MutexGuard<'_, Failing> {
        self.0.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What does not work now.
    pub(super) fn what_fails(&self) -> Failing {
        self.failing().clone()
    }

    /// Names them all.
    pub(super) fn register(&self, registry: &mut Registry) {
        let of = &self.0;
        register(registry, "events", "Events in the audit log since the start", &of.events);
        register(registry, "sessions_begun", "Sessions that began", &of.begun);
        register(registry, "sessions_ended", "Sessions that ended, by the reason of session.end", &of.ended);
        register(registry, "sign_ins", "Sign-ins", &of.sign_ins);
        register(registry, "certificates_issued", "Certificates that the authority signed", &of.certificates);
        register(registry, "connections", "Connections whose protocol became known", &of.connections);
        register(registry, "decisions", "Questions that were decided", &of.decisions);
        register(registry, "refusals", "Refusals by code without NARU-, also those that the log only counts", &of.refusals);
    }
}

fn register<L>(registry: &mut Registry, name: &str, help: &str, family: &By<L>)
where
    L: EncodeLabelSet + Clone + Eq + std::hash::Hash + fmt::Debug + Send + Sync + 'static,
{
    registry.register(name, help, family.clone());
}

fn fails(map: &mut BTreeMap<String, String>, name: &str, cause: &str) {
    if map.len() < MOST_FAILING {
        map.insert(name.to_owned(), cause.to_owned());
    }
}
