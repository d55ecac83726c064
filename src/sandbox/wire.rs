//! A network between two parts of the company: a TCP proxy that delays and fails as it is told.
//!
//! Bytes keep their order. The delay is the same for all of them, so bandwidth is not limited: up to
//! [`IN_FLIGHT`] chunks travel at once in each direction.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Chunks that travel at once; a sender waits for the oldest to arrive. Several times what a machine's loopback holds.
const IN_FLIGHT: usize = 256;
/// The far end answers within this, or the connection ends.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A way to a server. Ends with all its connections when dropped.
#[derive(Debug)]
pub struct Wire {
    addr: SocketAddr,
    condition: watch::Sender<Condition>,
    /// Ends with this value.
    _listening: JoinSet<()>,
}

/// How a wire is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Connections are reset, new ones too: the server has gone and its machine says so.
    Refusing,
    /// Nothing arrives any more and nobody says so: connections stay, new ones are taken up, no byte is answered.
    Silent,
}

/// What a wire is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Condition {
    /// Of each direction.
    delay: Duration,
    cut: Option<Cut>,
}

impl Wire {
    /// A way to `to`, without any delay. Connect to [`addr`](Self::addr) instead.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("loopback has no free port")?;
        let addr = listener.local_addr().context("a bound socket has an address")?;
        let (condition, watched) = watch::channel(Condition { delay: Duration::ZERO, cut: None });
        let mut listening = JoinSet::new();
        listening.spawn(listen(listener, to, watched));
        Ok(Self { addr, condition, _listening: listening })
    }

    /// Where to connect.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Sets how long a question and its answer travel together: half of it each way. Bytes that are on their way keep
    /// their delay, and none overtakes another.
    pub fn set_delay(&self, round_trip: Duration) {
        self.condition.send_modify(|condition| condition.delay = round_trip / 2);
    }

    /// Nothing passes any more, until it is [mended](Self::mend).
    pub fn cut(&self, how: Cut) {
        self.condition.send_modify(|condition| condition.cut = Some(how));
    }

    /// New connections pass again. Those that were there when it was cut are reset.
    pub fn mend(&self) {
        self.condition.send_modify(|condition| condition.cut = None);
    }
}

async fn listen(listener: TcpListener, to: SocketAddr, condition: watch::Receiver<Condition>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => match taken {
                Ok((stream, _)) => drop(connections.spawn(carry(stream, to, condition.clone()))),
                // Out of file handles, or the caller has gone again: others may still come.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
}

/// One connection, from its first byte to its end. Unless both sides end it themselves, both see a reset.
async fn carry(mut near: TcpStream, to: SocketAddr, condition: watch::Receiver<Condition>) {
    let mut far = None;
    tokio::select! {
        biased;
        () = until(condition.clone(), |condition| condition.cut.is_some()) => {}
        done = pass(&mut near, &mut far, to, &condition) => if done.is_ok() { return },
    }
    // Bytes are neither taken nor given meanwhile.
    until(condition, |condition| condition.cut != Some(Cut::Silent)).await;
    for end in std::iter::once(near).chain(far) {
        // Without lingering the end is a reset. When it cannot be set the connection has ended already.
        drop(end.set_zero_linger());
    }
}

/// Waits for a condition, or for the wire's end.
async fn until(mut watched: watch::Receiver<Condition>, wanted: impl FnMut(&Condition) -> bool) {
    drop(watched.wait_for(wanted).await);
}

/// Carries bytes both ways until both sides have ended.
async fn pass(
    near: &mut TcpStream,
    far: &mut Option<TcpStream>,
    to: SocketAddr,
    condition: &watch::Receiver<Condition>,
) -> std::io::Result<()> {
    near.set_nodelay(true)?;
    let far = far.insert(tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(to)).await??);
    far.set_nodelay(true)?;
    let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
    tokio::try_join!(pump(near_in, far_out, condition), pump(far_in, near_out, condition)).map(drop)
}

