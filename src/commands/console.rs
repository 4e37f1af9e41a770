//! `ees console`: the console of servers elsewhere, on this machine.

use clap::Args;
use ees_store::http::{RemoteConsole, Server};
use serde::Serialize;

use crate::banner::BannerOptions;
use crate::exit::{Failure, Outcome};
use crate::output::Output;
use crate::remote::Credentials;
use crate::signals;

const EXAMPLES: &str = "\
Examples:
  ees console --url https://events.example.com
  ees console --url https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1 --console-name PRODUCTION
  ees console --url http://store:7070 --url http://projector-1:7071 --url http://projector-2:7071";

/// Open the console of servers elsewhere, on this machine
///
/// Prints the address of a page that shows these servers, and operates them with the API key or the AWS credentials of
/// this command. The page is on this machine only, and the address holds a key that is made at each start: give it
/// to nobody. Runs until Ctrl-C.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The URL of a server. Repeat the flag for several: the page shows the log and the streams of the first, and the
    /// projections of all
    #[arg(
        long = "url",
        env = "EES_URL",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7070"
    )]
    urls: Vec<String>,
    #[command(flatten)]
    credentials: Credentials,
    /// The port of 127.0.0.1 to listen on. With port 0, the system chooses a port
    #[arg(long, env = "EES_CONSOLE_PORT", value_name = "PORT", default_value_t = 0)]
    port: u16,
    #[command(flatten)]
    banner: BannerOptions,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Started {
    console: String,
    servers: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Outcome {
    let Arguments { urls, credentials, port, banner } = arguments;
    let banner = banner.banner()?;
    let mut clients = Vec::new();
    for url in &urls {
        clients.push(credentials.client(url).await?);
    }
    let servers: Vec<_> = clients.iter().map(|client| client.url().to_owned()).collect();
    let console = RemoteConsole::before(clients);
    let console = match banner {
        Some(banner) => console.with_banner(banner),
        None => console,
    };
    let stop_requested = signals::listen()?;
    let server = Server::bind(("127.0.0.1", port)).await.map_err(|error| {
        Failure::other(format!("cannot listen on port {port}: {error}"))
            .with_hint("choose another one with --port, or leave it out")
    })?;
    let address = server.local_addr().map_err(Failure::other)?;
    let address = format!("http://{address}{}", console.path());
    let told = format!("console of {}: {address}", servers.join(", "));
    output.either(&Started { console: address, servers }, told)?;
    output.flush()?;
    server.serve(console.router(), stop_requested).await;
    Ok(())
}
