//! The directions in which each column of a table travels: to devices and from them, to devices alone, or not at all.
//!
//! The adapters' own columns go both ways. Of an application's table more is there than it was made to give away, so its other
//! columns are judged, by name and type, and so are its references. What the configuration says of a column counts more.

use std::collections::BTreeSet;

use crate::names::{Meaning, Sort, meaning};

/// The table of people. A reference to it names a person.
pub const PEOPLE: &str = "users";

/// `[tables.<table>]`: what the configuration says of columns, by their names on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableRules {
    /// Stay home.
    pub hidden: BTreeSet<String>,
    /// Are not written by devices.
    pub read_only: BTreeSet<String>,
    /// Are sent although they would be hidden.
    pub send: BTreeSet<String>,
    /// May be written by devices although they would be read-only.
    pub write: BTreeSet<String>,
    /// May refer to any row, also to one that the person does not see.
    pub references: BTreeSet<String>,
}

/// A column of an application's table, before it is decided which way it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Its name on the wire.
    pub name: String,
    /// The type of its values.
    pub sort: Sort,
    /// True if the adapter knows it.
    pub is_known: bool,
    /// True if it identifies a row or its owner: the id, the owner, the row above.
    pub is_key: bool,
    /// True if its table is that of people.
    pub is_of_people: bool,
    /// True if another column beside it names the type of the row that it refers to.
    pub is_typed: bool,
    /// True if the database alone computes its value.
    pub is_computed: bool,
    /// The target of its foreign keys.
    pub points: Points,
}

/// The target of a column's foreign keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Points {
    /// It is no reference.
    Nowhere,
    /// To a row of this synced table, by its id.
    To(String),
    /// To a table that is not synced; as people name it.
    Away(String),
    /// To a synced table, by another column than the id.
    Askew(String),
}

/// The directions in which a column travels. Both when nothing speaks against it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Travel {
    /// The reason for not sending it to devices, if there is one.
    pub home: Option<Reason>,
    /// The reason for devices not writing it, if there is one.
    pub read_only: Option<Reason>,
    /// The table whose rows alone it may name, as far as the person sees them.
    pub references: Option<String>,
}

/// The reason for a column not travelling both ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The configuration says so.
    Configured,
    /// It is of people, and none of the few columns that travel of them.
    OfPeople,
    /// Its name gives it away.
    Named(Meaning),
    /// Nobody knows what a value of its type may be.
    UnknownType,
    /// People sign in by it.
    SignsIn,
    /// It says since when somebody is known.
    Since,
    /// It was let out, and no more.
    LetOut,
    /// It refers to this table, which is not synced.
    Away(String),
    /// It refers to this table by another column than the id.
    Askew(String),
    /// It refers to something whose kind another column tells.
    ByType,
}

impl Reason {
    /// The reason in words.
    #[must_use]
    pub fn why(&self) -> String {
        let words = match self {
            Self::Configured => "as the configuration says",
            Self::OfPeople => "of people, only what the configuration lists travels",
            Self::Named(Meaning::Secret) => "a secret, by its name",
            Self::Named(Meaning::Right) => "gives rights, by its name",
            Self::Named(Meaning::Money) => "says what is paid for, by its name",
            Self::Named(Meaning::Tenant) => "says whose books a row is in, by its name",
            Self::Named(Meaning::Person) => "names a person, by its name",
            Self::UnknownType => "a type that is not known",
            Self::SignsIn => "signs people in",
            Self::Since => "says since when somebody is known",
            Self::LetOut => "let out, and no more",
            Self::Away(table) => return format!("refers to {table}, which is not synced"),
            Self::Askew(table) => return format!("refers to {table} by another column than id"),
            Self::ByType => "refers by type and id, which no foreign key holds",
        };
        words.into()
    }

    /// The line of the configuration that makes it otherwise; none where the configuration says so itself.
    #[must_use]
    pub fn lifted_by(&self, name: &str) -> Option<String> {
        match self {
            Self::Configured => None,
            Self::OfPeople | Self::UnknownType | Self::Named(Meaning::Secret) => {
                Some(format!("send = [{}]", quoted(name)))
            }
            Self::Named(_) | Self::SignsIn | Self::Since | Self::LetOut => Some(format!("write = [{}]", quoted(name))),
            Self::Away(_) | Self::Askew(_) | Self::ByType => Some(any(name)),
        }
    }
}

/// The line of the configuration that lets a reference name any row.
#[must_use]
pub fn any(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let name = if is_bare { name.to_owned() } else { quoted(name) };
    format!("references = {{ {name} = \"any\" }}")
}

