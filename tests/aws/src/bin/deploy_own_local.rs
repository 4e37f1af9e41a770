//! Deploys a projection of one's own beside the stack of `just deploy-local`: `just deploy-own-local`. It takes the
//! folder of the projection, and parameters of its template (`NAME=VALUE`).

use std::env;
use std::path::Path;

use ees_test_aws::{Account, Stack};

#[tokio::main]
async fn main() -> Result<(), String> {
    let given = |name: &str| {
        let missing = format!("{name} is not set: paste the lines that `just deploy-local` has printed");
        env::var(name).map_err(|_| missing)
    };
    let mut arguments = env::args().skip(1);
    let folder = arguments.next().ok_or("give the folder of the projection")?;
    let (account, key) = (Account::of(&given("AWS_ENDPOINT_URL")?), given("EES_API_KEY")?);
    let mut parameters = vec![
        format!("ChangesetsTopic={}", given("CHANGESETS_TOPIC")?),
        format!("Table={}", given("TABLE")?),
        "Authorization=bearer".to_owned(),
        format!("ApiKeys={key}"),
    ];
    let others: Vec<_> = arguments.collect();
    if !others.iter().any(|other| other.starts_with("DatabaseUrl=")) {
        parameters.push("Database=dynamodb".to_owned());
    }
    parameters.extend(others);
    eprintln!("building the function, deploying ...");
    let own = Stack::of_folder(&account, Path::new(&folder), parameters).await;
    println!("export OWN_URL='{}'", own.url());
    if let Some(table) = own.outputs().get("ReadModels") {
        println!("export OWN_READ_MODELS='{table}'");
    }
    println!("# ees projections list --url \"$OWN_URL\"");
    println!("# ees console --url \"$EES_URL\" --url \"$OWN_URL\"");
    println!("# aws logs tail /aws/lambda/own-projection");
    Ok(())
}
