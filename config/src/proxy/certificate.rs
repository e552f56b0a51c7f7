//! The part `certificate` of the proxy's file: which certificate browsers are shown. No file is read here, only its name.

use super::{ProxyFile, is_host, is_url};
use crate::faults::quoted;
use crate::read::{Fields, Reader};
use crate::tree::{Entry, Node, Value};

/// Most addresses of people whom an ACME server may write to.
const MAX_CONTACTS: usize = 10;

/// Where the certificate comes from that is shown to whoever does not ask for Naru's own CA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Naru's own CA signs it.
    #[default]
    Own,
    /// Two files in PEM, read again when they change.
    File {
        /// The certificate, then those between it and its authority.
        chain: String,
        /// Its private key.
        key: String,
    },
    /// Ordered from an ACME server (RFC 8555), which asks back on our own port (RFC 8737).
    Acme(Acme),
}

/// An ACME server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The address of its directory, https.
    pub directory: String,
    /// Whom it may write to: `mailto:` and an address each.
    pub contact: Vec<String>,
    /// A PEM file with the authorities that sign the ACME server's own certificate; absent for those of this system.
    pub ca: Option<String>,
}

/// Reads the part; what is absent or `{}` is Naru's own CA.
pub(super) fn certificate(read: &mut Reader<'_>, fields: &Fields<'_>) -> Certificate {
    let Some(node) = fields.get("certificate") else { return Certificate::Own };
    let kinds = read.fields(node, "certificate", &["file", "acme"]);
    match (kinds.get("file"), kinds.get("acme")) {
        (Some(_), Some(acme)) => {
            read.fault(&acme.at, "a certificate comes from files or from ACME, not from both", "keep one of the two");
            Certificate::Own
        }
        (Some(part), None) => file(read, part),
        (None, Some(part)) => acme(read, part),
        (None, None) => {
            if let Value::Map(entries) = &node.value {
                empty(read, entries);
            }
            Certificate::Own
        }
    }
}

/// `file:` with nothing behind it is an unfinished line and does not mean our own CA.
fn empty(read: &mut Reader<'_>, entries: &[Entry]) {
    for entry in entries.iter().filter(|entry| matches!(entry.key.as_str(), "file" | "acme")) {
        read.fault(&entry.at, format!("nothing is written for {}", entry.key), "write its fields, or leave `certificate` out");
    }
}

fn file(read: &mut Reader<'_>, part: &Node) -> Certificate {
    let fields = read.fields(part, "certificate.file", &["chain", "key"]);
    let chain = path(read, part, &fields, "chain", "name the PEM file with the certificate and those that lead to its authority");
    let key = path(read, part, &fields, "key", "name the PEM file with the private key");
    match (chain, key) {
        (Some(chain), Some(key)) => Certificate::File { chain, key },
        _ => Certificate::Own,
    }
}

fn path(read: &mut Reader<'_>, part: &Node, fields: &Fields<'_>, field: &str, remedy: &str) -> Option<String> {
    let Some(node) = fields.get(field) else {
        read.fault(&part.at, format!("this certificate has no {field}"), remedy);
        return None;
    };
    let text = read.text(node, field)?;
    if text.is_empty() || text.contains('\0') {
        read.fault(&node.at, format!("{} is no name of a file", quoted(text)), remedy);
        return None;
    }
    Some(text.to_owned())
}

fn acme(read: &mut Reader<'_>, part: &Node) -> Certificate {
    let fields = read.fields(part, "certificate.acme", &["directory", "contact", "terms_agreed", "ca"]);
    let remedy = "write the https address of its directory, such as https://acme-v02.api.letsencrypt.org/directory";
    let directory = match fields.get("directory") {
        Some(node) => read.text(node, "directory").map(|text| (text.to_owned(), node)),
        None => {
            read.fault(&part.at, "certificate.acme has no directory", remedy);
            None
        }
    };
    if let Some((text, node)) = &directory
        && !(text.starts_with("https://") && is_url(text))
    {
        read.fault(&node.at, format!("{} is no directory of an ACME server", quoted(text)), remedy);
    }
    let agreed = fields.get("terms_agreed").and_then(|node| read.flag(node, "terms_agreed")).unwrap_or_default();
    if !agreed {
        let at = fields.get("terms_agreed").map_or(&part.at, |node| &node.at);
        read.fault(at, "an ACME server signs only for who agrees to its terms", "read them, then write terms_agreed: true");
    }
    let ca = fields.get("ca").and_then(|_| path(read, part, &fields, "ca", "name the PEM file with its authorities"));
    let contact = contacts(read, &fields);
    match directory {
        Some((directory, _)) => Certificate::Acme(Acme { directory, contact, ca }),
        None => Certificate::Own,
    }
}

