//! What the program does not begin with: it says why on stderr, in a sentence, says nothing on stdout, and its exit code is
//! not 0.

use std::process::Command;

use crate::child::{Shop, program};

fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "on stdout: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn password_on_the_command_line_is_refused_and_not_repeated() {
    for command in ["db", "sample"] {
        let url = "postgres://reader:hunter2@127.0.0.1:1/shop";
        let said = refused(program().args([command, "--database", url]));
        assert!(said.contains("PATCHBAY_TOOLS_DATABASE") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn database_that_is_not_named_or_not_there_is_refused() {
    let said = refused(program().arg("db"));
    assert!(said.contains("--database") && said.contains("PATCHBAY_TOOLS_DATABASE"), "{said}");
    let said = refused(program().args(["db", "--database", "/nowhere/shop.db"]));
    assert!(said.contains("\"/nowhere/shop.db\" cannot be opened"), "{said}");
}

#[test]
fn postgres_that_cannot_be_reached_is_said_before_the_first_message() {
    // Nobody listens on this port, and the password is not for stderr.
    let url = "postgres://reader:hunter2@127.0.0.1:1/shop";
    let said = refused(program().arg("db").env("PATCHBAY_TOOLS_DATABASE", url));
    assert!(said.contains("The source `shop`: ") && !said.contains("hunter2"), "{said}");
}

#[test]
fn options_that_make_no_sense_are_named() {
    let shop = Shop::new();
    for (options, wanted) in [
        (["--rows-max", "0"], "`rows_max` is 0; expected a number from 1 to 10000"),
        (["--tables", "orders,nowhere"], "`tables` names \"nowhere\""),
        (["--schemas", "public"], "`schemas` cannot be used: it is for PostgreSQL"),
        (["--source", "My Shop"], "expected 1 to 40 characters"),
    ] {
        let said = refused(shop.command().args(options));
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
    let said = refused(program().args(["weather", "--nws-url", "http://weather.example"]));
    assert!(said.contains("nws_url"), "{said}");
}
