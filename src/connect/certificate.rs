//! What to do about a certificate that is not accepted. Pure.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// Why a certificate is not accepted, where the error or one of its causes says so.
fn refusal<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e CertificateError> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
            return Some(reason);
        }
        // What an input error holds is not among its causes.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// Whether a certificate is not accepted: somebody is there, and to ask again helps nothing.
pub(super) fn is_refused(error: &(dyn Error + 'static)) -> bool {
    refusal(error).is_some()
}

/// The error's words with that advice.
pub(super) fn with_advice(words: String, error: &(dyn Error + 'static)) -> String {
    match refusal(error).and_then(advice) {
        Some(advice) => format!("{words}; {advice}"),
        None => words,
    }
}

const fn advice(reason: &CertificateError) -> Option<&'static str> {
    Some(match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: renew it there, nothing is read before"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: look at the clocks of both machines"
        }
        // An authority of the same name with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "nobody who is trusted here has signed its certificate: name its authority in `tls_ca`"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another host: use a name in `url` that it holds"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn it_is_found_however_deep_it_lies() {
        let check = |reason: CertificateError, expect: &str| {
            let error = rustls::Error::InvalidCertificate(reason);
            let said = with_advice("no".to_owned(), &error);
            assert_eq!(said, if expect.is_empty() { "no".to_owned() } else { format!("no; {expect}") });
            let input = Outer(io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error)));
            assert_eq!(with_advice("no".to_owned(), &input), said);
            assert!(is_refused(&input));
        };
        check(CertificateError::Expired, "its certificate has expired: renew it there, nothing is read before");
        check(CertificateError::NotValidYet, "its certificate is not valid yet: look at the clocks of both machines");
        let authority = "nobody who is trusted here has signed its certificate: name its authority in `tls_ca`";
        check(CertificateError::UnknownIssuer, authority);
        check(CertificateError::BadSignature, authority);
        check(
            CertificateError::NotValidForName,
            "its certificate is for another host: use a name in `url` that it holds",
        );
        check(CertificateError::BadEncoding, "");
        assert!(!is_refused(&io::Error::other("reset")));
        assert_eq!(with_advice("closed".to_owned(), &io::Error::other("reset")), "closed");
    }
}
