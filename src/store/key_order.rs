//! A bucket's records in the order of their keys, where it keeps one.

use super::ordered::OrderedKeys;
use super::table::Slot;
use super::{Bucket, Row};
use crate::budget::{Budget, OverBudget};

impl Bucket {
    /// The first `n` records in key order (`ordered_set`) or table order.
    /// # Errors
    /// The budget's, before anything is looked at.
    pub fn first(&self, n: usize, budget: &Budget) -> Result<Vec<&Row>, OverBudget> {
        self.pay_for(n, budget)?;
        Ok(match &self.ordered {
            Some(ordered) => self.rows(ordered.first(self.with_over(n, budget)?), n).collect(),
            None => self.visible().take(n).map(|(_, row)| row).collect(),
        })
    }

    /// The last `n` records in the same order, in ascending order.
    ///
    /// # Errors
    /// The budget's, before anything is looked at.
    pub fn last(&self, n: usize, budget: &Budget) -> Result<Vec<&Row>, OverBudget> {
        self.pay_for(n, budget)?;
        Ok(match &self.ordered {
            Some(ordered) => {
                let slots = ordered.last(self.with_over(n, budget)?);
                let rows: Vec<&Row> = self.rows(slots, usize::MAX).collect();
                rows.get(rows.len().saturating_sub(n)..).unwrap_or_default().to_vec()
            }
            None => {
                let rows = self.iter_back().map(|(_, row)| row).filter(|row| !self.is_over(row));
                let mut rows: Vec<&Row> = rows.take(n).collect();
                rows.reverse();
                rows
            }
        })
    }

    /// At most `n` records behind `key`. A key that is not there ends the
    /// iteration; in an `ordered_set` it goes on at the next greater one.
    ///
    /// # Errors
    /// The budget's, before anything is looked at.
    pub fn after(
        &self,
        key: &super::Lookup,
        n: usize,
        budget: &Budget,
    ) -> Result<Vec<&Row>, OverBudget> {
        let Some(key) = key.key() else { return Ok(Vec::new()) };
        self.pay_for(n, budget)?;
        let there = self.find(key);
        Ok(match (&self.ordered, there) {
            (Some(ordered), there) => {
                let there = there.map(|slot| (slot, self.table.order(slot)));
                self.rows(ordered.after(key, there, self.with_over(n, budget)?), n).collect()
            }
            (None, None) => Vec::new(),
            (None, Some(slot)) => {
                let next = |slot: &Slot| Some(self.table.next(*slot));
                let slots = std::iter::successors(next(&slot), next);
                let rows = slots.map_while(|slot| self.table.row(slot));
                rows.filter(|row| !self.is_over(row)).take(n).collect()
            }
        })
    }

    /// At most `n` records are visited, except where numbers and texts are
    /// mixed as keys: then all of them are put in order.
    fn pay_for(&self, n: usize, budget: &Budget) -> Result<(), OverBudget> {
        if self.ordered.as_ref().is_some_and(OrderedKeys::is_mixed) {
            budget.spend(self.len() as u64)?;
            budget.spend_sort(self.len())?;
        }
        budget.spend(n.min(self.len()) as u64)
    }

    /// At most `n` of the records in these slots, without those that are over.
    fn rows(&self, slots: Vec<Slot>, n: usize) -> impl Iterator<Item = &Row> {
        let rows = slots.into_iter().filter_map(|slot| self.table.row(slot));
        rows.filter(|row| !self.is_over(row)).take(n)
    }

    /// So many records among which there are `n` that are not over.
    fn with_over(&self, n: usize, budget: &Budget) -> Result<usize, OverBudget> {
        let over = self.count_over(budget);
        budget.check()?;
        Ok(n.saturating_add(over))
    }
}
