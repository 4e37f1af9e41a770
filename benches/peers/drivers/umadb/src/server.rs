//! The server: this program again, in a process of its own.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use peers_workload::Task;
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_server::{ServerOptions, StorageOptions};

pub(crate) const COMMAND: &str = "server";
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Serves until its standard input ends: when the driver does, even if that was killed.
pub(crate) async fn run(file: &str, address: &str) {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        // Nobody writes to it.
        let _ = io::stdin().read(&mut [0]);
        stop.send(())
    });
    let storage = StorageOptions::default().db_path(file);
    let options = ServerOptions { listen_addr: address.to_owned(), tls: None, api_key: None, storage };
    umadb_server::start_server_with_options(options, stopped).await.unwrap();
}

pub(crate) struct Server {
    process: Child,
    address: String,
}

impl Server {
    pub(crate) async fn start(task: &Task) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(COMMAND).arg(task.folder.join("uma.db")).arg(&address);
        let process = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let server = Self { process, address };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&server.address).is_err() {
            assert!(Instant::now() < deadline, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server
    }

    pub(crate) async fn connect(&self) -> AsyncUmaDbClient {
        UmaDbClient::new(format!("http://{}", self.address)).connect_async().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it has ended by itself, all is well too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
