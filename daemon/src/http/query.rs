//! The query string. Parameters that a call does not know are passed over and named in its answer; an empty one counts as absent.

use std::str::FromStr;

use ryzed_adapters::{FieldError, code};

use super::problem::Problem;
use crate::sync::names::{MOST_NAMES, cut};

/// The most parameters that are looked at.
const MOST_PARAMETERS: usize = 100;

/// The parameters, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).take(MOST_PARAMETERS);
        Self(pairs.filter(|(_, value)| !value.is_empty()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
    }

    /// The names of all that were given.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The parameter as it came.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The parameter as a `T`; 422 when it is none.
    pub(super) fn value<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, Problem> {
        let parsed = self.text(name).map(|text| text.parse().map_err(|_| invalid(name, wanted)));
        parsed.transpose()
    }

    /// The same, where it must be given.
    pub(super) fn required<T: FromStr>(&self, name: &str, wanted: &str) -> Result<T, Problem> {
        let missing = || Problem::invalid(vec![FieldError::new(name, code::REQUIRED, "must be given in the query")]);
        self.value(name, wanted)?.ok_or_else(missing)
    }

    /// The names in a parameter, separated by commas, as far as anybody looks at them.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let all = self.0.iter().filter(|(found, _)| found == name).flat_map(|(_, value)| value.split(','));
        names(all)
    }

    /// The same of the parameter's first occurrence.
    pub(super) fn first_list(&self, name: &str) -> Vec<String> {
        names(self.text(name).unwrap_or_default().split(','))
    }
}

fn names<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<String> {
    parts.map(str::trim).filter(|part| !part.is_empty()).map(cut).take(MOST_NAMES).collect()
}

fn invalid(name: &str, wanted: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(name, code::INVALID_FORMAT, format!("must be {wanted}"))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_typed() {
        let query = Query::of("cursor=k3f9%2Cuser%3A41&tables=foods,%20recipes&tables=&limit=ten&x");
        assert_eq!(query.text("cursor"), Some("k3f9,user:41"));
        assert_eq!(query.list("tables"), ["foods", "recipes"]);
        assert!(query.value::<i64>("limit", "a number").is_err());
        assert!(query.required::<i64>("x", "a number").is_err());
        assert!(matches!(query.value::<i64>("y", "a number"), Ok(None)));
    }
}
