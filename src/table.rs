//! Tables as text.
//!
//! Hand-made. comfy-table, which knows the width of the terminal, would need more code here, not less: all
//! columns except the last must be exempt from wrapping, and the width must come from another crate.

/// A heading above each column. Columns are as wide as their widest cell.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let lines: Vec<_> = std::iter::once(head.map(ToOwned::to_owned)).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    let line = |cells: &[String; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A name and a value in each line. The lines of a value are aligned.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let line =
        |(name, value): &(&str, String)| format!("{name:<10}  {}", value.replace('\n', "\n            "));
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["ä", "1"], ["long", ""]].map(|row| row.map(ToOwned::to_owned));
        assert_eq!(table(["A", "B"], rows), "A     B\nä     1\nlong");
    }

    #[test]
    fn the_lines_of_a_value_are_aligned() {
        let rows = [("name", "one".to_owned()), ("error", "two\nthree".to_owned())];
        assert_eq!(fields(&rows), "name        one\nerror       two\n            three");
    }
}
