//! How long the binary takes to say its version.

use crate::report::{Goal, Report};
use crate::route::{ms, time};
use crate::series::Series;
use crate::setup::{Naru, Setup};
use std::process::Command;

/// Naru alone; what it is compared with is a figure.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let Some(Naru { demo, .. }) = &setup.naru else { return Ok(()) };
    let mut series = Series::default();
    for _ in 0..setup.size(50, 5) {
        series.push("naru", ms(time(Command::new(demo.binary()).arg("--version"))?));
    }
    report.row("naru --version, p50", "ms", Goal::Figure(10.0), &series, 50);
    Ok(())
}
