//! Measured values and what is said of them. Nothing is measured here.

use crate::route::Route;
use std::collections::BTreeMap;

/// Values by the name of their route.
#[derive(Default, Clone)]
pub(crate) struct Series(pub(crate) BTreeMap<&'static str, Vec<f64>>);

impl Series {
    /// One value.
    pub(crate) fn push(&mut self, route: &'static str, value: f64) {
        self.0.entry(route).or_default().push(value);
    }

    /// The value below which `percent` of a route's values lie, if it has any.
    pub(crate) fn percentile(&self, route: &str, percent: usize) -> Option<f64> {
        let mut values = self.0.get(route)?.clone();
        values.sort_by(f64::total_cmp);
        let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
        values.get(at).copied()
    }
}

/// Takes `rounds` values of each route in turn, after one round that does not count. A route that fails twice is left out.
pub(crate) fn alternate(
    routes: &[Route],
    rounds: usize,
    notes: &mut Vec<String>,
    mut once: impl FnMut(&Route) -> Result<f64, String>,
) -> Series {
    let (mut series, mut failed) = (Series::default(), BTreeMap::<&str, u32>::new());
    for round in 0..=rounds {
        for route in routes {
            if failed.get(route.name).is_some_and(|times| *times > 1) {
                continue;
            }
            match once(route) {
                Ok(value) if round > 0 => series.push(route.name, value),
                Ok(_) => {}
                Err(why) => {
                    *failed.entry(route.name).or_default() += 1;
                    notes.push(format!("{}: {why}", route.name));
                }
            }
        }
    }
    series
}
