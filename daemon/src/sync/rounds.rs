//! In what order the changes of one request are worked through, so that their order does not matter for foreign keys.
//!
//! In a round, rows are put parents first and then deleted children first. The changes of one row keep their
//! order: what puts a row that was deleted before it in the request waits for the next round.

use std::collections::HashMap;

/// One change to be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The table's rank: parents have lower ones.
    pub rank: usize,
    /// The row.
    pub id: &'a str,
    /// True if the row is to be deleted.
    pub delete: bool,
}

/// Steps that can be done together: first the puts, then the deletes; each in an order that foreign keys allow.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Indices of puts, parents first.
    pub puts: Vec<usize>,
    /// Indices of deletes, children first.
    pub deletes: Vec<usize>,
}

/// Divides `steps` into rounds. Every index is in exactly one.
#[must_use]
pub fn rounds(steps: &[Step<'_>]) -> Vec<Round> {
    let mut rounds: Vec<Round> = Vec::new();
    let mut rows: HashMap<(usize, &str), (usize, bool)> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        let (round, deleted) = rows.entry((step.rank, step.id)).or_default();
        if *deleted && !step.delete {
            *round += 1;
        }
        *deleted = step.delete;
        if rounds.len() <= *round {
            rounds.resize_with(*round + 1, Round::default);
        }
        let slot = &mut rounds[*round];
        if step.delete { &mut slot.deletes } else { &mut slot.puts }.push(index);
    }
    for round in &mut rounds {
        round.puts.sort_by_key(|index| steps[*index].rank);
        round.deletes.sort_by_key(|index| std::cmp::Reverse(steps[*index].rank));
    }
    rounds
}

/// The order of `steps` in which no row comes before one that it refers to, as far as the request puts both; `refers` names
/// those rows. It is the order of the request otherwise, and always for the steps of one row. What refers to each other in a
/// circle comes as it was sent.
#[must_use]
pub fn parents_first(steps: &[Step<'_>], refers: &[Vec<(usize, String)>]) -> Vec<usize> {
    let (mut before, mut last) = (vec![None; steps.len()], HashMap::new());
    let mut puts: HashMap<(usize, &str), usize> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        before[index] = last.insert((step.rank, step.id), index);
        if !step.delete {
            puts.entry((step.rank, step.id)).or_insert(index);
        }
    }
    let (mut order, mut is_met) = (Vec::with_capacity(steps.len()), vec![false; steps.len()]);
    for index in 0..steps.len() {
        // A step stays below what has to come before it, and is taken when it is met again.
        let mut waiting = vec![(index, false)];
        while let Some((at, is_ready)) = waiting.pop() {
            if is_ready {
                order.push(at);
                continue;
            }
            if std::mem::replace(&mut is_met[at], true) {
                continue;
            }
            waiting.push((at, true));
            let parents = refers[at].iter().filter_map(|(rank, id)| puts.get(&(*rank, id.as_str())).copied());
            let wanted = parents.chain(before[at]).filter(|other| !is_met[*other]);
            waiting.extend(wanted.map(|other| (other, false)));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(rank: usize, id: &str) -> Step<'_> {
        Step { rank, id, delete: false }
    }

    fn delete(rank: usize, id: &str) -> Step<'_> {
        Step { rank, id, delete: true }
    }

    #[test]
    fn parents_are_put_first_and_deleted_last() {
        let steps = [put(2, "set"), put(0, "session"), delete(0, "old"), delete(2, "old set"), put(1, "exercise")];
        assert_eq!(rounds(&steps), [Round { puts: vec![1, 4, 0], deletes: vec![3, 2] }]);
    }

    #[test]
    fn a_row_that_is_deleted_and_made_again_takes_two_rounds() {
        let steps = [put(0, "r"), delete(0, "r"), put(0, "r")];
        assert_eq!(
            rounds(&steps),
            [Round { puts: vec![0], deletes: vec![1] }, Round { puts: vec![2], deletes: vec![] }]
        );
    }

    #[test]
    fn a_row_comes_behind_the_one_of_its_table_that_it_refers_to() {
        let steps = [put(0, "leaf"), put(0, "twig"), put(0, "root"), delete(0, "old"), put(0, "leaf")];
        let to = |id: &str| vec![(0, id.to_owned())];
        let refers = [to("twig"), to("root"), vec![], vec![], to("leaf")];
        assert_eq!(parents_first(&steps, &refers), [2, 1, 0, 3, 4]);
        let circle = [to("twig"), to("leaf"), vec![], vec![], vec![]];
        assert_eq!(parents_first(&steps, &circle), [1, 0, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn every_step_is_done_once_and_each_rows_in_order(
            made in proptest::collection::vec((0usize..4, 0usize..3, any::<bool>()), 0..40)
        ) {
            let ids = ["a", "b", "c"];
            let steps: Vec<_> = made.iter().map(|(rank, id, delete)| Step { rank: *rank, id: ids[*id], delete: *delete }).collect();
            let order: Vec<usize> = rounds(&steps).into_iter().flat_map(|round| [round.puts, round.deletes]).flatten().collect();
            let mut all = order.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (0..steps.len()).collect::<Vec<_>>());
            for (rank, id) in (0..4).flat_map(|rank| ids.map(|id| (rank, id))) {
                let of_row: Vec<_> = order.iter().filter(|i| steps[**i].rank == rank && steps[**i].id == id).collect();
                prop_assert!(of_row.is_sorted());
            }
        }
    }
}
