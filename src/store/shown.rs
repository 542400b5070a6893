//! The first, the last and the next records of those that somebody may see.

use super::table::{NIL, Slot};
use super::{Access, Bucket, Filter, Lookup, Row};
use crate::budget::{Budget, OverBudget};

impl Bucket {
    /// As [`Bucket::first`], of the records that match.
    ///
    /// # Errors
    /// The budget's.
    pub fn first_shown<'b>(
        &'b self,
        n: usize,
        filter: Option<&'b Filter>,
        budget: &'b Budget,
    ) -> Result<Vec<&'b Row>, OverBudget> {
        let Some(filter) = filter else { return self.first(n, budget) };
        let rows = match &self.ordered {
            Some(ordered) => {
                self.pay_for_order(budget)?;
                self.shown(ordered.first(usize::MAX), filter, budget).take(n).collect()
            }
            None => {
                let rows = self.in_table_order(Some(filter), budget);
                rows.take(n).map(|(_, row)| row).collect()
            }
        };
        // Rows that a walk cut short has not found are none.
        budget.check()?;
        Ok(rows)
    }

    /// As [`Bucket::last`], of the records that match.
    ///
    /// # Errors
    /// The budget's.
    pub fn last_shown<'b>(
        &'b self,
        n: usize,
        filter: Option<&'b Filter>,
        budget: &'b Budget,
    ) -> Result<Vec<&'b Row>, OverBudget> {
        let Some(filter) = filter else { return self.last(n, budget) };
        let mut rows: Vec<&Row> = match &self.ordered {
            Some(ordered) => {
                self.pay_for_order(budget)?;
                let slots: Vec<Slot> = ordered.last(usize::MAX).into_iter().rev().collect();
                self.shown(slots, filter, budget).take(n).collect()
            }
            None if self.explain(Some(filter), budget).0 == Access::Scan => {
                let slots = std::iter::successors(Some(self.table.last()), |slot| {
                    Some(self.table.prev(*slot))
                });
                self.shown(slots.take_while(|slot| *slot != NIL), filter, budget).take(n).collect()
            }
            None => {
                let rows = self.in_table_order(Some(filter), budget).map(|(_, row)| row);
                let rows: Vec<&Row> = rows.collect();
                rows.into_iter().rev().take(n).collect()
            }
        };
        budget.check()?;
        rows.reverse();
        Ok(rows)
    }

    /// As [`Bucket::after`], of the records that match; a key whose record does
    /// not is not there.
    ///
    /// # Errors
    /// The budget's.
    pub fn after_shown<'b>(
        &'b self,
        key: &Lookup,
        n: usize,
        filter: Option<&'b Filter>,
        budget: &'b Budget,
    ) -> Result<Vec<&'b Row>, OverBudget> {
        let Some(filter) = filter else { return self.after(key, n, budget) };
        let Some(key) = key.key() else { return Ok(Vec::new()) };
        let there = self
            .find(key)
            .filter(|slot| self.table.row(*slot).is_some_and(|row| filter.matches(row, budget)));
        let rows = match (&self.ordered, there) {
            (Some(ordered), there) => {
                self.pay_for_order(budget)?;
                let there = there.map(|slot| (slot, self.table.order(slot)));
                let slots = ordered.after(key, there, usize::MAX);
                self.shown(slots, filter, budget).take(n).collect()
            }
            (None, None) => Vec::new(),
            (None, Some(slot)) => {
                let next = |slot: &Slot| Some(self.table.next(*slot));
                let slots = std::iter::successors(next(&slot), next);
                self.shown(slots.take_while(|slot| *slot != NIL), filter, budget).take(n).collect()
            }
        };
        budget.check()?;
        Ok(rows)
    }

    /// All keys are put in a list.
    fn pay_for_order(&self, budget: &Budget) -> Result<(), OverBudget> {
        budget.spend(self.len() as u64)?;
        budget.spend_sort(self.len())
    }

    fn shown<'b>(
        &'b self,
        slots: impl IntoIterator<Item = Slot> + 'b,
        filter: &'b Filter,
        budget: &'b Budget,
    ) -> impl Iterator<Item = &'b Row> + 'b {
        let paid = slots.into_iter().take_while(|_| budget.look().is_ok());
        let rows = paid.filter_map(|slot| self.table.row(slot));
        rows.filter(|row| !self.is_over(row) && filter.matches(row, budget))
    }
}
