//! The meaning that the name of an application's column suggests: a secret, a right, another person. The lists are in
//! `lists`.
//!
//! Names are taken apart into words, however they are written: `passwordHash`, `PASSWORD_HASH` and `"Password Hash"` are the
//! same. Where a name can mean two things, the type decides (the grams of `salt` are a number), or a word beside it does
//! (`meal_plan` is none that is paid for).

mod lists;

use lists::{MONEY, PEOPLE, RIGHTS, Rule, SECRETS, TENANTS};

/// The type of a column, as far as the meaning of its name depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// True or false.
    Switch,
    /// A number.
    Number,
    /// A time, a date, an interval.
    Moment,
    /// Text, or one of a list of texts.
    Text,
    /// A UUID.
    Id,
    /// JSON, an array, or another type of the database's own.
    Structure,
    /// A type that is not known: of an extension, a composite, a range, bytes.
    Unknown,
}

/// The meaning that a name suggests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A secret: a password, a token, a key, what proves who somebody is.
    Secret,
    /// A right, or somebody's word that something is so: a role, an approval.
    Right,
    /// Money, or what was paid for.
    Money,
    /// In whose books a row is: a tenant, a team.
    Tenant,
    /// A person.
    Person,
}

/// The meaning of a name, if it has one that matters. The most careful one counts.
#[must_use]
pub fn meaning(name: &str, sort: Sort) -> Option<Meaning> {
    let words = words(name);
    let lists = [
        (Meaning::Secret, SECRETS),
        (Meaning::Right, RIGHTS),
        (Meaning::Money, MONEY),
        (Meaning::Tenant, TENANTS),
        (Meaning::Person, PEOPLE),
    ];
    let mut found = lists.into_iter().filter(|(_, rules)| rules.iter().any(|rule| rule.is_met(&words, sort)));
    found.next().map(|(meaning, _)| meaning)
}

impl Rule {
    fn is_met(&self, words: &[String], sort: Sort) -> bool {
        let is_exempt = |word: &String| self.unless.split(' ').any(|other| is(word, other));
        !self.not.contains(&sort)
            && (self.only.is_empty() || self.only.contains(&sort))
            && self.patterns.split(", ").any(|pattern| matches(pattern, words))
            && !words.iter().any(is_exempt)
    }
}

/// True if a pattern of words is found. `^` means from the first word on, `$` up to the last one; words that say no
/// more than which one of several it is may follow that.
fn matches(pattern: &str, words: &[String]) -> bool {
    let from_first = pattern.starts_with('^');
    let to_last = pattern.ends_with('$');
    let wanted: Vec<&str> = pattern.trim_matches(['^', '$']).split(' ').collect();
    let mut places = words.windows(wanted.len()).enumerate();
    places.any(|(place, found)| {
        (!from_first || place == 0)
            && (!to_last || words[place + wanted.len()..].iter().all(|rest| is_filler(rest)))
            && found.iter().zip(&wanted).all(|(word, wanted)| is(word, wanted))
    })
}

/// True if a word is the wanted one, or its plural. `*` at an end of it stands for any letters.
fn is(word: &str, wanted: &str) -> bool {
    let fits = |word: &str| match (wanted.strip_prefix('*'), wanted.strip_suffix('*')) {
        (Some(_), Some(_)) => word.contains(wanted.trim_matches('*')),
        (Some(end), None) => word.ends_with(end),
        (None, Some(start)) => word.starts_with(start),
        (None, None) => word == wanted,
    };
    fits(word) || singular(word).is_some_and(fits)
}

fn singular(word: &str) -> Option<&str> {
    if ["ss", "us", "is"].iter().any(|end| word.ends_with(end)) || word.len() < 3 {
        return None;
    }
    word.strip_suffix("hes").map(|_| &word[..word.len() - 2]).or_else(|| word.strip_suffix('s'))
}

fn is_filler(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit()) || matches!(word, "value" | "old" | "new" | "current" | "previous")
}

/// The words of a name, in lower case: parted by what is no letter or digit, by capitals, and where digits begin or end.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut is_open = false;
    for (place, letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            is_open = false;
            continue;
        }
        let before = place.checked_sub(1).map(|before| letters[before]);
        let ends_capitals = letter.is_uppercase() && letters.get(place + 1).is_some_and(|next| next.is_lowercase());
        let begins = before.is_none_or(|before| {
            (letter.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && ends_capitals)))
                || letter.is_numeric() != before.is_numeric()
        });
        match words.last_mut().filter(|_| is_open && !begins) {
            Some(word) => word.extend(letter.to_lowercase()),
            None => words.push(letter.to_lowercase().collect()),
        }
        is_open = true;
    }
    words
}

#[cfg(test)]
mod tests;
