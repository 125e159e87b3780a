//! Tables that line up, ages in words, colours only on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

/// Rows under headings, each column as wide as its widest cell.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text; a cell that is a status is coloured if `colours`.
    pub(crate) fn render(&self, colours: bool) -> String {
        let headings: Vec<String> = self.headings.iter().map(|h| (*h).to_owned()).collect();
        let mut widths = vec![0; headings.len()];
        for row in std::iter::once(&headings).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = line(&headings, &widths, false);
        for row in &self.rows {
            text.push_str(&line(row, &widths, colours));
        }
        text
    }
}

fn line(cells: &[String], widths: &[usize], colours: bool) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let last = at + 1 == cells.len();
        let padding = if last { 0 } else { width - cell.chars().count() + 2 };
        match colour(cell).filter(|_| colours) {
            Some(code) => text.push_str(&format!("\x1b[{code}m{cell}\x1b[0m")),
            None => text.push_str(cell),
        }
        text.push_str(&" ".repeat(padding));
    }
    let mut text = text.trim_end().to_owned();
    text.push('\n');
    text
}

fn colour(cell: &str) -> Option<u8> {
    match cell {
        "RUNNING" | "ACTIVE" | "HEALTHY" | "COMPLETED" => Some(32),
        "PENDING" | "PROVISIONING" | "IN_PROGRESS" | "DRAINING" => Some(33),
        "STOPPED" | "FAILED" | "UNHEALTHY" => Some(31),
        _ => None,
    }
}

/// Whether standard output wants colours (<https://no-color.org>).
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Such as `42s`, `3m`, `5h` or `12d`.
pub(crate) fn age(age: Duration) -> String {
    match age.as_secs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// What stands after the last slash of an ARN.
pub(crate) fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_and_without_colours() {
        let mut table = Table::new(&["NAME", "STATUS", "AGE"]);
        table.row(vec!["web".into(), "RUNNING".into(), "3m".into()]);
        table.row(vec!["a-longer-name".into(), "STOPPED".into(), String::new()]);
        assert_eq!(
            table.render(false),
            "NAME           STATUS   AGE\n\
             web            RUNNING  3m\n\
             a-longer-name  STOPPED\n"
        );
        assert!(table.render(true).contains("\x1b[32mRUNNING\x1b[0m  3m"));
    }

    #[test]
    fn ages_are_short() {
        let told: Vec<String> =
            [0, 59, 60, 7199, 7200, 90_000].map(|s| age(Duration::from_secs(s))).to_vec();
        assert_eq!(told, ["0s", "59s", "1m", "1h", "2h", "1d"]);
    }
}
