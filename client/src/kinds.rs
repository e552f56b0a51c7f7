//! The names that people have for what every Kubernetes cluster has, and the API group of each. A flat table; what it does not know stays as it is.

/// Plural, API group, other names.
const KINDS: [(&str, &str, &[&str]); 27] = [
    ("pods", "", &["pod", "po"]),
    ("services", "", &["service", "svc"]),
    ("configmaps", "", &["configmap", "cm"]),
    ("secrets", "", &["secret"]),
    ("namespaces", "", &["namespace", "ns"]),
    ("nodes", "", &["node", "no"]),
    ("events", "", &["event", "ev"]),
    ("endpoints", "", &["ep"]),
    ("persistentvolumes", "", &["persistentvolume", "pv"]),
    ("persistentvolumeclaims", "", &["persistentvolumeclaim", "pvc"]),
    ("serviceaccounts", "", &["serviceaccount", "sa"]),
    ("replicationcontrollers", "", &["replicationcontroller", "rc"]),
    ("deployments", "apps", &["deployment", "deploy"]),
    ("replicasets", "apps", &["replicaset", "rs"]),
    ("statefulsets", "apps", &["statefulset", "sts"]),
    ("daemonsets", "apps", &["daemonset", "ds"]),
    ("jobs", "batch", &["job"]),
    ("cronjobs", "batch", &["cronjob", "cj"]),
    ("horizontalpodautoscalers", "autoscaling", &["horizontalpodautoscaler", "hpa"]),
    ("ingresses", "networking.k8s.io", &["ingress", "ing"]),
    ("networkpolicies", "networking.k8s.io", &["networkpolicy", "netpol"]),
    ("poddisruptionbudgets", "policy", &["poddisruptionbudget", "pdb"]),
    ("roles", "rbac.authorization.k8s.io", &["role"]),
    ("rolebindings", "rbac.authorization.k8s.io", &["rolebinding"]),
    ("clusterroles", "rbac.authorization.k8s.io", &["clusterrole"]),
    ("clusterrolebindings", "rbac.authorization.k8s.io", &["clusterrolebinding"]),
    ("storageclasses", "storage.k8s.io", &["storageclass", "sc"]),
];

/// Plural and API group of a name; an unknown one is itself, of the core group.
pub fn of(word: &str) -> (&str, &'static str) {
    let known = KINDS.iter().find(|(plural, _, others)| *plural == word || others.contains(&word));
    known.map_or((word, ""), |(plural, group, _)| (*plural, *group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_means_two_things() {
        let mut names: Vec<&str> = KINDS.iter().flat_map(|(plural, _, others)| others.iter().copied().chain([*plural])).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!((of("sts"), of("widgets")), (("statefulsets", "apps"), ("widgets", "")));
    }
}