fn contacts(read: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<String> {
    let Some(node) = fields.get("contact") else { return Vec::new() };
    let items = read.list(node, "contact");
    if items.len() > MAX_CONTACTS {
        read.fault(&node.at, format!("there are more than {MAX_CONTACTS} contacts"), "keep those who look after this server");
        return Vec::new();
    }
    let mut all = Vec::new();
    for item in items {
        let Some(text) = read.text(item, "a contact") else { continue };
        if is_mailto(text) {
            all.push(text.to_owned());
        } else {
            let remedy = "write mailto: and an address, such as mailto:admin@example.org";
            read.fault(&item.at, format!("{} is no contact", quoted(text)), remedy);
        }
    }
    all
}

/// One address, without the header fields that a `mailto` may carry (RFC 8555 section 7.3).
fn is_mailto(text: &str) -> bool {
    let Some((person, host)) = text.strip_prefix("mailto:").and_then(|address| address.split_once('@')) else { return false };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    !person.is_empty() && person.len() <= 64 && person.bytes().all(plain) && is_host(host)
}

/// A certificate for browsers is for names: without any, nobody could say whether it is the right one, and ACME has nothing to order.
pub(super) fn has_names(read: &mut Reader<'_>, fields: &Fields<'_>, certificate: &Certificate, public: &[String]) {
    let Some(node) = fields.get("certificate") else { return };
    let remedy = "write public: [naru.example.org], with every name that the certificate has";
    match certificate {
        Certificate::File { .. } if public.is_empty() => {
            read.fault(&node.at, "a certificate is for names, and `public` has none", remedy);
        }
        Certificate::Acme(_) if ProxyFile::dns_names(public).next().is_none() => {
            read.fault(&node.at, "an ACME server signs for names, and `public` has none", remedy);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::proxy;

    fn read(text: &str) -> Result<Certificate, Vec<String>> {
        let told = |fault: crate::faults::Fault| format!("{}:{} {}", fault.line, fault.column, fault.message);
        proxy("p.yaml", text).map(|meant| meant.certificate).map_err(|faults| faults.into_iter().map(told).collect())
    }

    #[test]
    fn each_source_is_read() {
        assert_eq!(read("certificate: {}"), Ok(Certificate::Own));
        let file = Certificate::File { chain: "/etc/naru/tls.crt".to_owned(), key: "/etc/naru/tls.key".to_owned() };
        assert_eq!(read("public: [a.b]\ncertificate:\n  file: {chain: /etc/naru/tls.crt, key: /etc/naru/tls.key}\n"), Ok(file));
        let acme = Acme {
            directory: "https://127.0.0.1:14000/dir".to_owned(),
            contact: vec!["mailto:ops+naru@example.org".to_owned()],
            ca: Some("ca.pem".to_owned()),
        };
        let text = "public: [10.0.0.1, naru.example.org]\ncertificate:\n  acme:\n    directory: https://127.0.0.1:14000/dir\n    \
            contact: [\"mailto:ops+naru@example.org\"]\n    terms_agreed: true\n    ca: ca.pem\n";
        assert_eq!(read(text), Ok(Certificate::Acme(acme)));
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        let one = |text: &str, place: &str, part: &str| {
            let faults = read(text).expect_err(text);
            assert!(faults.len() == 1 && faults[0].starts_with(place) && faults[0].contains(part), "{text}: {faults:?}");
        };
        one("certificate: own", "1:14", "is a map");
        one("certificate: {files: {}}", "1:15", "no field");
        one("certificate: {file: }", "1:15", "nothing is written for file");
        one("certificate: {file: {chain: a}}", "1:21", "no key");
        one("certificate: {file: {chain: \"\", key: b}}", "1:29", "no name of a file");
        one("public: [a.b]\ncertificate: {file: {chain: a, key: b}, acme: {directory: \"https://x\"}}", "2:47", "not from both");
        let acme = |rest: &str| format!("public: [a.b]\ncertificate: {{acme: {{terms_agreed: true, {rest}}}}}");
        one(&acme("contact: []"), "2:21", "no directory");
        one(&acme("directory: \"http://acme.example.org\""), "2:53", "no directory of an ACME server");
        one(&acme("directory: \"https://x\", contact: [a@b.c]"), "2:76", "no contact");
        one(&acme("directory: \"https://x\", contact: [\"mailto:a@b.c?bcc=d@e.f\"]"), "2:76", "no contact");
        one("public: [a.b]\ncertificate: {acme: {directory: \"https://x\"}}", "2:21", "agrees to its terms");
        one("public: [a.b]\ncertificate: {acme: {directory: \"https://x\", terms_agreed: false}}", "2:60", "agrees to its terms");
        one("certificate: {file: {chain: a, key: b}}", "1:14", "`public` has none");
        one("public: [10.0.0.1]\ncertificate: {acme: {directory: \"https://x\", terms_agreed: true}}", "2:14", "`public` has none");
    }
}
