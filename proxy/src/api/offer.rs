//! What a join token lets a host be, as of now: its own words, or those of the declared join token that it was made of.

use std::collections::BTreeMap;
use std::time::Duration;

use access::policy::{JoinKind, Pattern, Resource, ResourceKind};
use access::time::Timestamp;
use access::words::NodeName;

use crate::authority::one_time::{Origin, Purpose};
use crate::live::View;

/// Uses and life of a secret where the resource says nothing.
const USES: u32 = 1;
const LIFE: Duration = Duration::from_secs(3600);

/// What joins may call itself so, and gets this.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// Names, or patterns with `*`.
    names: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    /// Whether a taken name may be taken over.
    pub(super) replace: bool,
    /// By how many machines it can be used; none for one that works once.
    pub(super) uses: Option<u32>,
    /// How long a secret of the resource lives.
    pub(super) longest: Duration,
    /// Where it comes from.
    pub(super) resource: Option<Origin>,
}

impl Offer {
    /// Of a token that was made for this. The error is why nothing can join with it, as a sentence.
    pub(super) fn of(purpose: Purpose, view: &View, now: Timestamp) -> Result<Self, String> {
        match purpose {
            Purpose::Node { node, labels, replace } => Ok(Self { names: vec![node], labels, replace, ..Self::default() }),
            Purpose::Nodes { of, uses, made } => Self::of_resource(&of, uses, made, view, now),
            Purpose::LoginLink { .. } | Purpose::BreakGlass { .. } => Err("this token lets nothing join".to_owned()),
        }
    }

    /// Of a declared join token as it is now, for a secret of so many uses that was made then. What became stricter holds for it too.
    pub(super) fn of_resource(of: &Origin, uses: u32, made: Timestamp, view: &View, now: Timestamp) -> Result<Self, String> {
        let name = &of.name;
        let declared = view.resources.get(&(ResourceKind::JoinToken, name.to_string())).filter(|declared| declared.stored.id == of.id);
        let Some(Resource::JoinToken { spec, .. }) = declared.map(|declared| &declared.stated.resource) else {
            return Err(format!("the join token is refused: join_token/{name}, which it was made of, was deleted"));
        };
        if !spec.kinds.contains(&JoinKind::Ssh) {
            return Err(format!("join_token/{name} lets no host join: only its kind ssh can be used so far, not kubernetes"));
        }
        let longest = spec.ttl.map_or(LIFE, |ttl| ttl.duration());
        if now >= made.plus(longest) {
            return Err(format!("the join token is refused: it is older than join_token/{name} allows by now"));
        }
        Ok(Self {
            names: spec.names.iter().map(ToString::to_string).collect(),
            labels: spec.labels.clone(),
            replace: false,
            uses: Some(uses.min(spec.uses.unwrap_or(USES))),
            longest,
            resource: Some(of.clone()),
        })
    }

    /// The names for people to read.
    pub(super) fn patterns(&self) -> String {
        self.names.join(", ")
    }

    /// The token's name, or the host's wish where the token has a pattern that it fits.
    pub(super) fn name(&self, wish: Option<NodeName>) -> Result<NodeName, String> {
        if let [one] = self.names.as_slice()
            && let Ok(fixed) = one.parse::<NodeName>()
        {
            return match wish {
                Some(wish) if wish != fixed => Err(format!("the token is for {fixed}, not for {wish}")),
                _ => Ok(fixed),
            };
        }
        let like = self.patterns();
        let wish = wish.ok_or_else(|| format!("the token is for names like {like}: say which with --node"))?;
        let fits = |pattern: &String| pattern.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(wish.as_str()));
        if self.names.iter().any(fits) { Ok(wish) } else { Err(format!("the token is for names like {like}, which {wish} is not")) }
    }
}
