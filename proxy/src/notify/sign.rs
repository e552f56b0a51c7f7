//! Signatures of Standard Webhooks 1.0: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a secret is not used. Says nothing of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Not one or two lines.
    #[error("the file has one line, or two while the secret is being changed")]
    Lines,
    /// Not of the form.
    #[error("a secret is whsec_ and the base64 of 24 to 64 bytes")]
    Form,
}

/// The secrets of one receiver: the one in use, and another while it is being changed.
pub(super) struct Secrets(Vec<hmac::Key>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// Reads one or two lines of `whsec_…`.
    pub(super) fn read(text: &[u8]) -> Result<Self, BadSecret> {
        let text = std::str::from_utf8(text).map_err(|_| BadSecret::Form)?;
        let keys = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(key).collect::<Result<Vec<_>, _>>()?;
        if matches!(keys.len(), 1 | 2) { Ok(Self(keys)) } else { Err(BadSecret::Lines) }
    }

    /// The header `webhook-signature`: one signature for each secret, with spaces between.
    pub(super) fn header(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let start = format!("{id}.{timestamp}.");
        let sign = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(start.as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

fn key(line: &str) -> Result<hmac::Key, BadSecret> {
    let text = line.strip_prefix("whsec_").ok_or(BadSecret::Form)?;
    let bytes = zeroize::Zeroizing::new(STANDARD.decode(text).map_err(|_| BadSecret::Form)?);
    if (24..=64).contains(&bytes.len()) { Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)) } else { Err(BadSecret::Form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_bmFydS10ZXN0LXNlY3JldC0zMi1ieXRlcy1sb25nISE=";
    const SIGNED: &str = "v1,xwuNTEiDx6zk5LdcRavq+tkhAXfwq1Bv6Gxt4Ho04as=";

    /// The vector was made with the reference implementation of the specification.
    #[test]
    fn the_signature_is_what_the_reference_makes() {
        let body = br#"{"type":"session.start","id":"0193-test"}"#;
        let header = |text: &str| Secrets::read(text.as_bytes()).expect("a secret").header("msg_0193-test", 1_795_237_200, body);
        assert_eq!(header(&format!("{SECRET}\n")), SIGNED);
        let other = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";
        let both = header(&format!("{other}\n{SECRET}\n"));
        assert!(both.ends_with(&format!(" {SIGNED}")) && both.split(' ').count() == 2, "{both}");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for (text, why) in [
            ("", BadSecret::Lines),
            ("whsec_", BadSecret::Form),
            ("bmFydS10ZXN0LXNlY3JldC0zMi1ieXRlcy1sb25nISE=", BadSecret::Form),
            ("whsec_c2hvcnQ=", BadSecret::Form),
            ("whsec_no base64", BadSecret::Form),
        ] {
            assert_eq!(Secrets::read(text.as_bytes()).map(|_| ()), Err(why), "{text}");
        }
        assert_eq!(Secrets::read(format!("{SECRET}\n").repeat(3).as_bytes()).map(|_| ()), Err(BadSecret::Lines));
    }
}
