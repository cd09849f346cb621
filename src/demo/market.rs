//! A tea market that never closes: what the demo's merchants do next.
//!
//! It decides and touches nothing; whoever drives it carries each action out.
//! The same seed tells the same story, so what the demo showed once can be
//! shown again.

use std::time::Duration;

use super::dice::Dice;
use super::seed::SeedProduct;
use super::words::{ANNOUNCEMENTS, CAME_BACK, FALLING, RESTOCKED, RISING, SOLD, STEADY, TALK};

/// What somebody on the market does.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The fields are those of the calls they become.
pub enum Action {
    /// A new price, never the old one.
    Price { product: String, fen: i64 },
    /// Something is sold, comes back or is counted again.
    Stock { product: String, delta: i64, note: &'static str },
    /// A shelf that ran low is filled.
    Restock { product: String, delta: i64, note: &'static str },
    /// A clearance at `fen`, below the price, over after `minutes`.
    Clearance { product: String, fen: i64, minutes: u32 },
    /// A clearance is called off early.
    EndClearance { product: String },
    /// News from a market, with or without figures.
    Update {
        market: String,
        title: String,
        body: String,
        average_fen_per_kg: Option<i64>,
        index_hundredths: Option<i64>,
        volume_kg: Option<i64>,
    },
    /// The operator speaks to everybody.
    Announcement { text: String },
}

/// How far a price strays from where it began before it turns round. The two
/// together stay below the 50 % that a single move would have to confirm, so
/// a demo started again on its old database is not refused.
const FAR: (f64, f64) = (0.86, 1.18);
/// Of ten thousand actions: prices, then stock, market news, clearances,
/// their early ends; the rest are announcements.
const SHARES: [u64; 5] = [5700, 3970, 170, 80, 60];
/// No price and no stock is larger: 10^12, the service's own limit for a price.
const MOST: i64 = 1_000_000_000_000;
const OPEN_CLEARANCES: usize = 5;
const CLEARANCE_MINUTES: [u32; 6] = [2, 3, 5, 8, 10, 15];

/// The demo's market.
pub struct Market {
    dice: Dice,
    shelves: Vec<Shelf>,
    /// Products of each category, and how it feels about them: -1 falling, 1 rising.
    categories: Vec<(Vec<usize>, f64)>,
    /// Id, products, kilograms on a usual day.
    places: Vec<(String, Vec<usize>, i64)>,
    /// The category everybody is busy with, and for how many more actions.
    rush: (usize, u32),
    /// What is on clearance, and when that is over by `clock`.
    cleared: Vec<(usize, Duration)>,
    /// The sum of all pauses.
    clock: Duration,
}

/// A product as the market sees it.
struct Shelf {
    id: String,
    tea: String,
    category: usize,
    grams: i64,
    /// Where the price began, and is drawn back to.
    home: i64,
    fen: i64,
    stock: i64,
    full: i64,
    step: i64,
}

impl Market {
    /// A market for these products. One without a price or a stock stays out.
    pub fn new(seed: u64, products: &[SeedProduct]) -> Market {
        let mut dice = Dice(seed);
        let (mut shelves, mut categories, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let (mut category_ids, mut place_ids) = (Vec::new(), Vec::new());
        for product in products {
            let (Some(fen), Some(stock)) = (product.price_fen(), product.stock) else { continue };
            let category = index_of(&mut category_ids, &product.category);
            if category == categories.len() {
                categories.push((Vec::new(), dice.lean() * 0.6));
            }
            let place = index_of(&mut place_ids, &product.market);
            if place == places.len() {
                places.push((product.market.clone(), Vec::new(), dice.between(1_500, 12_000)));
            }
            categories[category].0.push(shelves.len());
            if product.category != "other" {
                places[place].1.push(shelves.len());
            }
            let tea = [
                product.brand.as_deref(),
                product.recipe.as_deref().or(product.variety.as_deref()),
            ];
            shelves.push(Shelf {
                id: product.id.clone(),
                tea: tea.into_iter().flatten().collect(),
                category,
                grams: product.grams().max(1),
                home: fen.max(1),
                fen: fen.max(1),
                stock: stock.max(0),
                full: stock.max(product.stock_step() * 8),
                step: product.stock_step().max(1),
            });
        }
        places.retain(|(_, products, _)| !products.is_empty());
        Market {
            dice,
            shelves,
            categories,
            places,
            rush: (0, 0),
            cleared: Vec::new(),
            clock: Duration::ZERO,
        }
    }

    /// What happens next.
    #[allow(clippy::should_implement_trait)] // There is always a next one.
    pub fn next(&mut self) -> Action {
        if self.shelves.is_empty() {
            return self.announce();
        }
        let clock = self.clock;
        self.cleared.retain(|(_, ends)| *ends > clock);
        match self.rush.1.checked_sub(1) {
            Some(left) => self.rush.1 = left,
            None if self.dice.chance(6) => {
                self.rush =
                    (self.dice.below(self.categories.len()), self.dice.between(4, 10) as u32);
            }
            None => {}
        }
        let mut roll = self.dice.below(10_000) as u64;
        let kind = SHARES.iter().position(|share| {
            let hit = roll < *share;
            roll = roll.saturating_sub(*share);
            hit
        });
        match kind {
            Some(1) => self.trade(),
            Some(2) if !self.places.is_empty() => self.report(),
            Some(3) if self.cleared.len() < OPEN_CLEARANCES => {
                self.clear().unwrap_or_else(|| self.trade())
            }
            Some(4) if !self.cleared.is_empty() => {
                let (shelf, _) = self.cleared.swap_remove(self.dice.below(self.cleared.len()));
                Action::EndClearance { product: self.shelves[shelf].id.clone() }
            }
            None => self.announce(),
            Some(_) => self.reprice(),
        }
    }

    /// How long until then: 400 ms on the whole, much less in a rush.
    pub fn pause(&mut self) -> Duration {
        let millis =
            if self.rush.1 > 0 { self.dice.between(50, 190) } else { self.dice.between(240, 800) };
        let pause = Duration::from_millis(millis.unsigned_abs());
        self.clock += pause;
        pause
    }

    /// Corrects the market's view of a product: somebody else may have set
    /// its price or sold it out. Prices still drift back to where they began.
    pub fn saw(&mut self, product: &str, fen: Option<i64>, stock: Option<i64>) {
        if let Some(shelf) = self.shelves.iter_mut().find(|shelf| shelf.id == product) {
            shelf.fen = fen.unwrap_or(shelf.fen).clamp(1, MOST);
            shelf.stock = stock.unwrap_or(shelf.stock).clamp(0, MOST);
        }
    }

    /// Whose turn it is. The first product of each category is what people
    /// look at, so it gets more than its share.
    fn pick(&mut self) -> usize {
        let rush = self.rush.1 > 0 && self.dice.chance(80);
        let category = if rush { self.rush.0 } else { self.dice.below(self.categories.len()) };
        if self.dice.chance(20) {
            self.categories[category].0[0]
        } else if rush {
            self.categories[category].0[self.dice.below(self.categories[category].0.len())]
        } else {
            self.dice.below(self.shelves.len())
        }
    }

    fn reprice(&mut self) -> Action {
        let picked = self.pick();
        let shelf = &mut self.shelves[picked];
        let mood = &mut self.categories[shelf.category].1;
        *mood = (*mood * 0.98 + self.dice.lean() * 0.15).clamp(-1.0, 1.0);

        let stray = shelf.fen as f64 / shelf.home as f64;
        let mut go = self.dice.lean() * 0.02 + *mood * 0.015 + (1.0 - stray) * 0.05;
        if stray < FAR.0 {
            go = go.abs();
        } else if stray > FAR.1 {
            go = -go.abs();
        }
        shelf.fen = moved(shelf.fen, go);
        Action::Price { product: shelf.id.clone(), fen: shelf.fen }
    }

    fn trade(&mut self) -> Action {
        let picked = self.pick();
        let busy = if self.cleared.iter().any(|(shelf, _)| *shelf == picked) { 3 } else { 1 };
        let shelf = &mut self.shelves[picked];
        let left = shelf.stock / shelf.step;
        let low = shelf.stock < shelf.full / 8;
        let product = shelf.id.clone();
        if left == 0 || (low && busy == 1 && self.dice.chance(70)) {
            let missing = (shelf.full - shelf.stock) / shelf.step;
            let delta = self.dice.between((missing * 3 / 5).max(1), missing.max(1)) * shelf.step;
            shelf.stock += delta;
            return Action::Restock { product, delta, note: self.dice.one_of(&RESTOCKED) };
        }
        let many = (shelf.full / shelf.step / 30 * busy).max(busy);
        let (delta, note) = if self.dice.chance(6) && shelf.stock < shelf.full {
            (shelf.step * self.dice.between(1, 2), self.dice.one_of(&CAME_BACK))
        } else {
            let sold = self.dice.between(1, many).min(self.dice.between(1, many)).min(left);
            (-sold * shelf.step, self.dice.one_of(&SOLD))
        };
        shelf.stock += delta;
        Action::Stock { product, delta, note }
    }

    /// None where the price is too low to go lower.
    fn clear(&mut self) -> Option<Action> {
        let picked = self.pick();
        let shelf = &self.shelves[picked];
        let off = self.dice.between(70, 88);
        let grid = step_at(shelf.fen * off / 100);
        let fen = shelf.fen * off / 100 / grid * grid;
        let known = self.cleared.iter().any(|(shelf, _)| *shelf == picked);
        if fen <= 0 || known || shelf.stock < shelf.step {
            return None;
        }
        let minutes = CLEARANCE_MINUTES[self.dice.below(CLEARANCE_MINUTES.len())];
        self.cleared.push((picked, self.clock + Duration::from_secs(u64::from(minutes) * 60)));
        Some(Action::Clearance { product: shelf.id.clone(), fen, minutes })
    }

    fn report(&mut self) -> Action {
        let (market, products, usual) = &self.places[self.dice.below(self.places.len())];
        let mut per_kg: Vec<i64> = products.iter().map(|p| self.shelves[*p].per_kg()).collect();
        per_kg.sort_unstable(); // The middle one: a single old cake would drag an average along.
        let average = per_kg[per_kg.len() / 2] / 10 * 10;
        let drift: f64 = products.iter().map(|p| self.shelves[*p].stray()).sum();
        let index = (drift / products.len() as f64 * 10_000.0).round() as i64;
        let volume = usual * self.dice.between(80, 120) / 1000 * 10;

        let lead = &self.shelves[products[self.dice.below(products.len())]];
        let mood = self.categories[lead.category].1 + self.dice.lean() * 0.15;
        let figures = self.dice.chance(80);
        let (title, why) = match mood {
            _ if !figures => self.dice.one_of(&TALK),
            m if m > 0.15 => self.dice.one_of(&RISING),
            m if m < -0.15 => self.dice.one_of(&FALLING),
            _ => self.dice.one_of(&STEADY),
        };
        let avg = format!("{}.{}", average / 100, average / 10 % 10);
        let fill = |text: &str| {
            text.replace("{tea}", &lead.tea)
                .replace("{avg}", &avg)
                .replace("{vol}", &volume.to_string())
        };
        let body = if figures {
            format!("市场均价 {avg} 元/公斤，成交约 {volume} 公斤。{why}")
        } else {
            why.to_owned()
        };
        Action::Update {
            market: market.clone(),
            title: fill(title),
            body,
            average_fen_per_kg: figures.then_some(average),
            index_hundredths: figures.then_some(index),
            volume_kg: figures.then_some(volume),
        }
    }

    fn announce(&mut self) -> Action {
        Action::Announcement { text: self.dice.one_of(&ANNOUNCEMENTS).to_owned() }
    }
}

impl Shelf {
    fn stray(&self) -> f64 {
        self.fen as f64 / self.home as f64
    }

    fn per_kg(&self) -> i64 {
        (i128::from(self.fen) * 1000 / i128::from(self.grams)) as i64
    }
}

/// `fen` moved by about `go`, 0.2 to 3 %, to a price somebody would chalk up.
fn moved(fen: i64, go: f64) -> i64 {
    let grid = step_at(fen);
    let least = (fen as f64 * 0.002 / grid as f64).ceil() as i64;
    let most = (fen as f64 * go.abs().min(0.029) / grid as f64) as i64;
    let steps = most.max(least).max(1) * grid;
    let to = (if go < 0.0 { fen - steps } else { fen + steps } + grid / 2) / grid * grid;
    if to > 0 && to != fen { to } else { fen + grid }
}

/// The steps in which prices of this size are named, in fen.
fn step_at(fen: i64) -> i64 {
    match fen {
        ..=9_999 => 50,
        10_000..=99_999 => 100,
        100_000..=999_999 => 1_000,
        1_000_000..=9_999_999 => 10_000,
        _ => 100_000,
    }
}

/// Where `id` stands in `ids`, put at the end if it is new.
fn index_of(ids: &mut Vec<String>, id: &str) -> usize {
    ids.iter().position(|known| known == id).unwrap_or_else(|| {
        ids.push(id.to_owned());
        ids.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::demo::seed::catalogue;

    fn story(seed: u64, steps: usize) -> Vec<(Action, Duration)> {
        let mut market = Market::new(seed, &catalogue().products);
        (0..steps).map(|_| (market.next(), market.pause())).collect()
    }

    #[test]
    fn a_seed_tells_its_story_again() {
        assert_eq!(story(7, 5_000), story(7, 5_000));
        assert_ne!(story(7, 50), story(8, 50));
    }

    #[test]
    fn whatever_happens_stays_believable() {
        let opening: HashMap<String, (i64, i64, i64)> = catalogue()
            .products
            .iter()
            .map(|p| {
                (
                    p.id.clone(),
                    (p.price_fen().unwrap_or(0), p.price_fen().unwrap_or(0), p.stock.unwrap_or(0)),
                )
            })
            .collect();
        for seed in [1, 2026] {
            let mut shelves = opening.clone();
            for (action, _) in story(seed, 50_000) {
                match action {
                    Action::Price { product, fen } => {
                        let (home, now, _) = shelves.get_mut(&product).expect("a known product");
                        let change = (fen - *now).abs() as f64 / *now as f64;
                        assert!((0.0015..=0.031).contains(&change), "{product}: {now} to {fen}");
                        let stray = fen as f64 / *home as f64;
                        assert!((0.82..=1.22).contains(&stray), "{product}: {home} to {fen}");
                        assert_eq!(fen % 50, 0);
                        *now = fen;
                    }
                    Action::Stock { product, delta, .. }
                    | Action::Restock { product, delta, .. } => {
                        let (_, _, stock) = shelves.get_mut(&product).expect("a known product");
                        *stock += delta;
                        assert!(delta != 0 && *stock >= 0, "{product}: {delta} leaves {stock}");
                    }
                    Action::Clearance { product, fen, minutes } => {
                        assert!(
                            fen > 0 && fen < shelves[&product].1 && minutes > 0,
                            "{product}: {fen}"
                        );
                    }
                    Action::EndClearance { product } => assert!(shelves.contains_key(&product)),
                    Action::Update { title, body, average_fen_per_kg, .. } => {
                        assert!(!title.contains('{') && !body.contains('{'), "{title} {body}");
                        assert!(average_fen_per_kg.is_none_or(|fen| fen > 0));
                    }
                    Action::Announcement { text } => assert!(!text.is_empty()),
                }
            }
        }
    }

    #[test]
    fn there_is_something_of_everything_at_its_pace() {
        let story = story(3, 50_000);
        let mut seen: HashMap<std::mem::Discriminant<Action>, usize> = HashMap::new();
        for (action, _) in &story {
            *seen.entry(std::mem::discriminant(action)).or_default() += 1;
        }
        assert_eq!(seen.len(), 7, "{seen:?}");
        let prices = story.iter().filter(|(a, _)| matches!(a, Action::Price { .. })).count();
        assert!((26_000..31_000).contains(&prices), "{prices}");
        let mean = story.iter().map(|(_, pause)| *pause).sum::<Duration>() / 50_000;
        assert!((330..470).contains(&mean.as_millis()), "{mean:?}");
    }

    #[test]
    fn it_goes_on_from_where_others_left_a_product() {
        let mut market = Market::new(1, &catalogue().products);
        market.saw("7542-2003-301", Some(1_000_000), Some(0));
        for _ in 0..20_000 {
            match market.next() {
                Action::Price { product, fen } if product == "7542-2003-301" => {
                    assert!((970_000..=1_030_000).contains(&fen) && fen != 1_000_000, "{fen}");
                    return;
                }
                Action::Stock { product, .. } => assert_ne!(product, "7542-2003-301"),
                _ => {}
            }
        }
        panic!("its price never moved");
    }
}
