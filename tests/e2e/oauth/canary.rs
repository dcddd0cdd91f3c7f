//! The watch itself: what these stories say of tokens that are nowhere is worth something only if one that is somewhere is found.

use super::World;

/// Nobody but a test would write a piece of a token into the store.
#[tokio::test]
#[should_panic(expected = "a token is in")]
async fn a_piece_of_a_token_that_is_left_in_the_store_is_found() {
    let Some(mut world) = World::start().await else { panic!("a token is in nothing: Node is not installed") };
    let token = world.token("alice", "mcp:read");
    assert_eq!(world.status(&token).await, 200);
    // The piece may begin with a dash, which is no label's.
    world.gateway.new_key("acme", &format!("piece {}", &token[token.len() - 40..]), &[]);
    world.gateway.kill();
}

/// Nor would anybody give it to a server.
#[tokio::test]
#[should_panic(expected = "a token is in what went over a wire")]
async fn a_token_that_went_to_a_server_is_found() {
    let Some(world) = World::start().await else {
        panic!("a token is in what went over a wire: Node is not installed")
    };
    let token = world.token("alice", "mcp:read");
    let client = world.client(&token);
    let _ = client.ask_tool("box_slow", serde_json::json!({ "note": token })).send(client.address).await;
}
