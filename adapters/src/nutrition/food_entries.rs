//! `food_entries`: the diary.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ScopeRule, TableAdapter};

/// Something eaten. The nutrients are what the app computed at the time, for the quantity eaten.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct FoodEntry {
    /// The food.
    #[schemars(extend("x-references" = "foods"))]
    pub food_id: Option<Uuid>,
    /// The amount, in `unit`.
    #[schemars(range(max = 1_000_000), extend("exclusiveMinimum" = 0))]
    pub quantity: f64,
    /// The unit of `quantity`.
    #[serde(default = "gram")]
    #[schemars(length(min = 1, max = 50))]
    pub unit: String,
    /// The meal that it was part of.
    pub meal_type: Option<MealType>,
    /// The time at which it was eaten.
    pub consumed_at: DateTime<Utc>,
    /// Energy in kcal.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub calories: Option<f64>,
    /// Protein in g.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub proteins: Option<f64>,
    /// Carbohydrate in g.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub carbs: Option<f64>,
    /// Fat in g.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub fats: Option<f64>,
}

/// The meals of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it, and a doc would turn the schema's enum into a oneOf")]
pub enum MealType {
    Breakfast,
    Lunch,
    Dinner,
    Snack,
    Other,
}

impl TableAdapter for FoodEntry {
    const NAME: &'static str = "food_entries";
    const DOMAIN: &'static str = "nutrition";
    const SCOPE: ScopeRule = ScopeRule::Owner;
}

fn gram() -> String {
    "g".to_owned()
}
