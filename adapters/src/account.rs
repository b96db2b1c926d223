//! The person.

mod users;

pub use users::User;
