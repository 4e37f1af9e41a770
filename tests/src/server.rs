//! Runs `ees serve` as a process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::command::ees;

/// A process that is killed when this is dropped.
pub struct Killed(pub Child);

impl Killed {
    /// Asks the process to end (SIGTERM).
    ///
    /// # Panics
    /// When it has ended already.
    pub fn ask_to_end(&self) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
    }

    /// Interrupts the process (SIGINT), as Ctrl-C does.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn interrupt(&self) {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
    }

    /// Asks the process to read its files again (SIGHUP).
    ///
    /// # Panics
    /// When it has ended already.
    pub fn reload(&self) {
        kill_process(Pid::from_child(&self.0), Signal::HUP).unwrap();
    }

    /// Freezes the process (SIGSTOP): it keeps its locks and connections, and does not answer.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn freeze(&self) {
        kill_process(Pid::from_child(&self.0), Signal::STOP).unwrap();
    }

    /// Continues a frozen process (SIGCONT).
    ///
    /// # Panics
    /// When it has ended already.
    pub fn thaw(&self) {
        kill_process(Pid::from_child(&self.0), Signal::CONT).unwrap();
    }

    /// Asks the process to end, and waits until it has.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.0.wait().unwrap()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server on a data folder and a port of its own, killed when this is dropped.
pub struct Server {
    process: Killed,
    data: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    port: u16,
}

impl Server {
    /// Starts a server and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start(data: impl AsRef<Path>) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts a server with more arguments.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_with(data: impl AsRef<Path>, arguments: &[&str]) -> Self {
        Self::start_in(data, arguments, &[])
    }

    /// Starts a server with more arguments and environment variables. Commands that use this server get the
    /// variables too.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_in(data: impl AsRef<Path>, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let data = data.as_ref().to_owned();
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let variable = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(variable).collect();
        // The port is fixed from now on, so that clients find the server again after a restart.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = served(&data, port, &arguments, &environment);
        Self { process, data, arguments, environment, port }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process id. It changes with each start.
    pub fn process(&self) -> &Killed {
        &self.process
    }

    /// The `ees` command, set up to use this server.
    pub fn ees(&self, arguments: &[&str]) -> Command {
        let mut command = ees(arguments);
        command.env("EES_URL", self.url()).envs(self.environment.iter().cloned());
        command
    }

    /// Asks the server to end (SIGTERM), and waits until it has.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.terminate()
    }

    /// Starts a new process with the same data and port.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_again(&mut self) {
        self.process = served(&self.data, self.port, &self.arguments, &self.environment);
    }

    /// Kills the process (SIGKILL).
    ///
    /// # Panics
    /// When it can't be killed.
    pub fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Kills the process (SIGKILL), then starts a new one with the same data and port.
    ///
    /// # Panics
    /// When the new process does not answer.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// The JSON at a path.
    ///
    /// # Panics
    /// When there is no such answer.
    pub fn get_json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get_text(path)).unwrap()
    }

    /// The body of the answer at a path.
    ///
    /// # Panics
    /// When there is no such answer.
    pub fn get_text(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        body.to_owned()
    }
}

/// What `ees serve` ends with when its store can't be reached.
const UNAVAILABLE: i32 = 6;

/// Starts a server. Where its store can't be reached, again, as a supervisor does.
fn served(data: &Path, port: u16, arguments: &[String], environment: &[(String, String)]) -> Killed {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match serve(data, port, arguments, environment) {
            Ok(process) => return process,
            Err(ended) => {
                let is_away = ended.code() == Some(UNAVAILABLE) && Instant::now() < deadline;
                assert!(is_away, "the server does not listen: {ended}");
            }
        }
    }
}

fn serve(
    data: &Path,
    port: u16,
    arguments: &[String],
    environment: &[(String, String)],
) -> Result<Killed, ExitStatus> {
    let mut command = ees(&["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"]);
    command.arg(data).args(arguments).envs(environment.iter().cloned());
    command.env("EES_LOG", "error").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Killed(command.spawn().unwrap());
    let mut output = BufReader::new(process.0.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    if line.is_empty() {
        return Err(process.0.wait().unwrap());
    }
    assert_eq!(line.trim_end(), format!("listening on http://127.0.0.1:{port}"));
    Ok(process)
}
