//! The gateway's own sign-in at a server, against a real authorization server and a server that takes only its tokens.

#[path = "oauth/discovery.rs"]
mod discovery;
#[path = "oauth/sharing.rs"]
mod sharing;
#[path = "oauth/trouble.rs"]
mod trouble;
#[path = "oauth/unasked.rs"]
mod unasked;
#[path = "oauth/world.rs"]
mod world;
