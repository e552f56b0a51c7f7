//! What stands at some height now, read when somebody asks. Names and units follow OpenMetrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use recorder::Timed;

use super::watched::Watched;

/// Everything that `/metrics` shows, as OpenMetrics text.
///
/// # Errors
/// Never, unless a text cannot grow.
pub(super) fn text(watched: &Arc<Watched>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("naru");
    watched.meters.register(&mut registry);
    registry.register_collector(Box::new(Gauges(watched.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct Gauges(Arc<Watched>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let of = &*self.0;
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: Option<f64>| -> fmt::Result {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?)
        };
        let count = |count: usize| Some(count as f64);
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        gauge("sessions_live", "Sessions that go on", None, count(of.table.count()))?;
        gauge("nodes_connected", "Nodes whose agent is connected", None, count(of.agents.count()))?;
        gauge("logins_live", "Logins that go on, of people and bots", None, of.surveyed.logins().map(|logins| logins as f64))?;
        gauge("log_last", "The number of the last event in the audit log", None, Some(*of.log.last().borrow() as f64))?;
        gauge("store_revision", "The revision up to which the rules in force were read", None, Some(of.freshness.revision() as f64))?;
        let age = of.freshness.age().as_secs_f64();
        gauge("view_age", "How long ago the rules in force were known to be current", Some(&Unit::Seconds), Some(age))?;
        let backlog = of.recordings.backlog();
        gauge("journal_backlog", "Recorded, and not yet part of a stored recording", Some(&Unit::Bytes), bytes(Some(backlog)))?;
        gauge("disk_free", "What the disk of the state directory has for us", Some(&Unit::Bytes), bytes(of.surveyed.free()))?;
        gauge("resident_memory", "Memory of this process", Some(&Unit::Bytes), bytes(resident()))?;
        let started = of.started.as_secs() as f64;
        gauge("start_time", "When this process began, since 1970", Some(&Unit::Seconds), Some(started))?;
        histogram(&mut encoder, "log_sync", "How long the audit log and the journal took to reach the disk", &of.log.syncs().now())?;
        let appends = of.recordings.journal().appends().now();
        histogram(&mut encoder, "journal_append", "How long output waits to be written to the journal", &appends)?;
        let mut lag = encoder.encode_descriptor("sink_lag", "Events that a receiver has not taken", None, MetricType::Gauge)?;
        let last = *of.log.last().borrow();
        for sink in &of.lags {
            // Named in the settings, each once.
            ConstGauge::new(sink.behind(last) as i64).encode(lag.encode_family(&[("sink", sink.name())])?)?;
        }
        let mut build = encoder.encode_descriptor("build", "What runs here", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}

fn histogram(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, timed: &Timed) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    metric.encode_histogram::<NoLabelSet>(timed.seconds, timed.count(), &timed.steps, None)
}

/// Bytes of memory that this process has in use, proc_pid_statm(5).
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages.saturating_mul(rustix::param::page_size() as u64))
}
