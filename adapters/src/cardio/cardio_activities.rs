//! `cardio_activities`: the kinds of cardio in the catalogue, and people's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ScopeRule, TableAdapter};

/// A kind of cardio.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CardioActivity {
    /// The kind, as sessions name it: `running`, `cycling`, …
    #[schemars(length(min = 1, max = 100))]
    pub activity_type: String,
    /// Its name in English.
    #[schemars(length(min = 1, max = 500))]
    pub name_en: String,
    /// Its name in French.
    #[schemars(length(min = 1, max = 500))]
    pub name_fr: String,
    /// True if a person added it.
    #[serde(default)]
    pub is_custom: bool,
}

impl TableAdapter for CardioActivity {
    const NAME: &'static str = "cardio_activities";
    const DOMAIN: &'static str = "cardio";
    const SCOPE: ScopeRule = ScopeRule::OwnerOrGlobal;
}
