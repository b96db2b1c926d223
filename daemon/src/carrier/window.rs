//! The window of message numbers already received from one sender, so that none counts twice. Pure, and of a fixed size.

/// Numbers that share a word.
const WORD: u64 = 64;
/// Words that are kept; the oldest is being emptied while the newest fills.
const WORDS: u64 = 64;

/// The numbers that were heard, of the last few thousand.
#[derive(Debug, Clone)]
pub(super) struct Window {
    newest: u64,
    heard: Box<[u64; WORDS as usize]>,
}

impl Default for Window {
    fn default() -> Self {
        Self { newest: 0, heard: Box::new([0; WORDS as usize]) }
    }
}

impl Window {
    /// True if no message of this number has come yet. One that is far behind the newest may have. Numbers begin at 1.
    pub(super) fn is_new(&self, number: u64) -> bool {
        let (word, newest) = (number / WORD, self.newest / WORD);
        number > self.newest || (number > 0 && word + WORDS > newest && self.heard[place(word)] & bit(number) == 0)
    }

    /// Notes that it was heard. False when it was before, or may have been.
    pub(super) fn note(&mut self, number: u64) -> bool {
        if !self.is_new(number) {
            return false;
        }
        let (word, newest) = (number / WORD, self.newest / WORD);
        // What the words between held is too old to count by now.
        for passed in (newest + 1..=word).rev().take(WORDS as usize) {
            self.heard[place(passed)] = 0;
        }
        self.heard[place(word)] |= bit(number);
        self.newest = self.newest.max(number);
        true
    }
}

fn place(word: u64) -> usize {
    (word % WORDS) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % WORD)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// A message that is less behind than this is always heard.
    const SURE: u64 = (WORDS - 1) * WORD;

    proptest! {
        #[test]
        fn each_number_is_heard_once_in_any_order(
            jumps in prop::collection::vec((prop_oneof![0..4u64, 0..200u64, 0..20_000u64], 0..6_000u64), 1..400),
            far in any::<u64>(),
        ) {
            let (mut window, mut heard, mut newest) = (Window::default(), HashSet::new(), 0);
            for (ahead, behind) in jumps {
                let number = (newest + ahead).saturating_sub(behind);
                let is_new = number > 0 && !heard.contains(&number);
                prop_assert_eq!(window.is_new(number), window.clone().note(number));
                let taken = window.note(number);
                prop_assert!(!taken || is_new, "{} was heard twice", number);
                if is_new && number + SURE > newest {
                    prop_assert!(taken, "{} was not heard, {} is the newest", number, newest);
                }
                heard.insert(number);
                newest = newest.max(number);
                prop_assert!(!window.is_new(number));
            }
            let last = far.max(newest + 1);
            prop_assert!(window.note(last));
            prop_assert!(!window.note(last));
            prop_assert!(!heard.iter().any(|number| window.is_new(*number)));
        }
    }

    #[test]
    fn the_first_is_1_and_nothing_is_0() {
        let mut window = Window::default();
        assert!(!window.is_new(0));
        assert!(window.note(1) && !window.note(1));
        assert!(window.note(u64::MAX) && !window.note(u64::MAX));
        assert!(!window.note(1));
    }
}
