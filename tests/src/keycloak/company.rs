//! The company of the end-to-end tests: one Keycloak for all of them, and for each test a Naru and a realm that know each other.
//!
//! Keycloak reads whom it trusts once, and each new Naru makes an authority of its own. So one Naru is started and ended first, and every
//! other begins with a copy of what it left: they differ in port and, from then on, in everything but the authority.

use super::{Keycloak, Realm};
use crate::harness::Demo;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// The state that every Naru of these tests begins with.
struct Template {
    folder: PathBuf,
    /// Takes the folder away when this process ends, which a static does not see.
    _leash: Child,
}

impl Template {
    fn make() -> Result<Self, String> {
        let mut demo = Demo::start(&[])?;
        demo.end().filter(std::process::ExitStatus::success).ok_or("the first Naru did not end in order")?;
        let folder = tempfile::Builder::new().prefix("naru-template-").tempdir().map_err(|e| e.to_string())?.keep();
        let mut leash = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("keycloak/leash.sh"));
        leash.arg("--remove").arg(&folder).args(["sleep", "infinity"]).stdin(Stdio::piped()).stderr(Stdio::null());
        let leash = leash.spawn().map_err(|e| format!("leash.sh: {e}"))?;
        copy(&demo.state(), &folder.join("state"))?;
        let own = folder.join("state/demo");
        std::fs::copy(own.join("ca.pem"), folder.join("ca.pem")).map_err(|e| e.to_string())?;
        // Its port and its agent, which must not be two.
        std::fs::remove_dir_all(own).map_err(|e| e.to_string())?;
        Ok(Self { folder, _leash: leash })
    }
}

fn template() -> Result<&'static Template, String> {
    static TEMPLATE: OnceLock<Result<Template, String>> = OnceLock::new();
    TEMPLATE.get_or_init(Template::make).as_ref().map_err(Clone::clone)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().map_err(|e| format!("cp: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{} could not be copied", from.display())) }
}

/// The Keycloak of all tests. It trusts every Naru of [`company`], and whoever plays Naru in the harness's own tests.
pub(crate) fn keycloak() -> Result<&'static Keycloak, String> {
    Keycloak::shared(|| {
        let mut trusted = super::proof::ca_pem();
        // The harness's own tests need no Naru; those that do hear below why there is none.
        if let Ok(template) = template() {
            trusted += &std::fs::read_to_string(template.folder.join("ca.pem")).map_err(|e| e.to_string())?;
        }
        Ok(trusted)
    })
}

/// A Naru and a realm whose clients name it. The connector is the test's to apply.
pub(crate) fn company() -> Result<(Demo, Realm<'static>), String> {
    let template = template()?;
    let keycloak = keycloak()?;
    let demo = Demo::start_in(|state| copy(&template.folder.join("state"), state))?;
    let realm = keycloak.realm(demo.ready("url"))?;
    Ok((demo, realm))
}

#[test]
fn each_naru_has_the_authority_that_keycloak_trusts() {
    if !Keycloak::wanted() {
        return;
    }
    let (one, _) = company().unwrap();
    let (two, realm) = company().unwrap();
    assert_ne!(one.ready("url"), two.ready("url"));
    let ca = |demo: &Demo| std::fs::read_to_string(demo.ready("ca")).unwrap();
    assert_eq!(ca(&one), ca(&two));
    two.sign_in("alice").unwrap();
    let client = realm.call("GET", "/clients?clientId=naru", None).unwrap();
    assert_eq!(client[0]["attributes"]["backchannel.logout.url"], format!("{}/v1/oidc/keycloak/backchannel-logout", two.ready("url")));
}
