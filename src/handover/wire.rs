use super::request::{Arrived, Asked, Signatures};
use bytes::{Buf, Bytes};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// What has left the dispatcher.
#[derive(Debug)]
pub struct Landed {
    /// The connection. Nothing read from it is missing.
    pub socket: TcpStream,
    /// What the dispatcher wrote and was not sent, if that was asked for: the
    /// head of the answer.
    pub head: Vec<u8>,
}

/// Who wants to have a connection.
pub trait Landing {
    /// Takes it. The dispatcher is gone, and whatever it held.
    fn land(&self, landed: Landed);
}

/// What a handler can ask of its connection: it is in the connection's data.
#[derive(Default)]
pub struct Control(RefCell<State>);

#[derive(Default)]
struct State {
    arrived: Arrived,
    /// What the request of that number is recognised by.
    signature: Option<(u64, u64)>,
    /// How many requests were begun.
    begun: u64,
    /// One of them is being answered.
    answering: bool,
    leave: Option<Leave>,
    /// Everything was written: the dispatcher is ending.
    leaving: bool,
    /// Whoever waits until everything written so far has been accepted.
    settling: Settling,
}

#[derive(Default)]
enum Settling {
    #[default]
    Nobody,
    Asked(Waker),
    Done,
}

struct Leave {
    to: Rc<dyn Landing>,
    /// What is written from now on, instead of being sent.
    head: Option<Vec<u8>>,
}

impl Control {
    /// A request was read, and is being answered.
    pub fn begin(&self) {
        let mut state = self.0.borrow_mut();
        state.begun += 1;
        state.answering = true;
        state.settling = Settling::Nobody;
    }

    /// An answer was begun.
    pub fn answered(&self) {
        self.0.borrow_mut().answering = false;
    }

    /// Whether the request that was begun last is a `GET` without a body, and
    /// nothing was read that lies behind it.
    pub fn is_alone(&self) -> bool {
        let state = self.0.borrow();
        state.arrived.ends_with_bare_get() && state.arrived.whole == state.begun
    }

    /// What that request is recognised by when it comes again, if it is a poll.
    pub fn signature(&self) -> Option<u64> {
        let state = self.0.borrow();
        state.signature.filter(|(request, _)| *request == state.begun).map(|(_, sign)| sign)
    }

