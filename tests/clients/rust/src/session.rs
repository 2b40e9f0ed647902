//! How to get in, ask, and look at what comes back.

use futures_util::future::poll_fn;
use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, Notification};

pub type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A connection for some work; what it leaves behind is the pool's business.
pub struct Session {
    pub client: Client,
    pub heard: mpsc::UnboundedReceiver<Notification>,
    connection: JoinHandle<()>,
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

pub fn over_unix(more: &str) -> String {
    let (host, port, dbname, user) = (variable("PGHOST"), variable("PGPORT"), variable("PGDATABASE"), variable("PGUSER"));
    format!("host={host} port={port} dbname={dbname} user={user} {more}")
}

/// Over TCP, where a password is asked for.
pub fn over_tcp(password: &str) -> String {
    let (port, dbname, user) = (variable("TCP_PORT"), variable("PGDATABASE"), variable("PGUSER"));
    format!("host=127.0.0.1 port={port} dbname={dbname} user={user} password={password}")
}

pub fn right_password() -> String {
    variable("TCP_PASSWORD")
}

impl Session {
    pub async fn new(conninfo: &str) -> Result<Session, Error> {
        let (client, mut connection) = tokio_postgres::connect(conninfo, NoTls).await?;
        let (tell, heard) = mpsc::unbounded_channel();
        let connection = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message {
                    let _ = tell.send(notification);
                }
            }
        });
        Ok(Session { client, heard, connection })
    }

    /// Says goodbye, and waits until that is said.
    pub async fn end(self) {
        drop(self.client);
        self.connection.await.expect("the connection ends");
    }

    /// The one value that a query answers.
    pub async fn value<T: FromSqlOwned>(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<T, Error> {
        self.client.query_one(sql, parameters).await?.try_get(0)
    }
}

pub async fn session() -> Result<Session, Error> {
    Session::new(&over_unix("")).await
}

pub fn fails_with<T>(result: Result<T, Error>, sqlstate: &str) -> Error {
    let error = result.err().unwrap_or_else(|| panic!("no {sqlstate}"));
    assert_eq!(error.code().map(|code| code.code()), Some(sqlstate), "{error:?}");
    error
}

pub fn new_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    format!("t_{:x}_{}", now.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}
