//! The audit read back: its lines in files ([`lines`]), whether its chains are whole ([`verify`]), its way to other places
//! ([`ship`]), and how long it is kept ([`keeping`]). Writing it is [`crate::audit`]'s; no request comes here.

pub(crate) mod keeping;
pub(crate) mod lines;
mod otlp;
pub(crate) mod ship;
pub(crate) mod verify;
mod webhook;

#[cfg(test)]
mod tests;
