//! A connection to a database, on which every step ends within its time.
//!
//! The client is asynchronous; a session has a runtime of its own and waits for it, so that what hangs can be left.
//! Promises: an address is checked by the guard before it is connected to; by TLS the server's certificate is always checked, and its name;
//! the session's time zone is UTC, and what is committed is on the server's disk. Does not connect again by itself.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::ClientConfig;
use tidemill_connectors_http::guard::Policy;
use tidemill_connectors_http::tls::client_config;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Failure;
use crate::options::Server;

/// How much longer than the server the client waits: the server's own word says more.
pub const GRACE: Duration = Duration::from_secs(2);

/// One connection.
pub struct Session {
    client: Client,
    /// How long a step may take.
    within: Duration,
    /// Drives the connection while a step waits; it goes after the client.
    runtime: Runtime,
}

impl Session {
    /// Connects and sets up the session.
    pub fn connect(server: &Server) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(Failure::Io)?;
        let tls = server.tls.as_ref().map(client_config).transpose();
        let tls = tls.map_err(|wrong| Failure::Refused(wrong.message))?;
        let within = server.timeout + GRACE;
        let connected = runtime.block_on(async {
            let connecting = timeout(within, connect(server, tls));
            connecting.await.unwrap_or(Err(Failure::Late(within)))
        });
        match connected {
            Ok(client) => {
                let session = Self {
                    client,
                    within,
                    runtime,
                };
                session.batch(&settings(server.timeout))?;
                Ok(session)
            }
            Err(failure) => {
                // A name that is still being looked up is not waited for.
                runtime.shutdown_background();
                Err(failure)
            }
        }
    }

    fn wait<T>(
        &self,
        step: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        let step = async { timeout(self.within, step).await };
        match self.runtime.block_on(step) {
            Ok(done) => done.map_err(Failure::Postgres),
            Err(_) => Err(Failure::Late(self.within)),
        }
    }

    /// Runs statements without parameters.
    pub fn batch(&self, sql: &str) -> Result<(), Failure> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Asks something, with texts as parameters.
    pub fn ask(&self, sql: &str, parameters: &[&str]) -> Result<Vec<Row>, Failure> {
        let given = parameters.iter();
        let given: Vec<_> = given
            .map(|text| (text as &(dyn ToSql + Sync), Type::TEXT))
            .collect();
        self.wait(self.client.query_typed(sql, &given))
    }

    /// Prepares a statement whose one parameter is a text.
    pub fn prepare(&self, sql: &str) -> Result<Statement, Failure> {
        self.wait(self.client.prepare_typed(sql, &[Type::TEXT]))
    }

    /// Executes a prepared statement.
    pub fn execute(&self, statement: &Statement, parameter: &str) -> Result<u64, Failure> {
        self.wait(self.client.execute(statement, &[&parameter]))
    }
}

/// The server's host, without the brackets of an address.
pub fn host(server: &Server) -> &str {
    server.host.trim_start_matches('[').trim_end_matches(']')
}

/// Where the server is, every address checked by the guard.
pub async fn addresses(server: &Server) -> Result<Vec<SocketAddr>, Failure> {
    let addresses = tokio::net::lookup_host((host(server), server.port)).await;
    let addresses: Vec<SocketAddr> = addresses.map_err(Failure::Io)?.collect();
    for address in &addresses {
        let refused = Policy::OWN.check(address.ip());
        refused.map_err(|refused| Failure::Refused(format!("'url' is refused: {refused}")))?;
    }
    Ok(addresses)
}

async fn connect(server: &Server, tls: Option<ClientConfig>) -> Result<Client, Failure> {
    let mut config = Config::new();
    for address in addresses(server).await? {
        config.host(host(server)).hostaddr(address.ip());
    }
    config
        .port(server.port)
        .dbname(&server.database)
        .user(&server.user)
        .application_name("tidemill")
        .tcp_user_timeout(server.timeout);
    if let Some(password) = &server.password {
        config.password(password.value());
    }
    let Some(tls) = tls else {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect(NoTls).await.map_err(Failure::Postgres)?;
        tokio::spawn(connection);
        return Ok(client);
    };
    config.ssl_mode(SslMode::Require);
    let connecting = config.connect(MakeRustlsConnect::new(tls));
    let (client, connection) = connecting.await.map_err(Failure::Postgres)?;
    tokio::spawn(connection);
    Ok(client)
}

/// What holds for the session. A transaction whose client is gone must not hold its locks for ever; and where the server would say that
/// something is committed before it is on its disk, it is told not to.
fn settings(statement: Duration) -> String {
    let ms = statement.as_millis();
    format!(
        "SET TimeZone = 'UTC'; SET statement_timeout = {ms}; SET lock_timeout = {ms}; \
         SET idle_in_transaction_session_timeout = {ms}; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')"
    )
}
