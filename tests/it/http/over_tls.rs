//! Services over TLS: certificates are always checked.

use std::sync::Arc;

use plumbline::connect::Cursor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::hostile::{ITEMS, json_api};
use super::shop::{Shop, config};
use crate::tls::{Certificate, Validity};

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 29\r\nconnection: close\r\n\
    date: Sun, 22 Nov 2026 22:24:57 GMT\r\n\r\n{\"data\":[{\"id\":1}],\"total\":1}";

/// A service with this certificate on this address; gives its port.
async fn serve(certificate: &Certificate, address: &str) -> u16 {
    let chain = CertificateDer::pem_file_iter(certificate.file("certificate.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate.file("key.pem")).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // A client that does not trust us hangs up.
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok() {
                drop(stream.write_all(ANSWER.as_bytes()).await);
                drop(stream.shutdown().await);
            }
        }
    });
    port
}

async fn read(url: &str, tls: &str) -> Result<usize, String> {
    let system = format!("{}\n{tls}", json_api("total = \"body:total\""));
    let shop = Shop::with(&config(&system, ITEMS), url);
    let page = shop.reader.changes(&shop.mapping, &Cursor::from_beginning(), 100).await;
    page.map(|page| page.records.len()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn certificates_are_checked() {
    let certificate = Certificate::new("root");
    let port = serve(&certificate, "127.0.0.1").await;
    let trusted = format!("tls_ca = \"{}\"", certificate.file("ca.pem"));
    assert_eq!(read(&format!("https://127.0.0.1:{port}"), &trusted).await, Ok(1));
    let error = read(&format!("https://127.0.0.1:{port}"), "").await.unwrap_err();
    assert!(error.contains("cannot be reached") && error.contains("certificate"), "{error}");
    let other = Certificate::new("root");
    let distrusted = format!("tls_ca = \"{}\"", other.file("ca.pem"));
    let error = read(&format!("https://127.0.0.1:{port}"), &distrusted).await.unwrap_err();
    assert!(error.contains("certificate") && error.contains("name its authority in `tls_ca`"), "{error}");
    // The right authority, another name.
    let port = serve(&certificate, "127.0.0.2").await;
    let error = read(&format!("https://127.0.0.2:{port}"), &trusted).await.unwrap_err();
    assert!(error.contains("not valid for name") && error.contains("use a name in `url`"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_now_is_refused_with_what_to_do() {
    for (validity, expect) in [
        (Validity::OVER, "its certificate has expired: renew it there"),
        (Validity::TO_COME, "its certificate is not valid yet: look at the clocks of both machines"),
    ] {
        let certificate = Certificate::valid("root", validity);
        let port = serve(&certificate, "127.0.0.1").await;
        let trusted = format!("tls_ca = \"{}\"", certificate.file("ca.pem"));
        let error = read(&format!("https://127.0.0.1:{port}"), &trusted).await.unwrap_err();
        assert!(error.contains("cannot be reached") && error.contains(expect), "{error}");
    }
}
