//! A connection to a server, and how one is made.
//!
//! Both client crates split a connection into a handle and a *driver*, a future that owns the
//! socket, to be spawned. Here it is not: a [`Client`] keeps its driver and polls it beside each
//! command. So there is nothing left of a client when it has been dropped, and the pool's limit
//! is the server's: a spawned driver would close its socket a moment after the pool had begun
//! the next connection. And a client that sits idle costs nothing.

use std::error::Error as StdError;
use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::{Context, bail};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::error::Severity;
use tokio_postgres::{Config, NoTls};

/// A server that says nothing for so long is taken for gone.
const PATIENCE: Duration = Duration::from_secs(5);

type Cause = Box<dyn StdError + Send + Sync>;

/// Why there is no connection, or no answer. What it says itself is the kind that is counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("could not connect")]
    Connect(#[source] Cause),
    #[error("connection broke")]
    Broken(#[source] Cause),
    #[error("no answer")]
    Silent,
    #[error("wrong answer")]
    Wrong,
    /// By an answer: the connection is as good as before.
    #[error("refused by the server")]
    Refused(#[source] Cause),
}

impl Error {
    /// Whether the connection must not be used again.
    pub(crate) const fn is_broken(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

/// What Redis, or its client, says.
fn cause(error: redis::RedisError) -> Cause {
    // The error says itself what its source says, so it is not to be told with it.
    let text = error.to_string();
    // Of a pipeline there is one for each command that was refused, often the same.
    let refusals = error.into_server_errors();
    let first = refusals.as_deref().and_then(<[_]>::first);
    first
        .map_or(text, |(_, first)| format!("{} {}", first.code(), first.details().unwrap_or_default()))
        .into()
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        let refused = error.clone().into_server_errors().is_some();
        let cause = cause(error);
        if refused { Self::Refused(cause) } else { Self::Broken(cause) }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        // A server that shuts down says so, by a fatal error.
        let severity = error.as_db_error().map(tokio_postgres::error::DbError::parsed_severity);
        if let Some(Some(Severity::Error)) = severity {
            Self::Refused(error.into())
        } else {
            Self::Broken(error.into())
        }
    }
}

/// Which server, and as whom.
#[derive(Clone)]
pub(crate) enum Target {
    Redis { host: String, port: u16, user: Box<RedisConnectionInfo> },
    Postgres(Box<Config>),
}

impl Target {
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let Some((scheme, _)) = url.split_once("://") else {
            bail!(
                "the url has no scheme: redis://host:port[/db] or postgres://user:pass@host/db is expected"
            );
        };
        match scheme {
            "redis" => {
                let info = url.into_connection_info().context("not a url of a Redis server")?;
                let ConnectionAddr::Tcp(host, port) = info.addr() else {
                    bail!("not a url of a Redis server that is reached by TCP");
                };
                let user = Box::new(info.redis_settings().clone());
                Ok(Self::Redis { host: host.clone(), port: *port, user })
            }
            "postgres" | "postgresql" => {
                let config: Config = url.parse().context("not a url of a PostgreSQL server")?;
                Ok(Self::Postgres(Box::new(config)))
            }
            other => bail!("the scheme {other:?} is none of redis, postgres, postgresql (without TLS)"),
        }
    }

    /// What the pool's factory does for each connection. It may be dropped at any time.
    pub(crate) async fn connect(self) -> Result<Client, Error> {
        match timeout(PATIENCE, self.connects()).await {
            Ok(client) => client.map_err(Error::Connect),
            Err(late) => Err(Error::Connect(late.into())),
        }
    }

    async fn connects(self) -> Result<Client, Cause> {
        let (handle, driver): (_, Drives) = match self {
            Self::Redis { host, port, user } => {
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                // Each command has a timeout here.
                let config = AsyncConnectionConfig::new().set_response_timeout(None);
                let connection = MultiplexedConnection::new_with_config(&user, stream, config).await;
                let (handle, driver) = connection.map_err(cause)?;
                (Handle::Redis(handle), Box::pin(driver))
            }
            Self::Postgres(config) => {
                let (handle, driver) = config.connect(NoTls).await?;
                // Why it ended is said by the command that it ended under.
                (Handle::Postgres(handle), Box::pin(async { drop(driver.await) }))
            }
        };
        Ok(Client { handle, driver: Driver(Some(driver)), uses: 0 })
    }
}

/// A connection: what the pool holds.
pub(crate) struct Client {
    handle: Handle,
    driver: Driver,
    /// How many requests it was used for.
    pub(crate) uses: u32,
}

enum Handle {
    Redis(MultiplexedConnection),
    Postgres(tokio_postgres::Client),
}

impl Client {
    /// Whether there is a server at the other end: what the pool asks of a connection that was
    /// put back, before it lends it again.
    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        let Self { handle, driver, .. } = self;
        match handle {
            Handle::Redis(redis) => driver.until(redis::cmd("PING").query_async(redis)).await,
            Handle::Postgres(postgres) => driver.until(postgres.simple_query("")).await.map(drop),
        }
    }

    /// One request of the load: has the server give `text` back. An answer to anybody else's
    /// request would be another text.
    pub(crate) async fn request(&mut self, key: &str, text: &str) -> Result<(), Error> {
        let Self { handle, driver, uses } = self;
        *uses += 1;
        let answer: String = match handle {
            Handle::Redis(redis) => {
                let mut commands = redis::pipe();
                commands.cmd("SET").arg(key).arg(text).arg("EX").arg(60).ignore().cmd("GET").arg(key);
                let (answer,) = driver.until(commands.query_async(redis)).await?;
                answer
            }
            Handle::Postgres(postgres) => {
                driver.until(postgres.query_one("SELECT $1::text", &[&text])).await?.try_get(0)?
            }
        };
        if answer == text { Ok(()) } else { Err(Error::Wrong) }
    }
}

/// What owns the socket and moves bytes while it is polled. `None` once it has ended.
struct Driver(Option<Drives>);

type Drives = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Driver {
    /// Drives the connection until the command has ended.
    async fn until<T, E: Into<Error>>(
        &mut self,
        command: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        let mut command = pin!(command);
        let both = std::future::poll_fn(|context| {
            if let Some(driver) = &mut self.0
                && driver.as_mut().poll(context).is_ready()
            {
                // With its socket; the command is told.
                self.0 = None;
            }
            command.as_mut().poll(context)
        });
        timeout(PATIENCE, both).await.map_err(|_late| Error::Silent)?.map_err(Into::into)
    }
}
