//! Runs the whole stack on this machine until it is interrupted: `just deploy-local`, which builds the functions and the
//! command beside it.

use ees_test_aws::{Account, Stack};

/// The API key that callers send. The emulator can't tell who signed a request.
const KEY: &str = "local";

#[tokio::main]
async fn main() -> std::io::Result<()> {
    eprintln!("starting the local AWS, deploying ...");
    let program = std::env::current_exe()?;
    let account = Account::of_everybody().await;
    let stack = Stack::event_store_of(&account, program.with_file_name("bootstrap"), KEY).await;
    print!("{}", stack.shell_lines(KEY));
    println!("# just deploy-own-local                 (a projection of your own beside it)");
    if let Some(folder) = program.parent() {
        println!("export PATH='{}':\"$PATH\"", folder.display());
    }
    eprintln!("it stays up until you press Ctrl-C; paste the lines above into another terminal");
    tokio::signal::ctrl_c().await
}
