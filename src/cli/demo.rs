use super::Failure;
use super::serve::{serve, start_log};
use crate::app;
use crate::auth::{Claims, Role, Secret, mint};
use crate::clock::Clock;
use crate::demo;
use std::net::SocketAddr;

/// `teawire demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The same number gives the same market.
    #[arg(long, default_value_t = 7542)]
    seed: u64,
}

/// Runs the service on a market that is alive.
pub fn run(settings: &super::Settings, args: &Args) -> Result<(), Failure> {
    let config = settings.load()?;
    let _log = start_log(&config)?;
    let db = app::open_database(&config, true)?;
    let secret = Secret::load(&config.auth, db.url())?;
    let exp = (Clock::System.now() / 1000).unsigned_abs() + 7 * 86_400;
    let claims = Claims {
        sub: "demo".to_owned(),
        role: Role::Admin,
        merchant: None,
        exp,
        nbf: None,
        topics: None,
    };
    let token = mint(&secret, &claims)?;
    let seed = args.seed;
    serve(&config, db, move |service| {
        let (publisher, db, address) =
            (service.publisher.clone(), service.db.clone(), service.address);
        async move {
            match demo::stock_up(&publisher).await {
                Ok(new) => tracing::info!(new, "the catalogue is there"),
                Err(err) => {
                    tracing::error!(error = crate::tasks::chain(&err), "no catalogue");
                    return;
                }
            }
            println!("{}", invitation(address, &token));
            demo::run(publisher, db, seed).await;
        }
    })
}

fn invitation(address: SocketAddr, token: &str) -> String {
    let url = format!("http://{address}");
    format!(
        "
打开页面 / open the page:   {url}/

看实时价格 / watch prices:
  curl -N '{url}/v1/stream?topic=price/*'
长轮询 / long-poll:
  curl '{url}/v1/poll?topic=price/*&cursor=earliest&limit=3'
查商品 / look at a product:
  curl {url}/v1/products/longjing-mingqian-tj-2026
改价 / set a price (the page shows it at once):
  curl -X PUT '{url}/v1/products/longjing-mingqian-tj-2026/price?confirm=true' -H 'Authorization: Bearer {token}' -d price=1888.00
改库存 / change stock:
  curl {url}/v1/products/longjing-mingqian-tj-2026/stock -H 'Authorization: Bearer {token}' -d delta=-500

数据在当前目录的 teawire.db；Ctrl-C 结束。 Data is in ./teawire.db; Ctrl-C ends it.
"
    )
}
