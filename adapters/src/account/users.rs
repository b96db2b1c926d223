//! `users`: one row a person, made when they first call.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ScopeRule, TableAdapter};

/// A person. Their `id` is the `sub` of their token.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The address that the token named when they first called.
    #[schemars(length(max = 320))]
    pub email: Option<String>,
    /// The name that they want to be called by.
    #[schemars(length(max = 200))]
    pub name: Option<String>,
    /// True once they have been through the introduction. Done on one device is done.
    #[serde(default)]
    #[schemars(extend("x-merge" = crate::Merge::Or))]
    pub is_onboarded: bool,
}

impl TableAdapter for User {
    const NAME: &'static str = "users";
    const DOMAIN: &'static str = "account";
    const SCOPE: ScopeRule = ScopeRule::Person;
}
