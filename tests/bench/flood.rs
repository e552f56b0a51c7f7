//! A terminal that is flooded: `seq 1 3000000`, as fast as it is shown.

use crate::report::{Goal, Report};
use crate::series::alternate;
use crate::setup::Setup;
use crate::transfer::drain;
use std::time::Instant;

/// MB a second of what arrives, line ends as the terminal makes them.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let (rounds, last) = (setup.size(5, 1), setup.size(3_000_000_u64, 300_000));
    let expected: u64 = (1..=last).map(|n| u64::from(n.ilog10()) + 3).sum();
    let series = alternate(&setup.routes, rounds, &mut report.notes, |route| {
        let start = Instant::now();
        let got = drain(&mut route.ssh(&["-tt"], &format!("seq 1 {last}")))?;
        if got < expected {
            return Err(format!("{got} bytes came instead of {expected}"));
        }
        Ok(got as f64 / 1e6 / start.elapsed().as_secs_f64())
    });
    report.row("terminal flood (seq)", "MB/s", Goal::AtLeast(0.95), &series, 50);
    Ok(())
}
