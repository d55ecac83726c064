//! What a mail says, as far as the demo shows it. Reads what `lettre` writes; not a reader of any mail.

use std::path::PathBuf;

/// A mail that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Where it is kept.
    pub file: PathBuf,
    /// Its subject.
    pub subject: String,
    /// The name of the first mail of its thread: its own, or the one that it refers to.
    pub thread: String,
    /// Its plain text.
    pub text: String,
    /// Whether a picture comes with it.
    pub has_picture: bool,
}

impl Mail {
    pub(super) fn new(file: PathBuf, mail: &str) -> Self {
        let (head, body) = mail.split_once("\r\n\r\n").unwrap_or((mail, ""));
        let thread = [header(head, "References"), header(head, "Message-ID")].into_iter().find(|name| !name.is_empty());
        Self {
            file,
            subject: header(head, "Subject"),
            thread: thread.unwrap_or_default(),
            text: plain(head, body),
            has_picture: body.contains("\r\nContent-Type: image/png"),
        }
    }
}

/// A header's value, unfolded (RFC 5322, 2.2.3); empty without one.
fn header(head: &str, name: &str) -> String {
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let value = unfolded.lines().find_map(|line| {
        let (known, value) = line.split_once(": ")?;
        known.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    });
    value.unwrap_or_default()
}

/// The first part that is plain text, decoded.
fn plain(head: &str, body: &str) -> String {
    let kind = header(head, "Content-Type");
    if let Some((_, rest)) = kind.split_once("boundary=\"") {
        let boundary = format!("--{}", rest.split('"').next().unwrap_or_default());
        let parts = body.split(boundary.as_str()).skip(1);
        let text = parts.filter_map(|part| part.trim_start().split_once("\r\n\r\n"));
        return text.map(|(head, body)| plain(head, body)).find(|text| !text.is_empty()).unwrap_or_default();
    }
    match kind.starts_with("text/plain") {
        true if header(head, "Content-Transfer-Encoding") == "quoted-printable" => unquoted(body),
        true => body.replace("\r\n", "\n").trim_end().to_owned(),
        false => String::new(),
    }
}

/// Quoted-printable (RFC 2045, 6.7).
fn unquoted(body: &str) -> String {
    let mut bytes = Vec::with_capacity(body.len());
    for line in body.lines() {
        let (line, goes_on) = line.strip_suffix('=').map_or((line, false), |line| (line, true));
        let mut rest = line.bytes();
        while let Some(byte) = rest.next() {
            let quoted = || {
                let mut ahead = rest.clone();
                let (high, low) = (char::from(ahead.next()?).to_digit(16)?, char::from(ahead.next()?).to_digit(16)?);
                u8::try_from(high * 16 + low).ok()
            };
            match quoted().filter(|_| byte == b'=') {
                Some(decoded) => {
                    bytes.push(decoded);
                    rest.nth(1);
                }
                None => bytes.push(byte),
            }
        }
        if !goes_on {
            bytes.push(b'\n');
        }
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_thread_and_text_are_found() {
        let mail = "Subject: late\r\n again\r\nMessage-ID: <two@x>\r\nReferences: <one@x>\r\n\
                    Content-Type: multipart/alternative;\r\n boundary=\"b1\"\r\n\r\n--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\
                    Content-Transfer-Encoding: quoted-printable\r\n\r\na =E2=86=92 b, soft=\r\n end\r\n=\r\n\r\n--b1\r\n\
                    Content-Type: text/html\r\n\r\n<p>no</p>\r\n--b1--\r\n";
        let mail = Mail::new(PathBuf::new(), mail);
        assert_eq!((mail.subject.as_str(), mail.thread.as_str()), ("late again", "<one@x>"));
        assert_eq!((mail.text.as_str(), mail.has_picture), ("a → b, soft end", false));
    }

    #[test]
    fn a_mail_without_parts_is_its_text() {
        let mail = Mail::new(PathBuf::new(), "Message-ID: <one@x>\r\nContent-Type: text/plain\r\n\r\nhello\r\nyou\r\n");
        assert_eq!((mail.thread.as_str(), mail.text.as_str()), ("<one@x>", "hello\nyou"));
    }
}
