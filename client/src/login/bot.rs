//! `naru login --bot`: a machine signs in with a token of its provider. The token is never an argument, and nothing prints it.

use std::io::Read as _;
use std::path::Path;

use access::words::UserName;
use wire::api::{BotSignIn, BotWants, SignedIn, exit};

use super::keep::{Place, Room, Source};
use super::trust;
use crate::failure::Failure;
use crate::keys::Keys;
use crate::out::Answer;

/// The variable that may hold the token.
const TOKEN: &str = "NARU_BOT_TOKEN";
/// Longest token: those of providers with many claims have some KiB.
const LONGEST: u64 = 64 * 1024;

/// Signs in as a bot. `url` and `ca_pin` as for people; nobody is asked anything.
pub async fn as_bot(place: Place<'_>, url: Option<&str>, ca_pin: Option<&str>, bot: &UserName, token: String) -> Result<Answer, Failure> {
    let server = trust::server(place, url, ca_pin).await?;
    let room = Room::at(place, server).await?;
    let keys = Keys::make()?;
    let ask = BotSignIn {
        bot: bot.clone(),
        token,
        want: BotWants::Certificates,
        ssh_public_key: Some(keys.ssh_public.clone()),
        csr_pem: Some(keys.csr.clone()),
        ttl_s: None,
    };
    let answer: SignedIn = room.server().api()?.post("/v1/sign-in/bot", &ask).await?;
    // What an earlier sign-in of the job began goes on.
    room.take(&keys, &answer, Source::Token).await.map(|(answer, _)| answer)
}

/// The token: of the file (`-` is stdin), else of the environment.
pub fn token(file: Option<&Path>, var: impl Fn(&str) -> Option<String>) -> Result<String, Failure> {
    let failed = |title: String| Failure::new("NARU-A118", exit::USAGE, title).hint(format!("--token-file FILE (`-` is stdin) or {TOKEN}"));
    let text = match file {
        None => var(TOKEN).ok_or_else(|| failed("there is no token to sign in with".to_owned()))?,
        Some(path) => {
            let mut text = String::new();
            let read = if path == Path::new("-") {
                std::io::stdin().take(LONGEST + 1).read_to_string(&mut text)
            } else {
                std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
            };
            read.map_err(|e| failed(format!("the token cannot be read from {}", path.display())).because(e))?;
            text
        }
    };
    let token = text.trim();
    // A JWT is base64url and dots (RFC 7519); other tokens are printable too (RFC 6750 section 2.1).
    if token.is_empty() || token.len() as u64 > LONGEST || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(failed("what was given is no token: it has to be one word of at most 64 KiB".to_owned()));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_of_a_file_or_the_environment() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("token");
        let none = |_: &str| None;
        assert_eq!(token(None, none).map_err(|e| (e.code, e.exit)), Err(("NARU-A118".into(), exit::USAGE)));
        assert_eq!(token(None, |name| (name == TOKEN).then(|| " a.b.c\n".into())), Ok("a.b.c".into()));
        assert!(token(Some(&path), |_| Some("other".into())).is_err(), "a file that was named is not passed over");
        std::fs::write(&path, "x.y.z\n").expect("written");
        assert_eq!(token(Some(&path), |_| Some("other".into())), Ok("x.y.z".into()));
        for bad in ["", "a b", "a\nb", "a\x1bb", &"x".repeat(64 * 1024 + 1)] {
            std::fs::write(&path, bad).expect("written");
            let failure = token(Some(&path), none).expect_err("no token");
            assert!(bad.len() < 3 || !format!("{failure:?}").contains(bad), "it is not shown");
        }
    }
}
