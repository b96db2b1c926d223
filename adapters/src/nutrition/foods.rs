//! `foods`: the catalogue, and the foods that people add for themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ScopeRule, TableAdapter};

/// A food, with what 100 g of it contain.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Food {
    /// Its name in English.
    #[schemars(length(min = 1, max = 500))]
    pub name_en: String,
    /// Its name in French.
    #[schemars(length(min = 1, max = 500))]
    pub name_fr: String,
    /// Energy in kcal per 100 g; pure fat has 900.
    #[schemars(range(min = 0, max = 1000))]
    pub calories: f64,
    /// Protein in g per 100 g.
    #[schemars(range(min = 0, max = 100))]
    pub proteins: Option<f64>,
    /// Carbohydrate in g per 100 g.
    #[schemars(range(min = 0, max = 100))]
    pub carbs: Option<f64>,
    /// Fat in g per 100 g.
    #[schemars(range(min = 0, max = 100))]
    pub fats: Option<f64>,
    /// Its section in the shop: fruit, dairy, …
    #[schemars(length(max = 200))]
    pub category: Option<String>,
    /// True if a person added it.
    #[serde(default)]
    pub is_custom: bool,
}

impl TableAdapter for Food {
    const NAME: &'static str = "foods";
    const DOMAIN: &'static str = "nutrition";
    const SCOPE: ScopeRule = ScopeRule::OwnerOrGlobal;
}
