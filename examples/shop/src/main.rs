//! The shop as a server, or as a function when AWS Lambda starts it.

use clap::Parser;
use shop::Failure;
use shop::assembly::Shop;
use shop::front::Front;
use shop::place::Place;
use shop::sold_out::Webhook;

/// A shop: POST /products/NAME/restock and /reserve, GET /products, /products/NAME and /products/NAME/events
#[derive(Parser)]
struct Arguments {
    /// The address for customers
    #[arg(long, env = "SHOP_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,
    /// The address for operators: the log, the read model and the reactors (`ees projections --url
    /// http://...`). Keep it private
    #[arg(long, env = "SHOP_OPERATORS", default_value = "127.0.0.1:7070")]
    operators: String,
    /// Where the data is kept: sqlite:FILE, postgres://USER:PASSWORD@HOST/DATABASE or
    /// dynamodb://TABLE?region=REGION
    #[arg(long, env = "SHOP_STORE", default_value = "sqlite:shop-data/log.db", hide_env_values = true)]
    store: String,
    /// The webhook to call when a product is sold out. Default: none
    #[arg(long, env = "SHOP_WEBHOOK", value_name = "URL")]
    webhook: Option<String>,
    /// The secret that signs the webhook's calls
    #[arg(long, env = "SHOP_WEBHOOK_SECRET", hide_env_values = true, requires = "webhook")]
    webhook_secret: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt::init();
    let Arguments { listen, operators, store, webhook, webhook_secret: secret } = Arguments::parse();
    let webhook = webhook.map(|url| Webhook { url, secret });
    let shop = Shop::new(store.parse::<Place>()?.open().await?, webhook);
    #[cfg(feature = "lambda")]
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        return shop::lambda::serve(shop, &std::env::var("_HANDLER")?).await;
    }
    let front = Front::listen(&listen, &operators).await?;
    let (customers, operators) = front.addresses()?;
    println!("the shop is open at http://{customers}");
    println!("operators find it at http://{operators}");
    front.serve(&shop).await
}
