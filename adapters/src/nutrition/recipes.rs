//! `recipes`: dishes of the catalogue, and people's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Merge, ScopeRule, TableAdapter};

/// A dish: what goes in, and how it is made.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Recipe {
    /// Its name in English.
    #[schemars(length(min = 1, max = 500))]
    pub name_en: String,
    /// Its name in French.
    #[schemars(length(min = 1, max = 500))]
    pub name_fr: String,
    /// The ingredients; each item is free JSON, usually name, quantity and unit.
    pub ingredients: Vec<Value>,
    /// The steps in English, in order.
    pub steps_en: Vec<String>,
    /// The steps in French, in order.
    pub steps_fr: Vec<String>,
    /// The number of people that it feeds.
    #[schemars(range(min = 1, max = 1000))]
    pub servings: i32,
    /// Minutes from start to table.
    #[schemars(range(min = 0, max = 100_000))]
    pub duration: Option<i32>,
    /// The difficulty, in the app's own words.
    #[schemars(length(max = 100))]
    pub difficulty: Option<String>,
    /// Labels. Two devices that each add one want both.
    #[serde(default)]
    #[schemars(extend("x-merge" = Merge::Union))]
    pub tags: Vec<String>,
    /// A picture.
    #[schemars(length(max = 2000))]
    pub image_url: Option<String>,
    /// True if a person added it.
    #[serde(default)]
    pub is_custom: bool,
}

impl TableAdapter for Recipe {
    const NAME: &'static str = "recipes";
    const DOMAIN: &'static str = "nutrition";
    const SCOPE: ScopeRule = ScopeRule::OwnerOrGlobal;
}
