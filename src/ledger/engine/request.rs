//! A request's parameters, from the address and from a form.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_TYPE};

use super::encode::Encoding;
use super::error::{Code, Failure};

/// What a request asks for, besides its body.
#[derive(Clone, Debug)]
pub struct Request {
    /// All parameters in order; a form's fields are added later.
    pub params: Vec<(String, String)>,
    /// Identifies the query in answers and errors.
    pub query_id: String,
    /// The format asked for by parameter or header.
    pub default_format: Option<String>,
    /// How the body was compressed for HTTP.
    pub content_encoding: Option<String>,
    /// How to compress the answer.
    pub answer_encoding: Encoding,
    /// The boundary of a multipart form.
    pub form_boundary: Option<String>,
    /// GET only reads.
    pub is_get: bool,
}

impl Request {
    /// From the query part of the address and the headers.
    pub fn new(query: &str, headers: &HeaderMap, is_get: bool) -> Self {
        let params = decode_pairs(query);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let param = |name: &str| find(&params, name).filter(|value| !value.is_empty()).map(str::to_owned);
        let is_on = |name: &str, default: bool| param(name).map_or(default, |value| value != "0" && value != "false");
        let accepted = header(ACCEPT_ENCODING.as_str());
        Self {
            query_id: param("query_id").unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            default_format: param("default_format").or_else(|| header("X-ClickHouse-Format")),
            content_encoding: header("Content-Encoding"),
            answer_encoding: Encoding::of(
                accepted.as_deref(),
                is_on("enable_http_compression", true),
                is_on("compress", false),
            ),
            form_boundary: header(CONTENT_TYPE.as_str()).as_deref().and_then(boundary).map(str::to_owned),
            is_get,
            params,
        }
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        find(&self.params, name)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0" && value != "false")
    }

    /// The database asked for by parameter or header; the empty name is none.
    pub fn database(&self) -> Option<&str> {
        self.get("database").filter(|name| !name.is_empty())
    }

    /// Values of the statement's `{name:Type}` parameters.
    pub fn statement_params(&self) -> Vec<(String, String)> {
        let named = self.params.iter().filter_map(|(name, value)| Some((name.strip_prefix("param_")?, value)));
        named.map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }

    /// Adds the fields of a multipart form: `query` and parameters.
    ///
    /// # Errors
    /// When it is no such form, or brings files (external tables), which this engine does not take.
    pub fn add_form(&mut self, body: &[u8], boundary: &str) -> Result<(), Failure> {
        let wrong = |what: &str| Failure::new(Code::BadArguments, format!("cannot read the form: {what}"));
        let text = std::str::from_utf8(body).map_err(|_| wrong("it is not UTF-8"))?;
        let delimiter = format!("--{boundary}");
        let mut parts = text.split(delimiter.as_str());
        parts.next().ok_or_else(|| wrong("it is empty"))?;
        for part in parts.take_while(|part| !part.starts_with("--")) {
            let (head, value) = part.split_once("\r\n\r\n").ok_or_else(|| wrong("a field has no value"))?;
            let value = value.strip_suffix("\r\n").ok_or_else(|| wrong("a field has no end"))?;
            if head.contains("filename=") {
                return Err(wrong("external tables are not supported"));
            }
            let name = head.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
            self.params.push((name.ok_or_else(|| wrong("a field has no name"))?.to_owned(), value.to_owned()));
        }
        Ok(())
    }
}

fn find<'p>(params: &'p [(String, String)], name: &str) -> Option<&'p str> {
    params.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

fn boundary(content_type: &str) -> Option<&str> {
    let rest = content_type.trim().strip_prefix("multipart/form-data")?;
    Some(rest.split("boundary=").nth(1)?.split(';').next()?.trim().trim_matches('"'))
}

/// `application/x-www-form-urlencoded` pairs.
fn decode_pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_decoded() {
        let request = Request::new("query=select+%271%2B1%27&param_x=%C3%A4&database=&x=%zz", &HeaderMap::new(), true);
        assert_eq!(request.get("query"), Some("select '1+1'"));
        assert_eq!(request.statement_params(), [("x".to_owned(), "ä".to_owned())]);
        assert_eq!(request.database(), None);
        assert_eq!(request.get("x"), Some("%zz"));
    }

    #[test]
    fn forms_bring_parameters() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "multipart/form-data; boundary=\"b1\"".parse().unwrap());
        let mut request = Request::new("", &headers, false);
        let boundary = request.form_boundary.clone().unwrap();
        let part = |name: &str, value: &str| {
            format!("--b1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let body = format!("{}{}--b1--\r\n", part("query", "select\r\n{a:Int8}"), part("param_a", "1"));
        request.add_form(body.as_bytes(), &boundary).unwrap();
        assert_eq!(request.get("query"), Some("select\r\n{a:Int8}"));
        assert_eq!(request.get("param_a"), Some("1"));
        let file = "--b1\r\nContent-Disposition: form-data; name=\"t\"; filename=\"t\"\r\n\r\n1\r\n--b1--\r\n";
        assert!(request.add_form(file.as_bytes(), &boundary).unwrap_err().text.contains("external tables"));
    }
}
