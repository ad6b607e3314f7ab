//! Tables for people: columns as wide as their widest cell, the last one as it comes.

use crate::output::Tone;

/// Rows under headings.
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; a short one is filled up with nothing.
    pub(crate) fn row<const N: usize>(&mut self, cells: [(String, Tone); N]) {
        self.rows.push(cells.into());
    }

    /// All lines. Widths count characters, not the codes of colours.
    pub(crate) fn render(&self, colour: bool) -> String {
        let clean: Vec<Vec<(String, Tone)>> = self
            .rows
            .iter()
            .map(|row| {
                row.iter()
                    .map(|(text, tone)| (printable(text), *tone))
                    .collect()
            })
            .collect();
        let width = |column: usize| {
            clean
                .iter()
                .filter_map(|row| row.get(column))
                .map(|(text, _)| text.chars().count())
                .chain([self.headings[column].len()])
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let headings = self
            .headings
            .iter()
            .map(|heading| ((*heading).to_owned(), Tone::Dim))
            .collect();
        let mut out = String::new();
        for row in std::iter::once(&headings).chain(&clean) {
            let last = row.len().saturating_sub(1);
            for (column, (text, tone)) in row.iter().enumerate() {
                out.push_str(&tone.paint(text, colour));
                if column < last {
                    let padding = widths[column].saturating_sub(text.chars().count()) + 2;
                    out.extend(std::iter::repeat_n(' ', padding));
                }
            }
            while out.ends_with(' ') {
                out.pop();
            }
            out.push('\n');
        }
        out
    }
}

/// Names and messages come from images and users: no control character of theirs reaches the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::output::Tone;

    fn cell(text: &str) -> (String, Tone) {
        (text.to_owned(), Tone::Plain)
    }

    #[test]
    fn columns_line_up_with_and_without_colour() {
        let mut table = Table::new(&["ID", "NAME", "STATE"]);
        table.row([
            cell("a"),
            cell("long-name"),
            ("running".to_owned(), Tone::Good),
        ]);
        table.row([cell("abc"), cell("ä"), cell("")]);
        assert_eq!(
            table.render(false),
            "ID   NAME       STATE\na    long-name  running\nabc  ä\n"
        );
        let coloured = table.render(true);
        assert!(
            coloured.contains("long-name  \x1b[32mrunning\x1b[0m"),
            "{coloured:?}"
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(&["NAME"]);
        table.row([cell("a\x1b[2Jb\nc")]);
        let text = table.render(false);
        assert!(!text.contains('\x1b'), "{text:?}");
        assert_eq!(text.lines().count(), 2);
    }
}
