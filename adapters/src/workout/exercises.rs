//! `exercises`: the catalogue of movements, and people's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ScopeRule, TableAdapter};

/// A movement that can be trained.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Exercise {
    /// Its name in English.
    #[schemars(length(min = 1, max = 500))]
    pub name_en: String,
    /// Its name in French.
    #[schemars(length(min = 1, max = 500))]
    pub name_fr: String,
    /// The muscles that it trains most.
    #[schemars(length(min = 1, max = 200))]
    pub muscle_group: String,
    /// The equipment that it needs.
    #[schemars(length(max = 200))]
    pub equipment: Option<String>,
    /// Instructions for doing it.
    #[schemars(length(max = 20_000))]
    pub description: Option<String>,
    /// True if a person added it.
    #[serde(default)]
    pub is_custom: bool,
}

impl TableAdapter for Exercise {
    const NAME: &'static str = "exercises";
    const DOMAIN: &'static str = "workout";
    const SCOPE: ScopeRule = ScopeRule::OwnerOrGlobal;
}
