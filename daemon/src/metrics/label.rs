//! Counters by a label whose values are known beforehand: one is found by its place, without a lock or a hash, and each
//! stands in the answer from the start, at zero.

use std::marker::PhantomData;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The values of one label.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::place`].
    const ALL: &'static [Self];
    /// The value as it is shown.
    fn value(self) -> &'static str;
    /// The value's index in [`Label::ALL`].
    fn place(self) -> usize;
}

/// Makes an enum and its [`Label`].
macro_rules! label {
    ($(#[$doc:meta])* $type:ident $name:literal { $($(#[$value_doc:meta])* $variant:ident $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $($(#[$value_doc])* $variant,)* }

        impl $crate::metrics::Label for $type {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$variant),*];
            fn value(self) -> &'static str {
                match self { $(Self::$variant => $value),* }
            }
            fn place(self) -> usize {
                self as usize
            }
        }
    };
}
pub(super) use label;

/// One counter for each value of a label.
#[derive(Debug)]
pub struct Counters<L> {
    all: Vec<Counter>,
    label: PhantomData<L>,
}

impl<L: Label> Counters<L> {
    /// Counters at zero, part of `registry`'s answers.
    pub(super) fn new(registry: &mut Registry, name: &str, help: &str) -> Self {
        let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
        registry.register(name, help, family.clone());
        let counter = |label: &L| family.get_or_create(&[(L::NAME, label.value())]).clone();
        Self { all: L::ALL.iter().map(counter).collect(), label: PhantomData }
    }

    /// Counts one.
    pub fn inc(&self, label: L) {
        self.add(label, 1);
    }

    /// Counts several.
    pub fn add(&self, label: L, count: usize) {
        self.all[label.place()].inc_by(count as u64);
    }
}
