//! The way to the ACME server: the bounded requests that identity providers are asked with, in the form that the library wants.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::AcmeError;
use crate::oidc::Web;

/// Longest wait that the server may ask for; more is not asked for in earnest, and the library adds it to the clock unchecked.
const MAX_RETRY_AFTER: u64 = 3600;

/// Asks an ACME server.
pub(super) struct AcmeWeb(Web);

impl AcmeWeb {
    /// Believes these authorities, or those of this system.
    pub(super) fn new(ca: Option<&str>) -> Result<Self, AcmeError> {
        Web::trusting(ca).map(Self).map_err(|error| AcmeError::Way(error.to_string()))
    }
}

impl HttpClient for AcmeWeb {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let web = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            if head.uri.scheme_str() != Some("https") {
                return Err(Error::Other("it names a place without TLS".into()));
            }
            let answer = web.ask(Request::from_parts(head, body.to_vec())).await.map_err(|error| Error::Other(Box::new(error)))?;
            let (mut head, body) = answer.into_parts();
            tame(&mut head.headers);
            Ok(http::Response::from_parts(head, Full::new(Bytes::from(body))).into())
        })
    }
}

/// Leaves a wait only where it is a small number of seconds.
fn tame(headers: &mut HeaderMap) {
    let small = |text: &str| text.trim().parse::<u64>().is_ok_and(|seconds| seconds <= MAX_RETRY_AFTER);
    if !headers.get(header::RETRY_AFTER).is_some_and(|value| value.to_str().is_ok_and(small)) {
        headers.remove(header::RETRY_AFTER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_no_clock_has_is_not_heard() {
        for (asked, heard) in [("5", true), (" 3600 ", true), ("3601", false), ("18446744073709551615", false), ("Fri, 31 Dec 9999", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, asked.parse().expect("a value"));
            tame(&mut headers);
            assert_eq!(headers.contains_key(header::RETRY_AFTER), heard, "{asked}");
        }
    }
}
