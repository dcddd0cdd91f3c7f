//! Tests of the catalog on a real PostgreSQL: the unwelcome first, by roles that have the least rights.

mod analyzed;
mod described;
mod hidden;
mod inserted;
mod listed;
mod place;
mod probed;
mod sampled;
