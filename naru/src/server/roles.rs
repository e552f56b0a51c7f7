//! What a new install begins with, as the resources that people would write.

use access::policy::Stated;

/// Roles and the first administrator of every install.
pub(crate) const BASE: &str = "
kind: role
name: admin
spec:
  description: Whoever has this role may change everything, and gives it away with care.
  allow:
    administer: {'*': write}
---
kind: role
name: auditor
spec:
  description: Sees what everybody does, live and later, and ends sessions.
  allow:
    audit:
      - sessions: [list, play, watch, join, export, kill]
        events: true
    administer: {request: read}
---
kind: user
name: admin
spec: {roles: [admin]}
";

/// The demo's two people; the engineer's login is the account that runs it.
pub(crate) fn demo(login: &str) -> String {
    format!(
        "
kind: role
name: engineer
spec:
  allow:
    ssh:
      - labels: {{env: [demo]}}
        logins: ['{{{{logins}}}}']
  options: {{recording: strict, notice: This session is recorded.}}
---
kind: user
name: alice
spec: {{roles: [engineer], traits: {{logins: [{login}]}}}}
---
kind: user
name: olga
spec: {{roles: [auditor]}}
"
    )
}

/// The resources of a text of ours.
pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<Stated>, client::failure::Failure> {
    config::policy::resources(name, text, None).map_err(|faults| {
        client::failure::Failure::new("NARU-C111", 1, config::faults::count(&faults)).shown(config::faults::text(&faults))
    })
}
