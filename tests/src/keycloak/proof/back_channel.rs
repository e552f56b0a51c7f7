//! Logout tokens: posted over TLS to whoever plays Naru, if Keycloak was told to trust its CA.

use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate for 127.0.0.1, signed by the CA of these tests or by itself.
fn server_config(trusted: bool) -> Arc<rustls::ServerConfig> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = if trusted { params.signed_by(&key, ca()) } else { params.self_signed(&key) }.unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap())
}

/// Head and body of a POST, or why there was none.
type Posted = Result<(String, String), String>;

/// Answers each POST with 200 and hands its head and body over; a handshake that fails is handed over as its sentence.
fn listener(config: Arc<rustls::ServerConfig>) -> (SocketAddr, Receiver<Posted>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (send, receive) = sync_channel(16);
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            let got = one_post(&mut tls).map_err(|e| e.to_string());
            if send.send(got).is_err() {
                return;
            }
        }
    });
    (address, receive)
}

fn one_post(tls: &mut (impl Read + Write)) -> std::io::Result<(String, String)> {
    let mut all = Vec::new();
    let mut some = [0; 4096];
    loop {
        let read = tls.read(&mut some)?;
        all.extend_from_slice(&some[..read]);
        let text = String::from_utf8_lossy(&all).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        if body.len() >= length {
            tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
            tls.flush()?;
            return Ok((head, body.to_owned()));
        }
    }
}

#[test]
fn a_logout_token_arrives() {
    if !Keycloak::wanted() {
        return;
    }
    let (address, posts) = listener(server_config(true));
    let realm = keycloak().realm(&format!("https://{address}")).unwrap();
    let id = claims(&sign_in(&realm, "minji")["id_token"]);
    realm.logout("minji").unwrap();
    let (head, body) = posts.recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(head.starts_with("post /v1/oidc/keycloak/backchannel-logout http/1.1"), "{head}");
    assert!(head.contains("content-type: application/x-www-form-urlencoded"), "{head}");
    let token: Value = query_value(&format!("?{body}"), "logout_token").unwrap().into();
    let said = claims(&token);
    assert_eq!((&said["iss"], &said["aud"], &said["sub"], &said["sid"]), (&id["iss"], &id["aud"], &id["sub"], &id["sid"]));
    assert!(said["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object(), "{said}");
    let typ = serde_json::from_slice::<Value>(&BASE64.decode(token.as_str().unwrap().split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(typ["typ"], "logout+jwt");
    assert!(realm.sessions("minji").unwrap().is_empty());
}

#[test]
fn each_session_gets_its_own() {
    if !Keycloak::wanted() {
        return;
    }
    let (address, posts) = listener(server_config(true));
    let realm = keycloak().realm(&format!("https://{address}")).unwrap();
    let sid = |tokens: Value| claims(&tokens["id_token"])["sid"].clone();
    let (one, two) = (sid(sign_in(&realm, "minji")), sid(sign_in(&realm, "minji")));
    assert_ne!(one, two);
    let next = || {
        let (_, body) = posts.recv_timeout(PATIENCE).unwrap().unwrap();
        claims(&query_value(&format!("?{body}"), "logout_token").unwrap().into())["sid"].clone()
    };
    realm.end_session(one.as_str().unwrap()).unwrap();
    assert_eq!(next(), one);
    assert_eq!(realm.sessions("minji").unwrap().len(), 1);
    realm.logout("minji").unwrap();
    assert_eq!(next(), two);
}

#[test]
fn a_stranger_gets_no_token() {
    if !Keycloak::wanted() {
        return;
    }
    let (address, posts) = listener(server_config(false));
    let realm = keycloak().realm(&format!("https://{address}")).unwrap();
    sign_in(&realm, "minji");
    realm.logout("minji").unwrap();
    let fault = posts.recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(fault.contains("Certificate") || fault.contains("certificate"), "{fault}");
}

#[test]
fn signing_out_from_our_side() {
    if !Keycloak::wanted() {
        return;
    }
    let (address, posts) = listener(server_config(true));
    let naru = format!("https://{address}");
    let realm = keycloak().realm(&naru).unwrap();
    let browser = Browser::new(keycloak()).unwrap();
    let Seen::Left(url) = browser.open(&authorization(&realm, CALLBACK, &[]), &Person::of("minji")).unwrap() else { panic!() };
    let tokens = redeem(&realm, &query_value(&url, "code").unwrap());
    let (hint, after) = (tokens["id_token"].as_str().unwrap(), format!("{naru}/signed-out"));
    let logout = format!("{}?{}", realm.endpoint("logout"), http::query(&[("id_token_hint", hint), ("post_logout_redirect_uri", &after)]));
    assert_eq!(browser.open(&logout, &Person::of("minji")).unwrap(), Seen::Left(after));
    assert!(posts.recv_timeout(PATIENCE).unwrap().is_ok());
    // Without a hint Keycloak asks the person first.
    sign_in(&realm, "jun");
    let browser = Browser::new(keycloak()).unwrap();
    browser.open(&authorization(&realm, CALLBACK, &[]), &Person::of("jun")).unwrap();
    let seen = browser.open(&realm.endpoint("logout"), &Person::of("jun")).unwrap();
    assert!(matches!(&seen, Seen::Page(words) if words.contains("logged out")), "{seen:?}");
    // And a refresh token posted by the server ends the session without a browser.
    let tokens = sign_in(&realm, "sora");
    let request = Curl::new(&realm.endpoint("logout")).basic("naru", "naru-secret");
    let answer = request.form(&[("refresh_token", tokens["refresh_token"].as_str().unwrap())]).send().unwrap();
    assert_eq!(answer.status, 204);
    assert!(realm.sessions("sora").unwrap().is_empty());
}
