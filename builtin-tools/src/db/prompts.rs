//! The prompts: what they are called, what they take, and what they say. `reports` has the kinds of reports. Who asks the
//! sources for what goes into them is `handler::prompting`.

mod reports;

use rmcp::model::{JsonObject, Prompt, PromptArgument};

use super::{
    source::{About, Dialect},
    tools::arguments::nearest,
};
pub(crate) use reports::{REPORTS, Report};

pub(crate) const ANALYST: &str = "data_analyst";
pub(crate) const ANALYZE: &str = "analyze_table";
pub(crate) const REPORT: &str = "report_query";

pub(crate) const FOCUS: &str = "focus";
pub(crate) const QUESTION: &str = "question";
pub(crate) const REPORT_TYPE: &str = "report_type";
pub(crate) const SOURCE: &str = "source";
pub(crate) const TABLE: &str = "table";

/// The most characters of an argument.
const ARGUMENT_CHARS_MAX: usize = 8000;

/// The prompts over these sources, by name.
pub(crate) fn all(sources: &[&About]) -> Vec<Prompt> {
    let question = argument(QUESTION, "Question", "What to find out, in plain words.", true);
    let table = argument(TABLE, "Table", "The table or view, as list_tables gives it.", true);
    let focus = argument(FOCUS, "Focus", "What to look at above all, such as one column or its quality.", false);
    let kinds = REPORTS.map(|report| report.name).join(", ");
    let report = argument(REPORT_TYPE, "Report type", &format!("The kind of report: {kinds}."), true);
    vec![
        prompt(
            ANALYZE,
            "Analyze a table",
            "Studies one table: what its rows stand for, what its values look like, and what is odd about them.",
            [table, focus].into_iter().chain(source(sources, true)),
        ),
        prompt(
            ANALYST,
            "Data analyst",
            "Answers a question about the data with queries, and says how the answer was found.",
            [question].into_iter().chain(source(sources, false)),
        ),
        prompt(
            REPORT,
            "Write a report query",
            "Writes and runs the query of a usual kind of report, and says what it shows.",
            [report].into_iter().chain(source(sources, false)),
        ),
    ]
}

fn source(sources: &[&About], required: bool) -> Option<PromptArgument> {
    let names: Vec<_> = sources.iter().map(|about| about.name.as_str()).collect();
    let said = format!("The data source: {}.", names.join(", "));
    (sources.len() > 1).then(|| argument(SOURCE, "Data source", &said, required))
}

fn prompt(name: &str, title: &str, description: &str, arguments: impl IntoIterator<Item = PromptArgument>) -> Prompt {
    Prompt::new(name, Some(description), Some(arguments.into_iter().collect())).with_title(title)
}

fn argument(name: &str, title: &str, description: &str, required: bool) -> PromptArgument {
    PromptArgument::new(name).with_title(title).with_description(description).with_required(required)
}

/// The arguments of a prompt, all known, no required one missing or empty.
#[derive(Debug)]
pub(crate) struct Arguments(JsonObject);

impl Arguments {
    /// The arguments, or a sentence about what is wrong with them.
    pub(crate) fn read(prompt: &Prompt, given: Option<JsonObject>) -> Result<Self, String> {
        let given = given.unwrap_or_default();
        let takes = prompt.arguments.as_deref().unwrap_or_default();
        let known: Vec<&str> = takes.iter().map(|argument| argument.name.as_str()).collect();
        for (name, value) in &given {
            let shown: String = name.chars().take(64).collect();
            if !known.contains(&name.as_str()) && name != SOURCE {
                let near = nearest(name, &known).map(|near| format!(" Did you mean `{near}`?")).unwrap_or_default();
                let known = known.join(", ");
                return Err(format!("The prompt has no argument `{shown}`; it takes: {known}.{near}"));
            }
            let Some(text) = value.as_str() else {
                return Err(format!("The argument `{shown}` of the prompt is not a text; expected one."));
            };
            if text.chars().count() > ARGUMENT_CHARS_MAX {
                return Err(format!(
                    "The argument `{shown}` of the prompt is too long; expected {ARGUMENT_CHARS_MAX} characters at most."
                ));
            }
        }
        let arguments = Self(given);
        match takes.iter().find(|takes| takes.required == Some(true) && arguments.get(&takes.name).is_none()) {
            Some(missing) => {
                Err(format!("The prompt needs the argument `{}`, a text that is not empty.", missing.name))
            }
            None => Ok(arguments),
        }
    }

    /// The argument, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.as_str()).map(str::trim).filter(|text| !text.is_empty())
    }
}

/// What the data analyst is told.
pub(crate) fn analyst(question: &str, place: &str) -> String {
    format!(
        "Answer this question from the data below: {question}\n\n\
         Work in small steps. Look at a table with describe_table before you rely on the meaning of a column. Query with \
         query_database: let SQL do the counting and summing, put values into `params`, and keep answers small. If an \
         answer says that it is truncated, narrow the query instead of guessing the rest. End with the answer in one or two \
         sentences, the numbers behind it, the SQL that gave them, and what the data cannot tell.\n\n{place}"
    )
}

/// What is told about the study of a table.
pub(crate) fn study(source: &str, table: &str, focus: Option<&str>, schema: &str) -> String {
    let focus = focus.map(|focus| format!(" Look above all at this: {focus}")).unwrap_or_default();
    format!(
        "Study the table `{table}` of the database `{source}`.{focus}\n\n\
         1. Call analyze_table for it and say what one row stands for, how many there are, and whether the numbers come from \
         all rows, a sample or statistics.\n\
         2. Name the columns that matter and what their values look like; say which are always, rarely or never empty, and \
         which have one value only.\n\
         3. Check what looks odd with query_database: values out of range, duplicates where a key is missing, references \
         that lead nowhere, times in the future.\n\
         4. End with three to five findings, each with its number and the SQL that shows it, and what to ask the owner of \
         the data.\n\n\
         The table's schema:\n\n```json\n{schema}\n```\n"
    )
}

/// What is told about a report.
pub(crate) fn report(report: &Report, dialects: &[Dialect], place: &str) -> String {
    let day = |dialect: &Dialect| match dialect {
        Dialect::Sqlite => "SQLite: strftime('%Y-%m-%d', column)",
        Dialect::Postgres => "PostgreSQL: date_trunc('day', column)",
    };
    let days = dialects.iter().map(day).collect::<Vec<_>>().join("; ");
    let (title, how) = (report.title, report.how);
    format!(
        "Write the query of a report: {title}.\n\n{how}\n\n\
         Choose the tables and columns that suit it from what is below, look at describe_table where their meaning is not \
         plain, and say which you chose and why. A day is cut out of a time by {days}. Put values such as dates into \
         `params`. Call explain_query if a table is large, run the query with query_database, then show the SQL, the result \
         as a table, and what it says in two or three sentences.\n\n{place}"
    )
}
