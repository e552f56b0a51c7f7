//! `naru token create`, `naru token access` and `naru login-link create`: secrets that are shown once.

use access::words::UserName;
use wire::api::{AccessToken, Link, NewAccessToken, NewLink, NewToken, Token, exit};
use wire::link::SignInLink;

use crate::failure::Failure;
use crate::http::Api;
use crate::out::{Answer, Table};
use crate::when;

/// Makes a join token. Without `--json` the table's last fact is the line to run on the host.
pub async fn create(api: &Api, new: &NewToken) -> Result<Answer, Failure> {
    let token: Token = api.make("/v1/tokens", new).await?;
    let table = Table::facts([
        ("token", token.token.clone()),
        ("id", token.id.clone()),
        ("expires", when::shown(token.expires)),
        ("run on the host", token.join.clone()),
    ]);
    Ok(Answer::new(&token, table))
}

/// Makes an access token of one's own login. Without `--json` it is the only line, for a header of another program.
pub async fn access(api: &Api, ttl_s: Option<u64>) -> Result<Answer, Failure> {
    let made: AccessToken = api.post("/v1/sign-in/token", &NewAccessToken { ttl_s }).await?;
    Ok(Answer::new(&made, Table::line(made.token.clone())))
}

/// Makes a one-time sign-in link.
pub async fn link(api: &Api, user: UserName, ttl_s: Option<u64>) -> Result<Answer, Failure> {
    let link: Link = api.make("/v1/links", &NewLink { user, ttl_s }).await?;
    if let Err(cause) = link.link.parse::<SignInLink>() {
        return Err(Failure::new("NARU-N105", exit::FAILED, "the server gave a sign-in link that nobody could use").because(cause));
    }
    Ok(Answer::new(&link, Table::line(link.link.clone())))
}
