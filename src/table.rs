//! Tables as text.
//!
//! Hand-made. comfy-table, which knows the width of the terminal, would need more code here, not less: all
//! columns except the last must be exempt from wrapping.

use std::io::stdout;

use terminal_size::{Width, terminal_size_of};

use crate::printable::Printable;

/// A heading above each column. Columns are as wide as their widest cell. On a terminal, lines end where it
/// ends: the last column has the long texts, and another sub-command or `--json` shows them whole.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let width = terminal_size_of(stdout()).map(|(Width(width), _)| usize::from(width));
    table_of_width(width, head, rows)
}

fn table_of_width<const N: usize>(
    width_max: Option<usize>,
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let rows = rows.into_iter().map(|row| row.map(|cell| Printable(&cell).to_string()));
    let lines: Vec<_> = std::iter::once(head.map(ToOwned::to_owned)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    let line = |cells: &[String; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cut(cells.collect::<Vec<_>>().join("  ").trim_end(), width_max)
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The line, cut to a width.
fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width.saturating_sub(3)).chain("...".chars()).collect()
        }
        _ => line.to_owned(),
    }
}

/// A name and a value in each line. The lines of a value are aligned.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| {
        let lines: Vec<_> = value.split('\n').map(|line| Printable(line).to_string()).collect();
        format!("{name:<10}  {}", lines.join("\n            "))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["ä", "1"], ["long", ""]].map(|row| row.map(ToOwned::to_owned));
        assert_eq!(table_of_width(None, ["A", "B"], rows), "A     B\nä     1\nlong");
    }

    #[test]
    fn a_long_line_ends_where_the_terminal_ends() {
        let rows = [["a".to_owned(), "a long error".to_owned()]];
        assert_eq!(table_of_width(Some(10), ["A", "B"], rows), "A  B\na  a lo...");
    }

    #[test]
    fn a_cell_cannot_control_the_terminal() {
        let rows = [["\u{1b}[2J\nx".to_owned()]];
        assert_eq!(table_of_width(None, ["A"], rows), "A\n\\u001b[2J\\u000ax");
        assert_eq!(fields(&[("error", "\u{1b}\nb".to_owned())]), "error       \\u001b\n            b");
    }

    #[test]
    fn the_lines_of_a_value_are_aligned() {
        let rows = [("name", "one".to_owned()), ("error", "two\nthree".to_owned())];
        assert_eq!(fields(&rows), "name        one\nerror       two\n            three");
    }
}
