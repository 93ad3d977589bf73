//! Tables as Markdown.

use std::fmt;

/// A table: columns of figures behind one of names.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows. `names` says what the rows are.
    pub fn new<C: Into<String>>(names: &str, columns: impl IntoIterator<Item = C>) -> Self {
        let names = std::iter::once(names.to_owned());
        Self {
            columns: names.chain(columns.into_iter().map(Into::into)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        let row: Vec<_> = std::iter::once(name.to_owned()).chain(cells).collect();
        assert_eq!(row.len(), self.columns.len(), "a cell for each column of {name}");
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|---|{}", "--:|".repeat(self.columns.len() - 1))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}
