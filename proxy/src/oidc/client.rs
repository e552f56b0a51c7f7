//! Our client at a provider: the requests of OAuth 2 and OpenID Connect, made by the library and sent by [`super::http`]. What comes
//! back is text; nothing in it is believed here.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, header};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreDeviceAuthorizationResponse, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessToken, AsyncHttpClient, AuthType, AuthUrl, AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    DeviceAuthorizationUrl, EmptyAdditionalClaims, EndpointNotSet, EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse, IdToken,
    IssuerUrl, JsonWebKeySet, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, Scope, StandardErrorResponse, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use wire::oidc::Discovery;

use super::http::{Web, WebError};
use super::provider::ProviderError;
use crate::authority::ask::SignError;

/// What a token endpoint gave. The ID token stays text until it is checked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Tokens(StandardTokenResponse<RawIdToken, CoreTokenType>);

#[derive(Debug, Serialize, Deserialize)]
struct RawIdToken {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<Hidden>,
}

impl ExtraTokenFields for RawIdToken {}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

impl Tokens {
    pub(super) fn id_token_text(&self) -> Option<&str> {
        self.0.extra_fields().id_token.as_ref().map(|token| token.0.as_str())
    }
}

impl OAuth2TokenResponse for Tokens {
    type TokenType = CoreTokenType;
    fn access_token(&self) -> &AccessToken {
        self.0.access_token()
    }
    fn token_type(&self) -> &CoreTokenType {
        self.0.token_type()
    }
    fn expires_in(&self) -> Option<Duration> {
        self.0.expires_in()
    }
    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.0.refresh_token()
    }
    fn scopes(&self) -> Option<&Vec<Scope>> {
        self.0.scopes()
    }
}

type Claims = IdToken<EmptyAdditionalClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

impl TokenResponse<EmptyAdditionalClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm> for Tokens {
    /// The library's own reading of it is not used: [`wire::oidc`] is stricter and tells each fault apart.
    fn id_token(&self) -> Option<&Claims> {
        None
    }
}

type Refused = StandardErrorResponse<CoreErrorResponseType>;
type Library = openidconnect::Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    Refused,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointNotSet,
>;

/// Why a request came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum ClientError {
    #[error("the provider refused: {error}{}", .description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
    Refused { error: String, description: Option<String> },
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("the provider's answer is not understood: {0}")]
    Answer(String),
    #[error("the provider's address of its {0} is none")]
    Url(&'static str),
    #[error("the provider does not take the access token that it gave")]
    NotTaken,
    #[error("the provider has no device flow")]
    NoDevice,
}

impl ClientError {
    /// A no of the provider, as against a failure to ask.
    pub(crate) fn is_no(&self) -> bool {
        // About what was shown for the person. Others are about the provider, or about our client: a secret that was changed there ends
        // nobody's login at once.
        const OTHERS: [&str; 5] = ["temporarily_unavailable", "server_error", "slow_down", "invalid_client", "unauthorized_client"];
        matches!(self, Self::Refused { error, .. } if !OTHERS.contains(&error.as_str()))
    }
}

/// How our client shows who it is.
pub(super) enum Credential {
    /// Nothing: a public client.
    Public,
    Secret(String),
    /// Makes a JWT that our key signed for the token endpoint (RFC 7523), anew for each request: a provider takes each only once.
    Assertion(Box<dyn Fn() -> Result<String, SignError> + Send + Sync>),
}

/// What is asked of a sign-in beyond the least.
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    pub(super) acr_values: Vec<String>,
    pub(super) max_age: Option<u64>,
    /// Lets the person choose or sign in anew.
    pub(super) login: bool,
}

/// An authorization request that was made: the address and what must come back with it.
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
}

/// A device flow that has begun.
pub(super) struct Device {
    said: CoreDeviceAuthorizationResponse,
    verifier: PkceCodeVerifier,
}

impl Device {
    /// Between two questions.
    pub(super) fn interval(&self) -> Duration {
        self.said.interval().clamp(Duration::from_secs(1), Duration::from_secs(60))
    }

