//! Nutrition: foods, recipes, and the diary.

mod food_entries;
mod foods;
mod recipes;

pub use food_entries::{FoodEntry, MealType};
pub use foods::Food;
pub use recipes::Recipe;
