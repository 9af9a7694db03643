//! A `PgBouncer` before a Postgres server of a test's own, which gives each transaction another of its few connections.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use super::folder::Folder;
use super::port::free_port;
use super::postgres::{Postgres, as_server, give_to_server, psql};
use super::wait::eventually;

/// A `PgBouncer` that answers, in transaction mode, with so many connections to the server.
pub async fn pgbouncer(server: &Postgres, connections: usize) -> PgBouncer {
    let folder = Folder::new();
    let port = free_port();
    let (server, file) = (server.port(), folder.path().join("pgbouncer.ini"));
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = any\npool_mode = transaction\nserver_round_robin = 1\nmax_client_conn = 500\n\
         default_pool_size = {connections}\n"
    );
    fs::write(&file, text).unwrap();
    give_to_server(folder.path());
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut command = as_server(program());
    command.arg(&file).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut bouncer = PgBouncer { child: command.spawn().unwrap(), port, folder };
    eventually("a PgBouncer that answers", async || {
        assert!(bouncer.child.try_wait().unwrap().is_none(), "it ended at once:\n{}", bouncer.log());
        psql(port, "ledger").args(["-c", "SELECT 1"]).output().unwrap().status.success()
    })
    .await;
    bouncer
}

/// A running `PgBouncer`; it ends with the test.
pub struct PgBouncer {
    child: Child,
    port: u16,
    folder: Folder,
}

impl PgBouncer {
    /// The address of the server's database by way of it, for the YAML.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/ledger", self.port)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("what the PgBouncer said:\n{}", self.log());
        }
    }
}

/// Debian keeps it where servers are, which need not be on the path.
fn program() -> PathBuf {
    let installed = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].map(PathBuf::from);
    installed.into_iter().find(|path| path.exists()).expect("PgBouncer is not installed")
}
