//! The price tables that ledgers compute costs by, so that what may be spent is estimated by the same prices. Equal ones are one.

use std::sync::{Arc, PoisonError, RwLock, Weak};

use ::prices::{Cost, Prices};

/// The tables in use.
#[derive(Debug, Default)]
pub(super) struct PriceTables(RwLock<Vec<Weak<Prices>>>);

impl PriceTables {
    /// An equal table that is in use, or else this one.
    pub(super) fn intern(&self, table: Prices) -> Arc<Prices> {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|known| known.strong_count() > 0);
        if let Some(known) = tables.iter().filter_map(Weak::upgrade).find(|known| **known == table) {
            return known;
        }
        let table = Arc::new(table);
        tables.push(Arc::downgrade(&table));
        table
    }

    /// The highest of each of these costs by any of them; `None` where one of them does not know one.
    pub(super) fn highest<const N: usize>(&self, costs: impl Fn(&Prices) -> Option<[Cost; N]>) -> Option<[Cost; N]> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut highest = None;
        for table in tables.iter().filter_map(Weak::upgrade) {
            let costs = costs(&table)?;
            let all: &mut [Cost; N] = highest.get_or_insert(costs);
            all.iter_mut().zip(costs).for_each(|(most, cost)| *most = (*most).max(cost));
        }
        highest
    }

    /// The name under which a model has a price.
    pub(super) fn name(&self, model: &str) -> Option<String> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        tables.iter().filter_map(Weak::upgrade).find_map(|table| table.name(model).map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(price: &str) -> Prices {
        let own = [("m".to_owned(), serde_json::from_str(price).unwrap())].into_iter().collect();
        Prices::new(&own).unwrap()
    }

    #[test]
    fn of_several_tables_the_dearest_counts_and_one_that_knows_no_price_makes_it_unknown() {
        let tables = PriceTables::default();
        let cost = |tables: &PriceTables| {
            let cost = tables.highest(|table| Some([table.most("m", 1_000_000, 0, ::prices::Terms::default())?]));
            cost.map(|[cost]| cost.to_string())
        };
        assert_eq!(cost(&tables), None);
        let cheap = tables.intern(table(r#"{ "input": 1 }"#));
        assert!(Arc::ptr_eq(&cheap, &tables.intern(table(r#"{ "input": 1 }"#))), "equal tables are one");
        let dear = tables.intern(table(r#"{ "input": 2 }"#));
        assert_eq!(cost(&tables).as_deref(), Some("2"));
        let unknown = tables.intern(Prices::default());
        assert_eq!(cost(&tables), None);
        drop((dear, unknown));
        assert_eq!(cost(&tables).as_deref(), Some("1"));
        assert_eq!(tables.name("m").as_deref(), Some("m"));
        assert_eq!(tables.name("anthropic/claude-opus-5").as_deref(), Some("claude-opus-5"));
    }
}