/// A text as the configuration takes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Sighting {
    /// A column of our own tables.
    #[must_use]
    pub fn own(name: &str, is_key: bool) -> Self {
        Self {
            name: name.into(),
            sort: Sort::Unknown,
            is_known: true,
            is_key,
            is_of_people: false,
            is_typed: false,
            is_computed: false,
            points: Points::Nowhere,
        }
    }

    /// Decides the directions in which it travels under these rules.
    #[must_use]
    pub fn travel(&self, rules: &TableRules) -> Travel {
        let mut travel = self.judged();
        if travel.home.is_some() && rules.send.contains(&self.name) {
            travel.home = None;
            travel.read_only.get_or_insert(Reason::LetOut);
        }
        if rules.references.contains(&self.name) {
            travel.read_only = travel.read_only.filter(|reason| !self.is_about_reference(reason));
            travel.references = None;
        }
        if rules.write.contains(&self.name) {
            travel.read_only = travel.read_only.filter(|reason| matches!(reason, Reason::Away(_) | Reason::Askew(_)));
            travel.references = travel.references.filter(|_| matches!(self.points, Points::To(_)));
        }
        if rules.hidden.contains(&self.name) {
            travel.home = Some(Reason::Configured);
        }
        if rules.read_only.contains(&self.name) {
            travel.read_only = Some(Reason::Configured);
        }
        travel
    }

    /// The default for the column, without the configuration.
    fn judged(&self) -> Travel {
        // Whose a row is, is checked as ever. What names the row may name another one elsewhere as well.
        if self.is_key && (self.name != "id" || self.is_of_people) {
            return Travel::default();
        }
        let meaning = meaning(&self.name, self.sort).filter(|_| !self.is_known);
        let home = match meaning {
            _ if self.is_known => None,
            _ if self.is_of_people => Some(Reason::OfPeople),
            Some(Meaning::Secret) => Some(Reason::Named(Meaning::Secret)),
            _ => (self.sort == Sort::Unknown).then_some(Reason::UnknownType),
        };
        let (read_only, references) = match (&self.points, meaning) {
            (Points::Away(table), _) => (Some(Reason::Away(table.clone())), None),
            (Points::Askew(table), _) => (Some(Reason::Askew(table.clone())), None),
            (Points::To(table), _) => (None, Some(table.clone())),
            (Points::Nowhere, Some(Meaning::Person)) if self.sort == Sort::Id => (None, Some(PEOPLE.into())),
            (Points::Nowhere, Some(meaning)) if meaning != Meaning::Secret => (Some(Reason::Named(meaning)), None),
            (Points::Nowhere, _) if self.is_typed && !self.is_known => (Some(Reason::ByType), None),
            (Points::Nowhere, _) => (None, None),
        };
        Travel { home, read_only: read_only.or_else(|| self.of_account()), references }
    }

    /// Of the columns that every person has, what an account hangs on.
    fn of_account(&self) -> Option<Reason> {
        match self.name.as_str() {
            "email" if self.is_of_people => Some(Reason::SignsIn),
            "created_at" if self.is_of_people => Some(Reason::Since),
            _ => None,
        }
    }

    /// True if devices may not write the column because of the reference that it is.
    fn is_about_reference(&self, reason: &Reason) -> bool {
        match reason {
            Reason::Away(_) | Reason::Askew(_) | Reason::ByType => true,
            Reason::Named(meaning) => matches!(meaning, Meaning::Tenant | Meaning::Person),
            _ => false,
        }
    }

    /// True if it may be a reference, so that `references` means something.
    fn is_reference(&self) -> bool {
        let travel = self.judged();
        travel.references.is_some() || travel.read_only.is_some_and(|reason| self.is_about_reference(&reason))
    }
}

impl TableRules {
    /// True if the configuration says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn lists(&self) -> [(&'static str, &BTreeSet<String>); 5] {
        [
            ("hidden", &self.hidden),
            ("read_only", &self.read_only),
            ("send", &self.send),
            ("write", &self.write),
            ("references", &self.references),
        ]
    }

    /// The contradictions that any table would have: the list at fault, and the advice.
    #[must_use]
    pub fn contradictions(&self) -> Vec<(&'static str, String)> {
        const APART: [(usize, usize); 4] = [(0, 1), (0, 2), (0, 3), (1, 3)];
        let lists = self.lists();
        let both = APART.into_iter().flat_map(|(one, other)| {
            let ((first, left), (second, right)) = (lists[one], lists[other]);
            left.intersection(right).map(move |name| {
                (first, format!("{name} can't be in {first} and in {second}; take it out of one of them"))
            })
        });
        both.collect()
    }

    /// The complaints about a table with these columns: the list at fault, and the advice.
    #[must_use]
    pub fn complaints(&self, columns: &[Sighting]) -> Vec<(&'static str, String)> {
        let mut complaints = self.contradictions();
        for (list, names) in self.lists() {
            for name in names {
                let Some(column) = columns.iter().find(|column| column.name == *name) else {
                    let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
                    let complaint =
                        format!("there is no column {name}; on the wire the columns are {}", known.join(", "));
                    complaints.push((list, complaint));
                    continue;
                };
                complaints.extend(self.complaint(list, column).map(|complaint| (list, complaint)));
            }
        }
        complaints
    }

    fn complaint(&self, list: &str, column: &Sighting) -> Option<String> {
        let name = &column.name;
        match (list, &column.points) {
            ("hidden", _) if column.is_key || matches!(name.as_str(), "created_at" | "updated_at") => {
                Some(format!("{name} is in every row that travels; take it out of the list"))
            }
            ("read_only", _) if column.is_key => {
                Some(format!("{name} says what or whose a row is, and comes with it; take it out of the list"))
            }
            ("write", _) if column.is_computed => Some(format!("the database itself computes {name}")),
            ("write", _) if column.judged().home.is_some() && !self.send.contains(name) => {
                Some(format!("{name} stays home; name it in send as well"))
            }
            ("write", Points::Away(table) | Points::Askew(table)) if !self.references.contains(name) => {
                Some(format!("{name} refers to {table}; say {} instead", any(name)))
            }
            ("references", _) if column.is_key && !column.is_reference() => {
                Some(format!("{name} says what or whose a row is, and is always checked"))
            }
            ("references", _) if !column.is_reference() => Some(format!("{name} is no reference; take it out")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
