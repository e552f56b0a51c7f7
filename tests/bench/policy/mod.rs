//! How long the policy takes: one decision, what one person reaches, and what a change would do to everybody. No server and no network.

mod world;

use std::hint::black_box;
use std::time::Instant;

use access::decide::{OpenSession, Reacher, decide};
use access::event::SessionKind;
use access::policy::{PolicySet, RoleSpec};
use access::reach::{Moment, World, broken, diff};
use access::time::Timestamp;
use access::words::{Login, RoleName};

use crate::report::{Goal, Report};
use crate::series::Series;
use crate::setup::Setup;
use world::{Company, role, without_deny};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
/// Answered by nobody's name, so that all of it is looked at.
const CONDITION: &str = "'oncall' in user.traits.groups && target.labels.env != 'lost'";

/// Every figure of the policy.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<(), String> {
    let rounds = setup.size(2_000, 200);
    let plain = decisions(1_000, 0, rounds);
    report.row("decide, 1,000 roles, 20 of them had p50", "us", Goal::Figure(20.0), &plain, 50);
    report.row("decide, 1,000 roles, 20 of them had p99", "us", Goal::None, &plain, 99);
    report.row("decide, 100 roles, 20 of them had p50", "us", Goal::None, &decisions(100, 0, rounds), 50);
    // With a condition on each of the 20 roles only those that fit the node are looked at: two of them.
    report.row("decide, the same with 2 conditions p50", "us", Goal::Figure(40.0), &decisions(1_000, 1, rounds), 50);
    let company = Company::new(setup.size(5_000, 500), setup.size(20_000, 2_000), 300, 20);
    let times = setup.size(5, 2);
    report.row("what one person reaches of 20,000 nodes", "ms", Goal::Figure(150.0), &reached(&company, times), 50);
    changes(&company, times, report);
    Ok(())
}

fn decisions(roles: usize, conditions: usize, rounds: usize) -> Series {
    let mut company = Company::new(60, 1_000, roles, 20);
    if conditions > 0 {
        company.roles = company.roles.iter().enumerate().map(|(i, (name, _))| (name.clone(), role(i, Some(CONDITION)))).collect();
    }
    let policy = company.policy();
    let login: Login = "postgres".parse().expect("a login");
    // Whoever may: the first of them whom some node lets in.
    let asked = company.people.iter().find_map(|who| {
        let reacher = Reacher::new(who, &policy, NOW);
        let node = company.nodes.iter().find(|node| reacher.logins(node).contains(&login))?;
        Some(OpenSession {
            identity: who.clone(),
            node: node.clone(),
            login: login.clone(),
            kind: SessionKind::Shell,
            command: None,
            begun: None,
        })
    });
    let asked = asked.expect("somebody reaches something");
    let mut series = Series::default();
    for _ in 0..rounds {
        let question = asked.clone();
        let start = Instant::now();
        assert!(black_box(decide(black_box(question), &policy, NOW)).is_ok(), "allowed");
        series.push("naru", start.elapsed().as_secs_f64() * 1e6);
    }
    series
}

fn reached(company: &Company, times: usize) -> Series {
    let policy = company.policy();
    let mut series = Series::default();
    for who in company.people.iter().take(times) {
        let start = Instant::now();
        let reacher = Reacher::new(who, &policy, NOW);
        black_box(company.nodes.iter().map(|node| reacher.logins(node).len()).sum::<usize>());
        series.push("naru", start.elapsed().as_secs_f64() * 1e3);
    }
    series
}

fn changes(company: &Company, times: usize, report: &mut Report) {
    let before = company.policy();
    let world = |policy| World { policy, people: &company.people, nodes: &company.nodes, clusters: &company.clusters };
    let moment = Moment { now: NOW, from: None };
    let one = changed(company, &before, |i| i == 17);
    let all = changed(company, &before, |_| true);
    for (name, goal, after) in [("access diff, one role changed", 100.0, &one), ("access diff, all 300 roles changed", 2_000.0, &all)] {
        let mut series = Series::default();
        for _ in 0..times {
            let start = Instant::now();
            let told = black_box(diff(&world(&before), &world(after), &moment, 200));
            series.push("naru", start.elapsed().as_secs_f64() * 1e3);
            assert!(told.gained > 0 && told.lost > 0, "something changed");
        }
        report.row(name, "ms", Goal::Figure(goal), &series, 50);
    }
    let mut series = Series::default();
    for _ in 0..times {
        let start = Instant::now();
        assert!(!black_box(broken(&world(&before), &world(&one), 200)).old.is_empty(), "root is had in prod");
        series.push("naru", start.elapsed().as_secs_f64() * 1e3);
    }
    report.row("guardrails checked, one role changed", "ms", Goal::None, &series, 50);
}

fn changed(company: &Company, before: &PolicySet, which: impl Fn(usize) -> bool) -> PolicySet {
    let roles: Vec<(RoleName, RoleSpec)> = company.roles.clone();
    let roles = roles.into_iter().enumerate().map(|(i, (name, spec))| (name, if which(i) { without_deny(&spec) } else { spec }));
    PolicySet::build(roles.collect()).expect("no faults").with(before.others().clone())
}
