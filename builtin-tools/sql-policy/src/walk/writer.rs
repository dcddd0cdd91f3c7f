//! The text that may run, as it is written: where blanks go, and how names and values are quoted so that they have one
//! reading whatever the server's settings are.

#[derive(Default)]
pub(super) struct Writer {
    text: String,
}

impl Writer {
    /// A word, an operator, a literal, an opening parenthesis; a blank parts it from what is before.
    pub(super) fn word(&mut self, word: &str) {
        self.part();
        self.text.push_str(word);
    }

    /// What clings to the word before it: commas, dots, closing parentheses.
    pub(super) fn glue(&mut self, sign: &str) {
        self.text.push_str(sign);
    }

    /// A name in quotes.
    pub(super) fn name(&mut self, name: &str) {
        self.part();
        self.text.push('"');
        self.text.push_str(&name.replace('"', "\"\""));
        self.text.push('"');
    }

    /// A string. With a backslash in it, the form that means the same whatever `standard_conforming_strings` is.
    pub(super) fn string(&mut self, value: &str) {
        self.part();
        let value = value.replace('\'', "''");
        if value.contains('\\') {
            self.text.push_str("E'");
            self.text.push_str(&value.replace('\\', "\\\\"));
        } else {
            self.text.push('\'');
            self.text.push_str(&value);
        }
        self.text.push('\'');
    }

    /// A number; one that ends with its point must not meet another sign.
    pub(super) fn number(&mut self, number: &str) {
        self.word(number);
        if number.ends_with('.') {
            self.text.push(' ');
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    fn part(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(['(', '[', '.', ' ']) {
            self.text.push(' ');
        }
    }
}
