//! What holds for any input whatsoever, in one function that the fuzz target, the replay of its corpus and the property
//! tests share. It panics where something does not hold. The text that may run is looked at with another lexer than ours.

mod text;

use crate::{Judged, Rule, STACK_BYTES, TableName, Tables, judge};

/// The tables of the corpora: schema `app` may be read, `secret` may not.
#[derive(Debug, Clone, Copy)]
pub struct Shop;

/// What may be read in [`Shop`].
pub const SHOP: [&str; 3] = ["order_items", "orders", "products"];

impl Tables for Shop {
    fn resolve(&self, schema: Option<&str>, name: &str) -> Option<TableName> {
        let listed = matches!(schema, None | Some("app")) && SHOP.contains(&name);
        listed.then(|| TableName { schema: "app".to_owned(), name: name.to_owned() })
    }
}

/// Judges `input` and checks what must hold; gives what was accepted.
///
/// # Panics
/// Where an invariant does not hold.
pub fn check(input: &[u8]) -> Option<Judged> {
    let sql = std::str::from_utf8(input).ok()?;
    let judged = judge(sql, &Shop).ok()?;
    for table in &judged.tables {
        assert!(table.schema == "app" && SHOP.contains(&table.name.as_str()), "{table:?} is not listed: {sql}");
    }
    assert!(judged.params <= 250, "{} parameters: {sql}", judged.params);
    text::check(&judged.sql);
    match judge(&judged.sql, &Shop) {
        Ok(again) => assert_eq!(again, judged, "what was written anew is another statement: {sql}"),
        // Quotes and schemas may make the text longer than a caller's may be.
        Err(refusal) => assert!(
            matches!(refusal.rule, Rule::TooLong(_) | Rule::TooManyTokens(_) | Rule::TooDeep),
            "{refusal}: {} of {sql}",
            judged.sql
        ),
    }
    Some(judged)
}

/// Runs `inside` with the stack that [`judge`] was promised.
///
/// # Panics
/// If `inside` does, or no thread can be had.
pub fn with_stack<T: Send + 'static>(inside: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(inside).expect("a thread can be started");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