    /// What the person opens and types, and how often may be asked.
    pub(super) fn told(&self) -> (String, Option<String>, u64) {
        let said = &self.said;
        let browse = said.verification_uri_complete().map_or_else(|| said.verification_uri().to_string(), |uri| uri.secret().clone());
        (browse, Some(said.user_code().secret().clone()), self.interval().as_secs())
    }
}

pub(super) struct Client {
    library: Library,
    web: Web,
    credential: Credential,
    scopes: Vec<Scope>,
    has_device: bool,
}

impl Client {
    pub(super) fn new(web: Web, of: &Discovery, client_id: &str, credential: Credential, scopes: &[String]) -> Result<Self, ClientError> {
        let issuer = IssuerUrl::new(of.issuer.clone()).map_err(|_| ClientError::Url("issuer"))?;
        let auth = AuthUrl::new(of.authorization_endpoint.clone()).map_err(|_| ClientError::Url("authorization endpoint"))?;
        let token = TokenUrl::new(of.token_endpoint.clone()).map_err(|_| ClientError::Url("token endpoint"))?;
        let has_device = of.device_authorization_endpoint.is_some();
        // The library knows at compile time which endpoints there are; where there is no device endpoint, this one is never asked.
        let device = of.device_authorization_endpoint.clone().unwrap_or_else(|| of.token_endpoint.clone());
        let device = DeviceAuthorizationUrl::new(device).map_err(|_| ClientError::Url("device endpoint"))?;
        let basic =
            of.token_endpoint_auth_methods.is_empty() || of.token_endpoint_auth_methods.iter().any(|way| way == "client_secret_basic");
        let mut library = openidconnect::Client::new(ClientId::new(client_id.to_owned()), issuer, JsonWebKeySet::default())
            .set_auth_uri(auth)
            .set_token_uri(token)
            .set_device_authorization_url(device)
            .set_auth_type(if basic { AuthType::BasicAuth } else { AuthType::RequestBody });
        if let Credential::Secret(secret) = &credential {
            library = library.set_client_secret(ClientSecret::new(secret.clone()));
        }
        let scopes = scopes.iter().filter(|scope| *scope != "openid").map(|scope| Scope::new(scope.clone())).collect();
        Ok(Self { library, web, credential, scopes, has_device })
    }

