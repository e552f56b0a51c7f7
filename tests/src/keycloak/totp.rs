//! Time-based one-time passwords (RFC 6238 with SHA-1, six digits, thirty seconds), as the app on a person's phone makes them.

use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};

/// The code at a time, in seconds since 1970, for the bytes of a secret.
pub fn totp(secret: &[u8], seconds: u64) -> String {
    let key = Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = sign(&key, &(seconds / 30).to_be_bytes());
    let tag = tag.as_ref();
    // RFC 4226 section 5.3: the last four bits say where to read.
    let at = usize::from(tag[tag.len() - 1] & 15);
    let number = u32::from_be_bytes([tag[at] & 127, tag[at + 1], tag[at + 2], tag[at + 3]]);
    format!("{:06}", number % 1_000_000)
}

#[test]
fn as_in_the_rfc() {
    // RFC 6238, appendix B; there with eight digits.
    for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")] {
        assert_eq!(totp(b"12345678901234567890", seconds), code);
    }
}
