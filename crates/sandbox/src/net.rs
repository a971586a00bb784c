//! Connections that can be cut.
//!
//! A fault must close the socket for real: a client has to see a broken connection, not an error status. Each
//! connection carries a switch its handler can throw; from then on every read and write fails, the server gives the
//! connection up, and nothing of the answer leaves.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client has to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Agreed connections that wait to be served.
const WAITING: usize = 64;

/// The switch of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cutter(Arc<AtomicBool>);

impl Cutter {
    /// Closes the connection without another byte.
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault"));
        }
        Ok(())
    }
}

/// Accepts connections with a switch.
#[derive(Debug)]
pub(crate) enum CuttableListener {
    /// Plain connections.
    Plain(TcpListener),
    /// Connections that have agreed on TLS, and the address they came to.
    Tls(mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>, SocketAddr),
}

/// A connection with a switch.
#[derive(Debug)]
pub(crate) struct CuttableStream {
    inner: Inner,
    cutter: Cutter,
}

#[derive(Debug)]
enum Inner {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl CuttableListener {
    /// Accepts TLS connections on a listener, each handshake on its own: a client that is slow or does not trust the
    /// certificate holds up nobody else. It ends when the listener is dropped.
    pub(crate) fn tls(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let mut listener = listener;
            loop {
                let (stream, from) = tokio::select! {
                    accepted = accept(&mut listener) => accepted,
                    () = sender.closed() => return,
                };
                let (acceptor, sender) = (acceptor.clone(), sender.clone());
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        // An error means the sandbox has stopped.
                        Ok(Ok(stream)) => drop(sender.send((stream, from)).await),
                        Ok(Err(error)) => tracing::debug!(%error, "no TLS was agreed on"),
                        Err(_) => tracing::debug!("no TLS was agreed on in time"),
                    }
                });
            }
        });
        Ok(CuttableListener::Tls(receiver, address))
    }
}

async fn accept(listener: &mut TcpListener) -> (TcpStream, SocketAddr) {
    let (stream, address) = Listener::accept(listener).await;
    // Without this, small answers on a kept-alive connection wait for the peer's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    (stream, address)
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (inner, address) = match self {
            CuttableListener::Plain(listener) => {
                let (stream, address) = accept(listener).await;
                (Inner::Plain(stream), address)
            }
            CuttableListener::Tls(ready, _) => match ready.recv().await {
                Some((stream, address)) => (Inner::Tls(Box::new(stream)), address),
                // Nothing accepts any more; the server is about to end.
                None => std::future::pending().await,
            },
        };
        (CuttableStream { inner, cutter: Cutter::default() }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match self {
            CuttableListener::Plain(listener) => listener.local_addr(),
            CuttableListener::Tls(_, address) => Ok(*address),
        }
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cutter {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cutter.clone()
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.cutter.check()?;
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Inner::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cutter.check()?;
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Inner::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cutter.check()?;
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_flush(context),
            Inner::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let cut = self.cutter.check().is_err();
        match &mut self.inner {
            Inner::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            // A farewell of TLS would tell the client that the answer was whole.
            Inner::Tls(_) if cut => Poll::Ready(Ok(())),
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
