use super::{Heading, Product};
use crate::events::{Fact, Topic};
use serde::Serialize;
use serde_json::Value;

/// A product was listed for the first time.
#[derive(Serialize)]
#[serde(transparent)]
pub struct ProductArrived {
    product: Value,
    #[serde(skip)]
    id: String,
}

impl ProductArrived {
    /// Of `product` as it now is.
    pub fn new(product: &Product) -> ProductArrived {
        ProductArrived { product: product.json(None), id: product.id.clone() }
    }
}

impl Fact for ProductArrived {
    fn kind(&self) -> &'static str {
        "product.arrived"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::arrivals(), Topic::product(&self.id)]
    }
}

/// A product's description was replaced.
#[derive(Serialize)]
#[serde(transparent)]
pub struct ProductUpdated {
    product: Value,
    #[serde(skip)]
    id: String,
}

impl ProductUpdated {
    /// Of `product` as it now is.
    pub fn new(product: &Product, answered: Value) -> ProductUpdated {
        ProductUpdated { product: answered, id: product.id.clone() }
    }
}

impl Fact for ProductUpdated {
    fn kind(&self) -> &'static str {
        "product.updated"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::product(&self.id)]
    }
}

/// A product is offered no more.
#[derive(Serialize)]
#[serde(transparent)]
pub struct ProductWithdrawn(pub Heading);

impl Fact for ProductWithdrawn {
    fn kind(&self) -> &'static str {
        "product.withdrawn"
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::product(&self.0.product)]
    }
}
