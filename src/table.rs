//! Tables as text.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

/// The last column never becomes narrower than this, even if the table is then wider than the terminal.
const LAST_COLUMN_MIN: u16 = 20;

/// A heading above each column. The last column wraps at the width of the terminal.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.set_header(head).add_rows(rows);
    text(table, terminal_width())
}

/// A name and a value in each line. Long values wrap at the width of the terminal.
pub(crate) fn fields(rows: Vec<[String; 2]>) -> String {
    let mut table = Table::new();
    table.add_rows(rows);
    text(table, terminal_width())
}

/// In columns. `None` if standard output is not a terminal: then nothing wraps.
fn terminal_width() -> Option<u16> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(columns)
}

fn text(mut table: Table, width: Option<u16>) -> String {
    table.load_style(NOTHING);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2)).set_constraint(match index == last {
            true => ColumnConstraint::LowerBoundary(Width::Fixed(LAST_COLUMN_MIN)),
            false => ColumnConstraint::ContentWidth,
        });
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: Option<u16>) -> String {
        let mut table = Table::new();
        table.set_header(["A", "B"]).add_rows([["ä", "1 long text in many words"], ["long", ""]]);
        text(table, width)
    }

    #[test]
    fn columns_are_as_wide_as_their_content() {
        assert_eq!(shown(None), "A     B\nä     1 long text in many words\nlong");
    }

    #[test]
    fn the_last_column_wraps_at_the_width_of_the_terminal() {
        assert_eq!(shown(Some(30)), "A     B\nä     1 long text in many\n      words\nlong");
    }
}
