//! The kinds of reports that are asked for again and again, and how each is made.

/// A kind of report.
#[derive(Debug)]
pub(crate) struct Report {
    /// What the argument says.
    pub(crate) name: &'static str,
    /// What it is called.
    pub(crate) title: &'static str,
    /// How its query is made.
    pub(crate) how: &'static str,
}

/// All kinds, by name.
pub(crate) const REPORTS: [Report; 6] = [
    Report {
        name: "breakdown",
        title: "a breakdown of a total by one or two dimensions",
        how: "Group by the dimensions, give for each group the number of rows, the total and its share of the whole \
              (sum(x) * 1.0 / sum(sum(x)) OVER ()), order by the total, and put what is behind the first twenty groups into \
              one group of its own.",
    },
    Report {
        name: "daily_trend",
        title: "a daily trend over the last thirty days that have data",
        how: "Group by day, give the number of rows and one sum that matters, and set beside each day the mean of the seven \
              days up to it (avg(…) OVER (ORDER BY day ROWS 6 PRECEDING)). Days without rows are zero and not missing: make \
              the days with a recursive query and join to them.",
    },
    Report {
        name: "data_quality",
        title: "a report on the quality of the data",
        how: "For the main table: the share of empty values by column (analyze_table has it), duplicates of what should be \
              unique, references without a partner, values out of their range, times in the future, and the newest and \
              oldest row. Give for each finding the number of rows and one example key.",
    },
    Report {
        name: "period_comparison",
        title: "this period beside the one before",
        how: "Take the last whole month that has data and the month before it. Give for each group of one dimension both \
              sums, their difference, and the change in percent, the largest changes first; guard the division by \
              nullif(…, 0).",
    },
    Report {
        name: "retention",
        title: "retention of cohorts by month",
        how: "A cohort is everybody whose first event was in one month (min of the time for each person). For each cohort \
              give its size and the share that had an event one, two and three months later. One CTE for the first month, \
              one for the months with events, then a join and count(DISTINCT person) with FILTER.",
    },
    Report {
        name: "top_n",
        title: "the top ten by one measure",
        how: "Group by what is ranked, order by the measure and by the name, give the rank (rank() OVER (ORDER BY …)), the \
              measure and its share of the whole, and keep the first ten.",
    },
];

impl Report {
    /// The kind of that name.
    pub(crate) fn find(name: &str) -> Option<&'static Report> {
        REPORTS.iter().find(|report| report.name == name)
    }
}