    /// Waits until everything written so far has been accepted: the end of the
    /// answer before may still be on its way.
    pub async fn settled(&self) {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            match std::mem::take(&mut state.settling) {
                Settling::Done => Poll::Ready(()),
                _ => {
                    state.settling = Settling::Asked(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
    }

    /// Asks for the connection, as soon as everything written so far has been
    /// accepted. With `keep_head`, what is still to be written is not sent but
    /// handed over too.
    pub fn leave(&self, to: Rc<dyn Landing>, keep_head: bool) {
        self.0.borrow_mut().leave = Some(Leave { to, head: keep_head.then(Vec::new) });
    }

    /// Takes that back: there is something to send after all.
    pub fn stay(&self) {
        self.0.borrow_mut().leave = None;
    }
}

/// The connection as the dispatcher has it.
pub struct Wire {
    socket: Option<TcpStream>,
    control: Rc<Control>,
    /// Read before the dispatcher was there.
    early: Bytes,
    signatures: Signatures,
    /// How long the head of a request may take, from its first byte on.
    head_time: Duration,
    head_timer: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    /// A connection of which `early` was read already.
    pub fn new(
        socket: TcpStream,
        early: Bytes,
        signatures: Signatures,
        head_time: Duration,
    ) -> Wire {
        let control = Rc::default();
        Wire { socket: Some(socket), control, early, signatures, head_time, head_timer: None }
    }

    /// What handlers ask through.
    pub fn control(&self) -> &Rc<Control> {
        &self.control
    }

    fn note(&self, bytes: &[u8]) {
        let mut state = self.control.0.borrow_mut();
        let before = state.arrived.whole;
        // Only bytes that begin a request are a request.
        let begins = state.arrived.is_between();
        state.arrived.take(bytes);
        if begins
            && state.arrived.whole == before + 1
            && let Some(Asked { signature, .. }) = self.signatures.read(bytes)
        {
            state.signature = Some((before + 1, signature));
        }
    }

    /// actix gives a time to the first head of a connection alone; this gives
    /// it to those after it.
    fn poll_head_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let late = {
            let state = self.control.0.borrow();
            state.begun > 0 && !state.answering && state.arrived.is_in_head()
        };
        if !late {
            self.head_timer = None;
            return Poll::Pending;
        }
        let time = self.head_time;
        let timer = self.head_timer.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        if !wire.early.is_empty() {
            let length = wire.early.len().min(buf.remaining());
            buf.put_slice(&wire.early[..length]);
            wire.note(&wire.early[..length]);
            wire.early.advance(length);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match wire.socket()?.poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                wire.note(&buf.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(err)) => Poll::Ready(Err(err)),
            Poll::Pending => wire.poll_head_time(cx).map(Err),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(Leave { head: Some(head), .. }) = &mut self.control.0.borrow_mut().leave {
            head.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        self.socket()?.poll_write(cx, buf)
    }

    /// The dispatcher flushes when everything it had was accepted: the moment
    /// at which nothing is lost if it ends.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.socket()?.poll_flush(cx))?;
        let mut state = self.control.0.borrow_mut();
        if let Settling::Asked(waker) = std::mem::take(&mut state.settling) {
            state.settling = Settling::Done;
            waker.wake();
        }
        state.leaving = state.leave.is_some();
        if state.leaving {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let leave = {
            let mut state = self.control.0.borrow_mut();
            state.leave.take().filter(|_| state.leaving)
        };
        if let (Some(leave), Some(socket)) = (leave, self.socket.take()) {
            leave.to.land(Landed { socket, head: leave.head.unwrap_or_default() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const HEAD: &str = "GET /v1/poll?topic=room/x&cursor=k-1 HTTP/1.1\r\nHost: a\r\n\r\n";

    #[derive(Default)]
    struct Place {
        landed: RefCell<Option<Landed>>,
        times: Cell<u32>,
    }

    impl Landing for Place {
        fn land(&self, landed: Landed) {
            self.times.set(self.times.get() + 1);
            self.landed.replace(Some(landed));
        }
    }

    async fn wire(early: &'static str) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("a connection");
        let (server, _) = listener.accept().await.expect("a connection");
        let time = Duration::from_secs(60);
        (Wire::new(server, Bytes::from(early), Signatures::default(), time), client)
    }

    #[tokio::test]
    async fn what_was_sent_is_sent_and_what_is_kept_lands_with_the_connection() {
        let (mut wire, mut client) = wire("").await;
        let place = Rc::new(Place::default());
        wire.write_all(b"sent").await.expect("a write");
        wire.flush().await.expect("nobody would leave yet");
        wire.control().leave(place.clone(), true);
        wire.write_all(b"kept").await.expect("a write");
        assert!(wire.flush().await.is_err(), "the dispatcher is to end");
        assert_eq!(place.times.get(), 0, "it has not yet");
        drop(wire);

        let mut landed = place.landed.take().expect("a connection");
        assert_eq!(landed.head, b"kept");
        landed.socket.write_all(b" and on").await.expect("a write");
        drop(landed);
        let mut read = String::new();
        client.read_to_string(&mut read).await.expect("an end");
        assert_eq!(read, "sent and on");
        assert_eq!(place.times.get(), 1);
    }

    #[tokio::test]
    async fn who_stays_or_was_cut_short_does_not_land() {
        for stays in [true, false] {
            let (mut wire, mut client) = wire("").await;
            let place = Rc::new(Place::default());
            wire.control().leave(place.clone(), false);
            if stays {
                wire.control().stay();
                wire.write_all(b"more").await.expect("a write");
                wire.flush().await.expect("it stays");
            }
            drop(wire);
            assert_eq!(place.times.get(), 0);
            let mut read = String::new();
            client.read_to_string(&mut read).await.expect("an end");
            assert_eq!(read, if stays { "more" } else { "" });
            assert_eq!(Rc::strong_count(&place), 1, "nobody holds it any more");
        }
    }

    #[tokio::test]
    async fn what_was_read_before_comes_first_and_is_recognised_as_if_it_came_now() {
        let (mut wire, mut client) = wire(HEAD).await;
        let mut buffer = [0; 512];
        let read = wire.read(&mut buffer).await.expect("bytes");
        assert_eq!(&buffer[..read], HEAD.as_bytes());
        let control = wire.control().clone();
        assert!(!control.is_alone(), "it was not begun");
        control.begin();
        assert!(control.is_alone());
        let signature = control.signature();
        assert!(signature.is_some());
        control.answered();

        client.write_all(HEAD.replace("k-1", "k-2z").as_bytes()).await.expect("a write");
        assert!(wire.read(&mut buffer).await.expect("bytes") > 0);
        assert!(!control.is_alone(), "there is one behind the one that was begun");
        control.begin();
        assert!(control.is_alone());
        assert_eq!(control.signature(), signature);
        control.answered();

        client.write_all(format!("{HEAD}{HEAD}").as_bytes()).await.expect("a write");
        assert!(wire.read(&mut buffer).await.expect("bytes") > 0);
        control.begin();
        assert!(!control.is_alone());
        assert_eq!(control.signature(), None);
    }

    #[tokio::test]
    async fn what_looks_like_a_poll_within_a_head_is_recognised_as_nothing() {
        let (mut wire, mut client) = wire("").await;
        let control = wire.control().clone();
        let mut buffer = [0; 512];
        for part in ["GET /v1/poll?topic=room/y&cursor=k-1 HTTP/1.1\r\nX-Line: ", HEAD] {
            client.write_all(part.as_bytes()).await.expect("a write");
            assert!(wire.read(&mut buffer).await.expect("bytes") > 0);
        }
        control.begin();
        assert!(control.is_alone());
        assert_eq!(control.signature(), None);
    }

    /// Whether there is nothing to read, nor any other reason to wake the reader.
    async fn is_waiting(wire: &mut Wire) -> bool {
        let mut buffer = [0; 16];
        let mut buffer = ReadBuf::new(&mut buffer);
        std::future::poll_fn(|cx| {
            Poll::Ready(Pin::new(&mut *wire).poll_read(cx, &mut buffer).is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn a_second_head_has_its_time_and_no_more() {
        let (mut wire, mut client) = wire("").await;
        wire.head_time = Duration::from_millis(10);
        let control = wire.control().clone();
        let mut buffer = [0; 512];
        client.write_all(HEAD.as_bytes()).await.expect("a write");
        assert!(wire.read(&mut buffer).await.expect("bytes") > 0);
        control.begin();
        // An answer may take as long as it likes, and so may what comes after it.
        assert!(is_waiting(&mut wire).await);
        assert!(wire.head_timer.is_none());
        control.answered();
        assert!(is_waiting(&mut wire).await);
        assert!(wire.head_timer.is_none());

        client.write_all(b"GET /").await.expect("a write");
        assert!(wire.read(&mut buffer).await.expect("bytes") > 0);
        let late = wire.read(&mut buffer).await.expect_err("it took too long");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
