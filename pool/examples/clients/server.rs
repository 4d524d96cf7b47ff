//! A server of the example's own: enough of Redis for clients that ping, set and get. Its point
//! is to be strict about how many connections there are, and to break when it is told to.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use kva::sync::{Arc, Mutex};
use redis_protocol::codec::Resp2;
use redis_protocol::error::RedisProtocolError;
use redis_protocol::resp2::types::{BytesFrame, Resp2Frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;

/// How long a new connection waits for its first answer.
const LATENCY: Duration = Duration::from_millis(20);

type Store = Mutex<HashMap<Vec<u8>, Vec<u8>>>;

/// The connections there are, and what came of all that there were.
#[derive(Debug, Default)]
pub(crate) struct Census {
    limit: usize,
    /// A handle of each socket, by its number.
    open: BTreeMap<u64, OwnedFd>,
    /// How many ever came.
    pub(crate) accepted: u64,
    /// How many of them were one too many.
    pub(crate) refused: u64,
    /// The most at once, those that were refused included.
    pub(crate) most: usize,
}

/// A connection's entry in the census, while it lasts.
struct Seat {
    census: Arc<Mutex<Census>>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.census.lock().open.remove(&self.number);
    }
}

impl Census {
    /// Counts a connection that was accepted; whether it is within the limit.
    ///
    /// Those whose clients have hung up do not count, also where the server has not come to
    /// read so: a client that closes one connection and then opens another has one at a time.
    fn admit(&mut self, number: u64, stream: &TcpStream) -> io::Result<bool> {
        let mut sockets: Vec<_> =
            self.open.values().map(|socket| PollFd::new(socket, PollFlags::RDHUP)).collect();
        poll(&mut sockets, Some(&Timespec::default()))?;
        let others = sockets.iter().filter(|socket| socket.revents().is_empty()).count();
        self.most = self.most.max(others + 1);
        self.accepted += 1;
        self.open.insert(number, stream.as_fd().try_clone_to_owned()?);
        let within = others < self.limit;
        self.refused += u64::from(!within);
        Ok(within)
    }
}

/// A server that can be killed and started again.
pub(crate) struct Server {
    address: SocketAddr,
    pub(crate) census: Arc<Mutex<Census>>,
    kill: CancellationToken,
    serves: JoinHandle<()>,
}

impl Server {
    /// Starts one at a free port. It refuses more than `limit` connections.
    pub(crate) fn start(limit: usize) -> io::Result<Self> {
        let census = Arc::new(Mutex::new(Census { limit, ..Census::default() }));
        Self::listen(bind((Ipv4Addr::LOCALHOST, 0).into())?, census)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    fn listen(socket: TcpSocket, census: Arc<Mutex<Census>>) -> io::Result<Self> {
        let (address, kill) = (socket.local_addr()?, CancellationToken::new());
        let serves = tokio::spawn(serve(socket.listen(1024)?, census.clone(), kill.clone()));
        Ok(Self { address, census, kill, serves })
    }

    /// Breaks all connections and refuses new ones for a while. Then it is as if it had just
    /// been started, at the same port.
    pub(crate) async fn restart_after(&mut self, pause: Duration) -> Result<()> {
        self.kill.cancel();
        (&mut self.serves).await?;
        // Nobody else is to get the port meanwhile. Who connects to a socket that does not listen
        // is refused.
        let socket = bind(self.address)?;
        sleep(pause).await;
        *self = Self::listen(socket, self.census.clone())?;
        Ok(())
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // The connections that were broken may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(listener: TcpListener, census: Arc<Mutex<Census>>, kill: CancellationToken) {
    let store = Arc::new(Store::new(HashMap::new()));
    let mut connections = JoinSet::new();
    let accepting = async {
        for number in 0.. {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let admitted = census.lock().admit(number, &stream);
                    let seat = Seat { census: census.clone(), number };
                    connections.spawn(converse(stream, seat, admitted, store.clone()));
                }
                // Gone before it was accepted, or too many files are open.
                Err(_) => sleep(LATENCY).await,
            }
            while connections.try_join_next().is_some() {}
        }
    };
    kill.run_until_cancelled(accepting).await;
    drop(listener);
    connections.shutdown().await;
}

async fn converse(
    stream: TcpStream,
    _seat: Seat,
    admitted: io::Result<bool>,
    store: Arc<Store>,
) -> Result<(), RedisProtocolError> {
    stream.set_nodelay(true)?;
    let mut frames = Framed::new(stream, Resp2::default());
    sleep(LATENCY).await;
    if !admitted? {
        return frames.send(error("ERR max number of clients reached")).await;
    }
    while let Some(command) = frames.next().await.transpose()? {
        let (answer, goes_on) = answer(&command, &store);
        frames.send(answer).await?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// The answer to a command, and whether the connection goes on after it.
fn answer(command: &BytesFrame, store: &Store) -> (BytesFrame, bool) {
    let words: Vec<&[u8]> = match command {
        BytesFrame::Array(words) => words.iter().filter_map(Resp2Frame::as_bytes).collect(),
        _ => Vec::new(),
    };
    let Some((name, arguments)) = words.split_first() else {
        return (error("ERR Protocol error: expected an array of strings"), false);
    };
    let ok = || BytesFrame::SimpleString("OK".into());
    let bulk = |bytes: &[u8]| BytesFrame::BulkString(bytes.to_vec().into());
    let answer = match (name.to_ascii_uppercase().as_slice(), arguments) {
        (b"PING", []) => BytesFrame::SimpleString("PONG".into()),
        (b"PING" | b"ECHO", [text]) => bulk(text),
        (b"GET", [key]) => store.lock().get(*key).map_or(BytesFrame::Null, |value| bulk(value)),
        // The server does not live as long as its keys, so they need not expire.
        (b"SET", [key, value] | [key, value, b"EX", _]) => {
            store.lock().insert(key.to_vec(), value.to_vec());
            ok()
        }
        (b"INCR", [key]) => increment(store, key).unwrap_or_else(|| error("ERR value is not an integer")),
        // Names that clients give themselves and their library.
        (b"CLIENT", _) => ok(),
        (b"QUIT", _) => return (ok(), false),
        // HELLO too, as of a Redis from before it: clients then keep to the older protocol.
        (_, _) => error(&format!("ERR unknown command `{}`", String::from_utf8_lossy(name))),
    };
    (answer, true)
}

fn increment(store: &Store, key: &[u8]) -> Option<BytesFrame> {
    let mut store = store.lock();
    let value = store.entry(key.to_vec()).or_insert_with(|| b"0".to_vec());
    let number = str::from_utf8(value).ok()?.parse::<i64>().ok()?.checked_add(1)?;
    *value = number.to_string().into_bytes();
    Some(BytesFrame::Integer(number))
}

fn error(text: &str) -> BytesFrame {
    BytesFrame::Error(text.into())
}
