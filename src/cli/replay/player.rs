//! Sends a plan, one write after the other, each when it is due.

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::file::Shape;
use super::pace::{Pace, Progress};
use super::plan::{Dirt, Plan, Step, Write};
use super::report::{Expected, Report};
use super::{Error, ReplayArgs};
use crate::cli::client::{Answer, Client, Patience, encoded};

/// What the service answers to a write, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default)]
    changed: bool,
    quantity: Option<i64>,
    receipt: Option<Receipt>,
}

#[derive(Debug, Deserialize)]
struct Receipt {
    id: String,
}

/// One run over one plan.
pub struct Player<'a> {
    /// How.
    pub args: &'a ReplayArgs,
    /// Where to.
    pub client: Client,
    /// What its idempotency keys begin with.
    pub run: String,
    /// What became of it.
    pub report: Report,
    /// How far it is.
    pub progress: Progress,
}

impl Player<'_> {
    /// Sends the plan; ends early only for what concerns every write.
    pub fn play(&mut self, plan: &Plan) -> Result<(), Error> {
        let listed = self.list_products(plan)?;
        let mut dirt = plan.dirt.iter().peekable();
        let mut pace = Pace::new(self.args.speed);
        for step in &plan.steps {
            while let Some(found) = dirt.next_if(|it| it.line <= step.line) {
                self.report.found(found)?;
            }
            let wait = pace.until(step.at);
            self.progress.wait(wait, self.report.rows, step.at);
            if listed[step.product] {
                self.write(plan, step)?;
            } else {
                let mut dirt = found(step, &plan.products[step.product].id);
                dirt.reason = "product_not_listed".into();
                self.report.found(&dirt)?;
            }
            self.report.rows = step.row;
            self.progress.at(step.row, step.at);
        }
        for found in dirt {
            self.report.found(found)?;
        }
        self.report.rows = plan.rows;
        Ok(())
    }

    /// Lists what is not there yet; says which products can be written to.
    fn list_products(&mut self, plan: &Plan) -> Result<Vec<bool>, Error> {
        let mut listed = Vec::with_capacity(plan.products.len());
        let mut refusal = None;
        let market = match &self.args.market {
            _ if plan.products.is_empty() => return Ok(listed),
            Some(market) => market.clone(),
            None => self.first_market()?,
        };
        for product in &plan.products {
            let mut body = json!({
                "id": product.id,
                "name": product.name,
                "category": self.args.category,
                "market": market,
            });
            if let Some(merchant) = &self.args.merchant {
                body["merchant"] = json!(merchant);
            }
            let more = match plan.shape {
                Shape::Wide => json!({"unit": "kg"}),
                Shape::Movements => json!({
                    "unit": "piece", "grams_per_unit": 100, "stock": self.args.opening_stock,
                }),
            };
            if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
                body.extend(more);
            }
            let key = format!("{}-{}-{}", self.run, product.line, product.id);
            let answer = self.send(&Method::POST, "/v1/products", &body, &key)?;
            if answer.is_good() {
                let written: Written = answer.json()?;
                self.report.created += 1;
                let (kind, id) = ("product.arrived", product.id.as_str());
                let expected = Expected { kind, product: id, price: None, quantity: None };
                self.report.became(&expected, written.receipt.map(|it| it.id))?;
            } else if answer.status == 409 {
                self.report.existing += 1;
            } else {
                let problem = answer.problem();
                let (line, value) = (product.line, product.id.clone());
                let (column, detail) = ("product".to_owned(), String::new());
                let dirt = Dirt { line, reason: "".into(), column, value, detail };
                self.report.refused(dirt, &problem)?;
                refusal = Some(problem);
                listed.push(false);
                continue;
            }
            listed.push(true);
        }
        match refusal {
            Some(problem) if !listed.contains(&true) => Err(Error::NoProduct(problem)),
            _ => Ok(listed),
        }
    }

    fn first_market(&mut self) -> Result<String, Error> {
        let progress = &self.progress;
        let mut say = |text: &str| progress.say(text);
        let mut patience = Patience { limit: self.args.patience, say: &mut say };
        let told: Value = self.client.get("/v1/markets", &mut patience)?.good()?;
        told["markets"][0]["id"].as_str().map(str::to_owned).ok_or(Error::NoMarket)
    }

    fn write(&mut self, plan: &Plan, step: &Step) -> Result<(), Error> {
        let id = plan.products[step.product].id.as_str();
        let (method, path, body) = match &step.write {
            Write::Price(price) => {
                // A file of fifty years has its jumps, and they are meant.
                let path = format!("/v1/products/{}/price?confirm=true", encoded(id));
                (Method::PUT, path, json!({"price": price}))
            }
            Write::Stock(delta) => {
                let path = format!("/v1/products/{}/stock", encoded(id));
                (Method::POST, path, json!({"delta": delta}))
            }
        };
        let key = format!("{}-{}-{}", self.run, step.line, step.column);
        let answer = self.send(&method, &path, &body, &key)?;
        if !answer.is_good() {
            return Ok(self.report.refused(found(step, id), &answer.problem())?);
        }
        let written: Written = answer.json()?;
        let expected = match &step.write {
            Write::Price(price) => {
                self.report.prices.count(written.changed);
                let (kind, price) = ("price.changed", Some(price.as_str()));
                Expected { kind, product: id, price, quantity: None }
            }
            Write::Stock(_) => {
                self.report.stock.count(written.changed);
                let (kind, quantity) = ("stock.changed", written.quantity);
                Expected { kind, product: id, price: None, quantity }
            }
        };
        if written.changed {
            self.report.became(&expected, written.receipt.map(|it| it.id))?;
        }
        Ok(())
    }

    /// An answer about this one write; whatever concerns all of them ends the run.
    fn send(
        &mut self,
        method: &Method,
        path: &str,
        body: &Value,
        key: &str,
    ) -> Result<Answer, Error> {
        let progress = &self.progress;
        let mut say = |text: &str| progress.say(text);
        let mut patience = Patience { limit: self.args.patience, say: &mut say };
        let body = body.to_string();
        let content = ("application/json", body.as_bytes());
        let answer = self.client.write(method, path, content, key, &mut patience)?;
        self.report.replayed += u64::from(answer.replayed);
        let about_this = answer.is_good() || (400..500).contains(&answer.status);
        if !about_this || answer.status == 401 || answer.is_passing() {
            return Err(answer.refusal().into());
        }
        Ok(answer)
    }
}

/// A write as a finding; the reason is still to be said.
fn found(step: &Step, product: &str) -> Dirt {
    let value = match &step.write {
        Write::Price(price) => format!("{product} = {price}"),
        Write::Stock(delta) => format!("{product} {delta:+}"),
    };
    let column = match &step.write {
        Write::Price(_) => "price",
        Write::Stock(_) => "stock",
    };
    Dirt {
        line: step.line,
        reason: "".into(),
        column: column.to_owned(),
        value,
        detail: "not sent".to_owned(),
    }
}