    /// Where a browser is sent (OpenID Connect Core section 3.1.2.1, with PKCE).
    pub(super) fn authorize(&self, redirect: &str, extra: &Extra) -> Result<Asked, ClientError> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|_| ClientError::Url("redirect"))?;
        let mut request =
            self.library.authorize_url(AuthenticationFlow::<CoreResponseType>::AuthorizationCode, CsrfToken::new_random, Nonce::new_random);
        for scope in &self.scopes {
            request = request.add_scope(scope.clone());
        }
        if !extra.acr_values.is_empty() {
            request = request.add_extra_param("acr_values", extra.acr_values.join(" "));
        }
        if let Some(age) = extra.max_age {
            request = request.set_max_age(Duration::from_secs(age));
        }
        if extra.login {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        let (url, state, nonce) = request.set_redirect_uri(std::borrow::Cow::Owned(redirect)).set_pkce_challenge(challenge).url();
        Ok(Asked { url: url.into(), state: state.into_secret(), nonce: nonce.secret().clone(), verifier: verifier.into_secret() })
    }

    /// Exchanges a code.
    pub(super) async fn exchange(&self, code: &str, verifier: &str, redirect: &str) -> Result<Tokens, ClientError> {
        let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|_| ClientError::Url("redirect"))?;
        let request = self
            .library
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect));
        request.request_async(self).await.map_err(of_token)
    }

    /// Exchanges a refresh token for a newer one and newer claims.
    pub(super) async fn refresh(&self, token: &str) -> Result<Tokens, ClientError> {
        let token = RefreshToken::new(token.to_owned());
        let request = self.library.exchange_refresh_token(&token);
        request.request_async(self).await.map_err(of_token)
    }

    /// Begins a device flow (RFC 8628 section 3.1), with PKCE, which some providers demand here too.
    pub(super) async fn device(&self) -> Result<Device, ClientError> {
        if !self.has_device {
            return Err(ClientError::NoDevice);
        }
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = self.library.exchange_device_code().add_scopes(self.scopes.clone());
        request = request.add_extra_param("code_challenge", challenge.as_str().to_owned()).add_extra_param("code_challenge_method", "S256");
        let said = request.request_async(self).await.map_err(of_token)?;
        Ok(Device { said, verifier })
    }

    /// Asks once whether the person has approved (RFC 8628 section 3.4): tokens, or how long to wait before the next question.
    pub(super) async fn device_tokens(&self, begun: &Device) -> Result<Result<Tokens, Duration>, ClientError> {
        let Device { said, verifier, .. } = begun;
        let request = self.library.exchange_device_access_token(said).add_extra_param("code_verifier", verifier.secret().clone());
        let (told, mut pause) = mpsc::channel(1);
        // The library would go on asking by itself; where it wants to wait, this question is over.
        let wait = |pause| {
            let _ = told.try_send(pause);
            std::future::pending::<()>()
        };
        tokio::select! {
            biased;
            tokens = request.request_async(self, wait, Some(said.expires_in())) => tokens.map(Ok).map_err(of_token),
            Some(pause) = pause.recv() => Ok(Err(pause)),
        }
    }

    /// What the provider says at its userinfo endpoint, as text.
    pub(super) async fn user_info(&self, endpoint: &str, access_token: &str) -> Result<Vec<u8>, ClientError> {
        let request = Request::get(endpoint)
            .header(header::AUTHORIZATION, format!("Bearer {access_token}"))
            .header(header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| ClientError::Url("userinfo endpoint"))?;
        let answer = AsyncHttpClient::call(self, request).await.map_err(away)?;
        match answer.status().as_u16() {
            200 => Ok(answer.into_body()),
            401 | 403 => Err(ClientError::NotTaken),
            status => Err(ProviderError::Status { what: "its userinfo endpoint", status }.into()),
        }
    }

    /// Posts a form in our client's name, where no credential is asked for, and answers the status.
    pub(super) async fn post(&self, what: &'static str, endpoint: &str, fields: &[(&str, &str)]) -> Result<u16, ClientError> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .append_pair("client_id", self.library.client_id())
            .finish();
        let request = Request::post(endpoint)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.into_bytes())
            .map_err(|_| ClientError::Url(what))?;
        Ok(self.web.ask(request).await.map_err(away)?.status().as_u16())
    }

    /// What the library made, with our assertion where that is how our client shows who it is.
    fn asserted(&self, mut request: HttpRequest) -> Result<HttpRequest, WebError> {
        if let (Credential::Assertion(make), &Method::POST) = (&self.credential, request.method()) {
            let jwt = make().map_err(|error| WebError::Assertion(error.to_string()))?;
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            form.append_pair("client_assertion", &jwt);
            let body = request.body_mut();
            body.push(b'&');
            body.extend_from_slice(form.finish().as_bytes());
        }
        Ok(request)
    }
}

impl<'c> AsyncHttpClient<'c> for Client {
    type Error = WebError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, WebError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.web.ask(self.asserted(request)?).await?;
            match answer.status().as_u16() {
                // A redirect is not followed, and what is only for now is no answer about us.
                status @ (300..=399 | 429 | 500..) => Err(WebError::Status(status)),
                _ => Ok(answer),
            }
        })
    }
}

fn away(error: WebError) -> ClientError {
    ProviderError::Away(Arc::new(error)).into()
}

/// Only what a provider may say in an error, without line breaks: it comes into the log and to the person.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn of_token<T: openidconnect::ErrorResponse + Serialize + 'static>(error: RequestTokenError<WebError, T>) -> ClientError {
    match error {
        RequestTokenError::ServerResponse(refused) => {
            let said = serde_json::to_value(&refused).unwrap_or_default();
            let text = |key: &str| said.get(key).and_then(serde_json::Value::as_str).map(plain);
            ClientError::Refused { error: text("error").unwrap_or_default(), description: text("error_description") }
        }
        RequestTokenError::Request(error) => away(error),
        RequestTokenError::Parse(error, _) => ClientError::Answer(plain(&error.to_string())),
        RequestTokenError::Other(error) => ClientError::Answer(plain(&error)),
    }
}
