//! The figures of the policy alone, quickly and without a server: `cargo run --release -p access --example decide_speed [NAME]`, where
//! NAME is a part to be repeated for a profiler. The bench has the same as rows; the company is the same.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing, reason = "prints figures, and may fail loudly")]

#[path = "../../tests/bench/policy/world.rs"]
mod world;

use std::hint::black_box;
use std::time::Instant;

use access::decide::{OpenSession, Reacher, decide};
use access::event::SessionKind;
use access::policy::PolicySet;
use access::reach::{Moment, World, broken, diff};
use access::time::Timestamp;
use access::words::Login;
use world::{Company, role, without_deny};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let times = if only.is_some() { 20 } else { 3 };
    for (name, roles, condition) in [
        ("decide-1000", 1_000, None),
        ("decide-100", 100, None),
        ("decide-conditions", 1_000, Some("'oncall' in user.traits.groups && target.labels.env != 'lost'")),
    ] {
        if wanted(name) {
            one_decision(name, roles, condition, times * 10_000);
        }
    }
    let company = Company::new(5_000, 20_000, 300, 20);
    let before = company.policy();
    let world = |policy| World { policy, people: &company.people, nodes: &company.nodes, clusters: &company.clusters };
    let moment = Moment { now: NOW, from: None };
    let (one, all) = (changed(&company, &before, |i| i == 17), changed(&company, &before, |_| true));
    timed("list", wanted("list"), times, || {
        let reacher = Reacher::new(&company.people[7], &before, NOW);
        format!("{} logins", company.nodes.iter().map(|node| reacher.logins(node).len()).sum::<usize>())
    });
    for (name, after) in [("diff-one", &one), ("diff-all", &all)] {
        timed(name, wanted(name), times, || {
            let told = diff(&world(&before), &world(after), &moment, 200);
            format!("{} gained, {} lost, {} lines, such as {}", told.gained, told.lost, told.gains.len(), told.gains[0].text)
        });
    }
    timed("broken", wanted("broken"), times, || {
        format!("{:?}", broken(&world(&before), &world(&one), 200).old.first().map(|one| one.count))
    });
}

fn timed(name: &str, wanted: bool, times: usize, once: impl Fn() -> String) {
    for _ in 0..if wanted { times } else { 0 } {
        let start = Instant::now();
        let told = black_box(once());
        println!("{name}: {:.1} ms: {told}", start.elapsed().as_secs_f64() * 1e3);
    }
}

fn one_decision(name: &str, roles: usize, condition: Option<&str>, rounds: usize) {
    let mut company = Company::new(60, 1_000, roles, 20);
    for (i, (_, spec)) in company.roles.iter_mut().enumerate() {
        *spec = role(i, condition);
    }
    let (policy, login): (PolicySet, Login) = (company.policy(), "postgres".parse().expect("a login"));
    let asked = company.people.iter().find_map(|who| {
        let reacher = Reacher::new(who, &policy, NOW);
        let node = company.nodes.iter().find(|node| reacher.logins(node).contains(&login))?;
        let (identity, node, login) = (who.clone(), node.clone(), login.clone());
        Some(OpenSession { identity, node, login, kind: SessionKind::Shell, command: None, begun: None })
    });
    let asked = asked.expect("somebody reaches something");
    let mut took: Vec<f64> = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let question = asked.clone();
        let start = Instant::now();
        assert!(black_box(decide(black_box(question), &policy, NOW)).is_ok());
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    println!("{name}: p50 {:.1} us, p99 {:.1} us", took[rounds / 2], took[rounds * 99 / 100]);
}

fn changed(company: &Company, before: &PolicySet, which: impl Fn(usize) -> bool) -> PolicySet {
    let roles = company.roles.clone().into_iter().enumerate();
    let roles = roles.map(|(i, (name, spec))| (name, if which(i) { without_deny(&spec) } else { spec }));
    PolicySet::build(roles.collect()).expect("no faults").with(before.others().clone())
}
