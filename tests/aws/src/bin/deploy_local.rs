//! Runs the whole stack on this machine until it is interrupted: `just deploy-local`.

use ees_test_aws::{Account, Stack};

/// The API key that callers send. The emulator can't tell who signed a request.
const KEY: &str = "local";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    eprintln!("starting the local AWS, building the functions, deploying ...");
    let account = Account::of_everybody().await;
    let stack = Stack::event_store_with_key(&account, KEY).await;
    print!("{}", stack.shell_lines(KEY));
    println!("# just deploy-own-local                 (a projection of your own beside it)");
    // The command that was built with the functions, which has all features.
    let command = ees_test_shared::binary("ees");
    if let Some(folder) = command.parent() {
        println!("export PATH='{}':\"$PATH\"", folder.display());
    }
    eprintln!("it stays up until you press Ctrl-C; paste the lines above into another terminal");
    tokio::signal::ctrl_c().await
}
