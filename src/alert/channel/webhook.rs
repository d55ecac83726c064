//! Any service that takes JSON: signed, dated, named.
//!
//! `Plumbline-Signature: v1=HEX` is HMAC-SHA256 (RFC 2104) under the channel's key over `TIMESTAMP.BODY`, where TIMESTAMP is
//! the header `Plumbline-Timestamp` in seconds since 1970. A receiver that compares both, and refuses what is older than
//! some minutes, cannot be fooled by a repetition. `Plumbline-Id` is the same when a message is sent again: 409 means that
//! the receiver has it already.

use reqwest::header::HeaderName;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::Answer;
use super::http::Request;
use crate::alert::notice::{Notice, Phase};
use crate::model::Moment;

const ID: HeaderName = HeaderName::from_static("plumbline-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("plumbline-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("plumbline-signature");

pub(super) fn request(url: &SecretString, key: &SecretString, notice: &Notice, now: Moment) -> Request {
    let phase = match notice.phase {
        Phase::Firing => "firing",
        Phase::Acknowledged => "acknowledged",
        Phase::Resolved => "resolved",
    };
    let body = json!({
        "id": notice.id, "subject": notice.subject_id, "phase": phase, "at": notice.timestamp(),
        "summary": notice.summary, "text": notice.text, "message": notice.view,
    });
    let mut request = Request::new(url.clone(), &body);
    let timestamp = now.to_utc().timestamp().to_string();
    let signature = signature(key, &timestamp, &request.body);
    let headers = [(ID, notice.id.clone()), (TIMESTAMP, timestamp), (SIGNATURE, signature)];
    request.headers.extend(headers.map(|(name, value)| (name, SecretString::from(value))));
    request.judge = |status, _| (status == 409).then_some(Answer::Taken);
    request
}

/// `v1=` and the hexadecimal HMAC-SHA256 of `timestamp.body`.
pub fn signature(key: &SecretString, timestamp: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes());
    let signed = [timestamp.as_bytes(), b".", body].concat();
    let tag = hmac::sign(&key, &signed);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf '1795431840.{}' | openssl dgst -sha256 -hmac 'a key that both know'`.
    #[test]
    fn the_signature_is_what_openssl_computes() {
        let key = SecretString::from("a key that both know");
        assert_eq!(
            signature(&key, "1795431840", b"{}"),
            "v1=1c51c6b0e8cb7629a0a159db6ef417a68487b4e6b24cb45fcf0153bb3969c8df"
        );
    }
}
