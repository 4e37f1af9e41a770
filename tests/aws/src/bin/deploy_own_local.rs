//! Deploys a projection of one's own beside the stack of `just deploy-local`: `just deploy-own-local`, which builds the
//! function. It takes the function's program, its template, and parameters of that (`NAME=VALUE`).

use std::env;
use std::path::PathBuf;

use ees_test_aws::{Account, Stack};

#[tokio::main]
async fn main() -> Result<(), String> {
    let given = |name: &str| {
        let missing = format!("{name} is not set: paste the lines that `just deploy-local` has printed");
        env::var(name).map_err(|_| missing)
    };
    let mut arguments = env::args().skip(1);
    let mut path = || arguments.next().map(PathBuf::from);
    let (Some(program), Some(template)) = (path(), path()) else {
        return Err("give the program of the projection and its template".to_owned());
    };
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
    eprintln!("deploying ...");
    let own = Stack::own_of(&account, template, program, parameters).await;
    println!("export OWN_URL='{}'", own.url());
    if let Some(table) = own.outputs().get("ReadModels") {
        println!("export OWN_READ_MODELS='{table}'");
    }
    println!("# ees projections list --url \"$OWN_URL\"");
    println!("# ees console --url \"$EES_URL\" --url \"$OWN_URL\"");
    println!("# aws logs tail /aws/lambda/own-projection");
    Ok(())
}