/// One direction: each chunk arrives a delay after it was sent and not before the one before it.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    condition: &watch::Receiver<Condition>,
) -> std::io::Result<()> {
    let (sender, mut travelling) = mpsc::channel::<(Instant, Bytes)>(IN_FLIGHT);
    let send = async move {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            from.read_buf(&mut chunk).await?;
            let arrives = Instant::now() + condition.borrow().delay;
            let is_end = chunk.is_empty();
            // An error means that nobody takes it any more; the other side of this pump says why.
            if sender.send((arrives, chunk.freeze())).await.is_err() || is_end {
                return std::io::Result::Ok(());
            }
        }
    };
    let receive = async move {
        while let Some((arrives, chunk)) = travelling.recv().await {
            tokio::time::sleep_until(arrives).await;
            to.write_all(&chunk).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(send, receive).map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const PING: &[u8] = b"a question and its answer";

    /// A server that answers what it is told, and a wire to it.
    async fn echo() -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        Wire::open(addr).await.expect("a wire")
    }

    async fn connect(wire: &Wire) -> TcpStream {
        TcpStream::connect(wire.addr()).await.expect("a connection")
    }

    async fn ping(stream: &mut TcpStream) -> std::io::Result<()> {
        stream.write_all(PING).await?;
        let mut answer = vec![0; PING.len()];
        stream.read_exact(&mut answer).await?;
        assert_eq!(answer, PING);
        Ok(())
    }

    #[tokio::test]
    async fn a_question_and_its_answer_take_the_round_trip() {
        let wire = echo().await;
        let mut stream = connect(&wire).await;
        ping(&mut stream).await.expect("an answer");
        wire.set_delay(Duration::from_millis(200));
        let began = Instant::now();
        ping(&mut stream).await.expect("an answer");
        assert!(began.elapsed() >= Duration::from_millis(200));
    }

    #[tokio::test]
    async fn many_bytes_arrive_in_order() {
        let wire = echo().await;
        wire.set_delay(Duration::from_millis(100));
        let stream = connect(&wire).await;
        let (mut from, mut to) = stream.into_split();
        let sent: Vec<u8> = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
        let expect = sent.clone();
        let sending = tokio::spawn(async move {
            to.write_all(&sent).await?;
            to.shutdown().await
        });
        let mut got = Vec::new();
        from.read_to_end(&mut got).await.expect("everything");
        sending.await.expect("a task").expect("sent");
        assert!(got == expect, "{} of {} bytes", got.len(), expect.len());
    }

    #[tokio::test]
    async fn a_cut_that_refuses_resets_old_and_new_connections() {
        let wire = echo().await;
        let mut old = connect(&wire).await;
        ping(&mut old).await.expect("an answer");
        wire.cut(Cut::Refusing);
        let reset = |error: std::io::Error| assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        reset(old.read_u8().await.expect_err("a reset"));
        reset(connect(&wire).await.read_u8().await.expect_err("a reset"));
        wire.mend();
        ping(&mut connect(&wire).await).await.expect("an answer");
    }

    #[tokio::test]
    async fn a_silent_cut_says_nothing_until_it_is_mended() {
        let wire = echo().await;
        let mut old = connect(&wire).await;
        ping(&mut old).await.expect("an answer");
        wire.cut(Cut::Silent);
        let mut new = connect(&wire).await;
        for stream in [&mut old, &mut new] {
            let silence = tokio::time::timeout(Duration::from_millis(300), ping(stream)).await;
            assert!(silence.is_err(), "{silence:?}");
        }
        wire.mend();
        for mut stream in [old, new] {
            assert!(stream.read_u8().await.is_err(), "a connection that lost bytes goes on");
        }
        ping(&mut connect(&wire).await).await.expect("an answer");
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        drop(listener);
        let wire = Wire::open(addr).await.expect("a wire");
        assert!(connect(&wire).await.read_u8().await.is_err());
    }
}
