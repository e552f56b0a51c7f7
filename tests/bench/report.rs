//! Rows, the table on the terminal, and the JSON that is kept. Nothing is measured here.

use crate::machine;
use crate::series::Series;
use crate::setup::Setup;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const ROUTES: [&str; 3] = ["direct", "jump", "naru"];

/// What is to be reached.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// So many times direct's value or more.
    AtLeast(f64),
    /// So many times direct's value or more, and so many times the jump host's.
    BothAtLeast(f64, f64),
    /// So many times direct's value or less.
    AtMost(f64),
    /// Direct's value and this much more.
    Plus(f64),
    /// No more than this.
    Figure(f64),
    /// Only looked at.
    None,
}

impl Goal {
    fn words(self) -> String {
        match self {
            Self::AtLeast(times) => format!(">= {times} x"),
            Self::BothAtLeast(direct, jump) => format!(">= {direct} x, {jump} x jump"),
            Self::AtMost(times) => format!("<= {times} x"),
            Self::Plus(more) => format!("<= direct + {more}"),
            Self::Figure(most) => format!("<= {most}"),
            Self::None => String::new(),
        }
    }

    /// Whether it is reached, if that can be said.
    fn met(self, [direct, jump, naru]: [Option<f64>; 3]) -> Option<bool> {
        let naru = naru?;
        match self {
            Self::AtLeast(times) => Some(naru >= times * direct?),
            Self::BothAtLeast(of_direct, of_jump) => Some(naru >= of_direct * direct? && naru >= of_jump * jump?),
            Self::AtMost(times) => Some(naru <= times * direct?),
            Self::Plus(more) => Some(naru <= direct? + more),
            Self::Figure(most) => Some(naru <= most),
            Self::None => None,
        }
    }
}

struct Row {
    name: String,
    unit: &'static str,
    goal: Goal,
    values: [Option<f64>; 3],
    samples: usize,
}

/// What comes out of a run.
pub(crate) struct Report {
    rows: Vec<Row>,
    /// What went wrong, and what a figure alone does not say.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// Begins with what the setup has to say.
    pub(crate) fn new(setup: &Setup) -> Self {
        Self { rows: Vec::new(), notes: setup.notes.clone() }
    }

    /// One percentile of a series as a row.
    pub(crate) fn row(&mut self, name: &str, unit: &'static str, goal: Goal, series: &Series, percent: usize) {
        let values = ROUTES.map(|route| series.percentile(route, percent));
        let samples = series.0.values().map(Vec::len).max().unwrap_or(0);
        self.rows.push(Row { name: name.into(), unit, goal, values, samples });
    }

    /// Something to be said under the table.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let _ = writeln!(
            out,
            "{:width$}  {:>5}  {:>9}  {:>9}  {:>9}  {:>8}  {:>7}  {:22}",
            "measure", "unit", "direct", "jump", "naru", "/direct", "/jump", "to reach"
        );
        for row in &self.rows {
            let [direct, jump, naru] = row.values;
            let met = row.goal.met(row.values).map_or("", |met| if met { "reached" } else { "MISSED" });
            let _ = writeln!(
                out,
                "{:width$}  {:>5}  {:>9}  {:>9}  {:>9}  {:>8}  {:>7}  {:22} {met}",
                row.name,
                row.unit,
                number(direct),
                number(jump),
                number(naru),
                number(ratio(naru, direct)),
                number(ratio(naru, jump)),
                row.goal.words(),
            );
        }
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
        out
    }

    fn json(&self) -> Value {
        let row = |row: &Row| {
            let values: Map<String, Value> = ROUTES.iter().zip(row.values).map(|(route, value)| ((*route).into(), json!(value))).collect();
            json!({
                "measure": row.name, "unit": row.unit, "samples": row.samples, "values": values,
                "to_direct": ratio(row.values[2], row.values[0]), "to_jump": ratio(row.values[2], row.values[1]),
                "goal": row.goal.words(), "met": row.goal.met(row.values),
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        json!({ "date": machine::today(), "machine": machine::describe(), "rows": rows, "notes": self.notes })
    }

    /// Into `tests/bench/results`, named after day and processor.
    pub(crate) fn write(&self) -> Result<PathBuf, String> {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let cpu: String = machine::cpu().chars().map(plain).collect();
        let cpu: Vec<&str> = cpu.split('-').filter(|word| !word.is_empty()).collect();
        let name = format!("{}-{}.json", machine::today(), cpu.join("-"));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench").join("results").join(name);
        let text = serde_json::to_string_pretty(&self.json()).map_err(|e| e.to_string())?;
        std::fs::write(&file, text + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(file)
    }
}

fn ratio(value: Option<f64>, base: Option<f64>) -> Option<f64> {
    Some(value? / base.filter(|base| *base > 0.0)?)
}

fn number(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}
