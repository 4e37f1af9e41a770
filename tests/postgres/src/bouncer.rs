//! pgbouncer in front of a server.

use std::fs::{self, File};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ees_test_shared::server::free_port;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::account::Account;
use crate::cluster::{PATIENCE, new_folder};
use crate::unblocked;

/// pgbouncer in the mode that many use: it assigns connections to the server for one transaction at a time.
/// So nothing that belongs to a session (advisory locks, `LISTEN`, `SET`, prepared statements by name) works.
///
/// It ends when this is dropped or when the process dies.
pub struct Bouncer {
    keeper: Child,
    url: String,
}

/// Ends pgbouncer and removes its folder when the other end of the standard input is closed.
const KEEPER: &str = "folder=$1; shift; \"$@\" & cat >/dev/null; kill -KILL $!; rm -rf \"$folder\"";

impl Bouncer {
    /// Starts a pgbouncer in front of the server with this URL. Returns `None`, with a message on standard
    /// error, if the machine has no `pgbouncer`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(url: &str) -> Option<Self> {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        unblocked(move || start(url)).await
    }

    /// The same database of the same server, through pgbouncer.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // Closes the keeper's standard input first, so that it cleans up.
        let _ = self.keeper.wait();
    }
}

fn start(mut url: Url) -> Option<Bouncer> {
    let Some(program) = program() else {
        eprintln!("skipped: there is no pgbouncer (`apt-get install pgbouncer`)");
        return None;
    };
    let account = Account::find();
    let folder = new_folder(account);
    let port = free_port();
    let settings = folder.join("pgbouncer.ini");
    fs::write(&settings, configuration(&url, port)).expect("it is our folder");
    account.own(&settings);

    let path_of_log = folder.join("log");
    let log = File::create(&path_of_log).expect("it is our folder");
    let mut keeper = Command::new("sh");
    keeper.args(["-c", KEEPER, "keeper"]).arg(&folder).args(account.prefix()).arg(program).arg(&settings);
    keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
    let keeper = keeper.spawn().expect("sh runs");

    url.set_host(Some("127.0.0.1")).expect("a PostgreSQL address has a host");
    url.set_port(Some(port)).expect("a PostgreSQL address has a port");
    let bouncer = Bouncer { keeper, url: url.into() };
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = || fs::read_to_string(&path_of_log).unwrap_or_default();
        assert!(Instant::now() < deadline, "pgbouncer does not start: {}", log());
        sleep(Duration::from_millis(10));
    }
    Some(bouncer)
}

fn program() -> Option<PathBuf> {
    // Debian installs it in a folder that only root's path contains.
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&paths).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("pgbouncer")).find(|program| program.is_file())
}

/// sqlx sends `extra_float_digits` with each connection, and pgbouncer doesn't know it.
fn configuration(url: &Url, port: u16) -> String {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().replace('\'', "''");
    let host = decoded(url.host_str().unwrap_or("127.0.0.1"));
    let upstream_port = url.port().unwrap_or(5432);
    let user = decoded(url.username());
    // An empty password is a syntax error for pgbouncer.
    let password = url.password().map(|text| format!(" password='{}'", decoded(text))).unwrap_or_default();
    format!(
        "[databases]\n\
         * = host='{host}' port={upstream_port} user='{user}'{password}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = any\n\
         pool_mode = transaction\n\
         max_client_conn = 1000\n\
         default_pool_size = 10\n\
         ignore_startup_parameters = extra_float_digits\n"
    )
}
