//! Who sends a request: the engine has no users of its own.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};

use super::error::{Code, Failure};

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything that the guard lets pass: the auditor.
    Writer,
    /// `readonly = 1`: dashboards.
    Reader,
}

/// A user's name and password.
#[derive(Clone, Debug)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: SecretString,
}

/// The users that the engine knows.
#[derive(Clone, Debug)]
pub struct Users {
    /// May write.
    pub writer: Login,
    /// May only read.
    pub reader: Option<Login>,
}

impl Users {
    /// The role of the request's user. Credentials come as Basic, as `X-ClickHouse-User` and `X-ClickHouse-Key`, or
    /// as the parameters `user` and `password`, as in ClickHouse.
    ///
    /// # Errors
    /// [`Code::AuthenticationFailed`], the same for an unknown user and a wrong password.
    pub fn role(&self, headers: &HeaderMap, param: impl Fn(&str) -> Option<String>) -> Result<Role, Failure> {
        let given = from_basic(headers).or_else(|| from_headers(headers)).unwrap_or_else(|| {
            (param("user").unwrap_or_else(|| "default".to_owned()), param("password").unwrap_or_default())
        });
        let mut role = None;
        // Every user is compared, so that the time taken does not tell which name exists.
        for (login, login_role) in [(Some(&self.writer), Role::Writer), (self.reader.as_ref(), Role::Reader)] {
            if login.is_some_and(|login| login.is(&given.0, &given.1)) {
                role = role.or(Some(login_role));
            }
        }
        role.ok_or_else(|| {
            let message = "Authentication failed: password is incorrect, or there is no user with such name";
            Failure::new(Code::AuthenticationFailed, message)
        })
    }
}

impl Login {
    fn is(&self, user: &str, password: &str) -> bool {
        // Hashes under a key of this process have equal length and tell nothing when compared; blake3's comparison
        // takes the same time wherever they differ.
        let digest = |text: &str| blake3::hash(text.as_bytes());
        let same_user = digest(&self.user) == digest(user);
        let same_password = digest(self.password.expose_secret()) == digest(password);
        same_user & same_password
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn from_headers(headers: &HeaderMap) -> Option<(String, String)> {
    let user = header(headers, "X-ClickHouse-User")?;
    Some((user.to_owned(), header(headers, "X-ClickHouse-Key").unwrap_or_default().to_owned()))
}

fn from_basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = header(headers, AUTHORIZATION.as_str())?.strip_prefix("Basic ")?;
    let text = String::from_utf8(decode_base64(encoded.trim())?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// RFC 4648 base 64, padding optional.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let login = |user: &str, password: &str| Login { user: user.to_owned(), password: password.into() };
        Users { writer: login("auditor", "w:1"), reader: Some(login("grafana", "r2")) }
    }

    fn check(headers: &[(&'static str, &str)], params: &[(&str, &str)], expect: Option<Role>) {
        let headers: HeaderMap =
            headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect::<HeaderMap>();
        let param = |name: &str| params.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        assert_eq!(users().role(&headers, param).ok(), expect, "{headers:?}");
    }

    #[test]
    fn credentials_come_in_three_ways() {
        check(&[("x-clickhouse-user", "auditor"), ("x-clickhouse-key", "w:1")], &[], Some(Role::Writer));
        check(&[("authorization", "Basic YXVkaXRvcjp3OjE=")], &[], Some(Role::Writer));
        check(&[], &[("user", "grafana"), ("password", "r2")], Some(Role::Reader));
    }

    #[test]
    fn anything_else_is_refused() {
        check(&[], &[], None);
        check(&[("x-clickhouse-user", "auditor")], &[], None);
        check(&[("x-clickhouse-user", "grafana"), ("x-clickhouse-key", "w:1")], &[], None);
        check(&[("authorization", "Basic ????")], &[], None);
        check(&[("x-clickhouse-user", "auditor"), ("x-clickhouse-key", "")], &[("password", "w:1")], None);
    }
}
