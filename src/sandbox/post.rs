//! The company's mail server: takes mails by SMTP (RFC 5321) on loopback and keeps each as a file. It delivers nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

mod mail;

pub use mail::Mail;

/// A client that says nothing for so long is sent away (RFC 5321, 4.5.3.2.7 asks for five minutes).
const PATIENCE: Duration = Duration::from_secs(300);
/// Longer lines are not spoken in SMTP (RFC 5321, 4.5.3.1.6); some clients do not keep to the thousand.
const LONGEST_LINE: u64 = 8_192;
/// No mail of the demo is longer.
const LONGEST_MAIL: usize = 16 << 20;
/// Clients that are served at once; the next one waits.
const MOST_CLIENTS: usize = 32;

/// A mail server at work; it stops when dropped. Its mails stay.
#[derive(Debug)]
pub struct Post {
    address: SocketAddr,
    letters: Arc<Letterbox>,
    _stop: DropGuard,
}

/// Where mails are kept.
#[derive(Debug)]
struct Letterbox {
    directory: PathBuf,
    mails: Mutex<Vec<Mail>>,
}

impl Post {
    /// Opens on a free port of this machine, and keeps mails in `directory`, which is made.
    ///
    /// # Errors
    /// When there is no free port or the directory cannot be made.
    pub async fn open(directory: &Path) -> anyhow::Result<Self> {
        let shown = || format!("cannot make `{}`", directory.display());
        std::fs::create_dir_all(directory).with_context(shown)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr().context("the socket has no address")?;
        let letters = Arc::new(Letterbox { directory: directory.to_owned(), mails: Mutex::default() });
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, Arc::clone(&letters))));
        Ok(Self { address, letters, _stop: stop.drop_guard() })
    }

    /// `smtp://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The mails that came so far, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.letters.mails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, letters: Arc<Letterbox>) {
    let mut clients = JoinSet::new();
    loop {
        while clients.len() >= MOST_CLIENTS {
            clients.join_next().await;
        }
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, for instance; it passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let letters = Arc::clone(&letters);
        clients.spawn(async move {
            if let Err(error) = talk(stream, &letters).await {
                tracing::debug!("a client of the mail server went away: {error:#}");
            }
        });
        while clients.try_join_next().is_some() {}
    }
}

/// One client's session.
async fn talk(stream: TcpStream, letters: &Letterbox) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut receivers: Option<usize> = None;
    say(&mut stream, "220 localhost ESMTP").await?;
    loop {
        let line = line(&mut stream).await?;
        let command = String::from_utf8_lossy(&line).trim().to_ascii_uppercase();
        let verb = command.split([' ', ':']).next().unwrap_or_default();
        let answer = match (verb, receivers) {
            ("EHLO", _) => "250-localhost\r\n250 8BITMIME",
            ("HELO" | "NOOP", _) => "250 OK",
            ("RSET", _) => {
                receivers = None;
                "250 OK"
            }
            ("MAIL", _) => {
                receivers = Some(0);
                "250 OK"
            }
            ("RCPT", Some(count)) => {
                receivers = Some(count + 1);
                "250 OK"
            }
            ("DATA", Some(1..)) => {
                receivers = None;
                say(&mut stream, "354 end with a line that is a point").await?;
                let text = data(&mut stream).await?;
                letters.keep(&text)?;
                "250 OK"
            }
            ("RCPT" | "DATA", _) => "503 first MAIL, then RCPT, then DATA",
            ("QUIT", _) => return say(&mut stream, "221 bye").await,
            _ => "502 not known here",
        };
        say(&mut stream, answer).await?;
    }
}

async fn say(stream: &mut BufReader<TcpStream>, answer: &str) -> anyhow::Result<()> {
    let answer = format!("{answer}\r\n");
    let said = stream.write_all(answer.as_bytes());
    tokio::time::timeout(PATIENCE, said).await.context("it does not listen")??;
    Ok(())
}

/// A line with its end.
async fn line(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut bounded = stream.take(LONGEST_LINE);
    let read = bounded.read_until(b'\n', &mut line);
    tokio::time::timeout(PATIENCE, read).await.context("it says nothing")??;
    anyhow::ensure!(line.ends_with(b"\n"), "it hung up, or its line has no end");
    Ok(line)
}

/// The lines up to the one that is a point; what begins with a point has been given one more (RFC 5321, 4.5.2).
async fn data(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let line = line(stream).await?;
        match line.strip_prefix(b".") {
            Some(rest) if rest.trim_ascii().is_empty() => return Ok(text),
            Some(rest) => text.extend_from_slice(rest),
            None => text.extend_from_slice(&line),
        }
        anyhow::ensure!(text.len() <= LONGEST_MAIL, "the mail is too long");
    }
}

impl Letterbox {
    fn keep(&self, text: &[u8]) -> anyhow::Result<()> {
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.directory.join(format!("{:04}.eml", mails.len() + 1));
        std::fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
        mails.push(Mail::new(file, &String::from_utf8_lossy(text)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(stream: &mut BufReader<TcpStream>, command: &str) -> String {
        stream.write_all(command.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_line(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_mail_is_kept_as_it_was_sent() {
        let directory = tempfile::tempdir().unwrap();
        let post = Post::open(directory.path()).await.unwrap();
        let mut stream = BufReader::new(TcpStream::connect(post.address).await.unwrap());
        let check = |said: String, expect: &str| assert!(said.starts_with(expect), "{said} instead of {expect}");
        check(answer(&mut stream, "HELO here\r\n").await, "220");
        let mut greeting = String::new();
        stream.read_line(&mut greeting).await.unwrap();
        check(greeting, "250");
        check(answer(&mut stream, "DATA\r\n").await, "503");
        check(answer(&mut stream, "mail from:<a@example.org>\r\n").await, "250");
        check(answer(&mut stream, "RCPT TO:<b@example.org>\r\n").await, "250");
        check(answer(&mut stream, "DATA\r\n").await, "354");
        let text = "Subject: it is\r\n late\r\nMessage-ID: <one@example.org>\r\n\r\n..point\r\nend\r\n.\r\n";
        check(answer(&mut stream, text).await, "250");
        check(answer(&mut stream, "EXPN all\r\n").await, "502");
        check(answer(&mut stream, "QUIT\r\n").await, "221");
        let mails = post.mails();
        assert_eq!(mails[0].subject, "it is late");
        let kept = std::fs::read_to_string(&mails[0].file).unwrap();
        assert!(kept.ends_with("\r\n\r\n.point\r\nend\r\n"), "{kept}");
    }
}
