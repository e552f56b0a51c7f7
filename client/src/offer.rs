//! An access request that would help, in words: the command that makes it, and the sentence that asks whether to.

use access::amount::Period;
use access::decide::Offer;
use access::identity::{OnlyTarget, Reach};

/// `root@db-1`, `db-1`, `cluster/seoul`: as `--on` takes it.
pub fn target(only: &OnlyTarget) -> String {
    match (only.kind, &only.login) {
        (Reach::Cluster, _) => format!("cluster/{}", only.name),
        (Reach::Node, Some(login)) => format!("{login}@{}", only.name),
        (Reach::Node, None) => only.name.clone(),
    }
}

/// The command that makes the request, as somebody would type it.
pub fn command(offer: &Offer, length: Option<Period>) -> String {
    let length = length.map(|length| format!(" --for {length}")).unwrap_or_default();
    let reason = if offer.reason { " --reason 'WHY'" } else { "" };
    format!("naru request create {} --on {}{length}{reason}", offer.role, target(&offer.only))
}

/// A server's hint with the command behind it, where it does not say it already.
pub fn hint(said: Option<&str>, offer: &Offer) -> String {
    let command = command(offer, None);
    match said {
        Some(said) if said.contains("naru request create") => said.to_owned(),
        Some(said) => format!("{said}\n{command}"),
        None => command,
    }
}

/// Who says yes to it, in words.
pub fn approvals(offer: &Offer) -> String {
    match offer.approvals {
        0 => "nobody is asked".to_owned(),
        1 => "one person has to approve".to_owned(),
        several => format!("{several} people have to approve"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn production(reason: bool) -> Offer {
        let only = OnlyTarget { kind: Reach::Node, name: "db-1".into(), login: Some("root".parse().expect("login")) };
        Offer { role: "production".parse().expect("role"), only, rule: "prod".parse().expect("rule"), reason, approvals: 1 }
    }

    #[test]
    fn the_command_can_be_typed_and_is_said_once() {
        assert_eq!(command(&production(false), None), "naru request create production --on root@db-1");
        let whole = command(&production(true), "1h".parse().ok());
        assert_eq!(whole, "naru request create production --on root@db-1 --for 1h --reason 'WHY'");
        assert_eq!(hint(Some("Ask: naru request create x"), &production(false)), "Ask: naru request create x");
        assert_eq!(hint(Some("Ask."), &production(false)).lines().count(), 2);
        let cluster = OnlyTarget { kind: Reach::Cluster, name: "seoul".into(), login: None };
        assert_eq!(target(&cluster), "cluster/seoul");
    }
}
