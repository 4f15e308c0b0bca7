//! Rows on the terminal.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::Value;
use sluice_mgmt::control::ClientError;
use sluice_mgmt::show::What;
use sluice_mgmt::show::columns::{Column, Layout, layout};

/// Rows in one table; what is longer is shown in several, so that the first appears at once.
const PAGE: usize = 2_000;

/// Did the reader of our output go away, as `head` does?
pub(super) fn is_closed_pipe(error: &ClientError) -> bool {
    matches!(error, ClientError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

/// One JSON array, written as its elements come.
#[derive(Default)]
pub(super) struct JsonRows {
    begun: bool,
}

impl JsonRows {
    pub(super) fn rows(&mut self, out: &mut impl Write, rows: &[Value]) -> io::Result<()> {
        for row in rows {
            out.write_all(if self.begun { b",\n" } else { b"[\n" })?;
            self.begun = true;
            write!(out, "{row}")?;
        }
        Ok(())
    }

    pub(super) fn end(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(if self.begun { b"\n]\n" } else { b"[]\n" })
    }
}

/// Rows laid out for people.
pub(super) struct Tables {
    layout: Layout,
    rows: Vec<Value>,
    shown: bool,
}

impl Tables {
    pub(super) fn new(what: What) -> Self {
        Self {
            layout: layout(what),
            rows: Vec::new(),
            shown: false,
        }
    }

    pub(super) fn rows(&mut self, out: &mut impl Write, rows: Vec<Value>) -> io::Result<()> {
        self.rows.extend(rows);
        if self.rows.len() >= PAGE {
            self.show(out)
        } else {
            Ok(())
        }
    }

    pub(super) fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() && self.shown {
            Ok(())
        } else {
            self.show(out)
        }
    }

    fn show(&mut self, out: &mut impl Write) -> io::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.shown = true;
        match self.layout {
            Layout::Table(columns) => table(out, columns, &rows),
            Layout::Record(fields) => rows.iter().try_for_each(|row| record(out, fields, row)),
        }
    }
}

fn table(out: &mut impl Write, columns: &[Column], rows: &[Value]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(
            columns
                .iter()
                .map(|(_, field)| cell(row.get(field).unwrap_or(&Value::Null))),
        );
    }
    let last = columns.len().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index == last { 0 } else { 2 }));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn record(out: &mut impl Write, fields: &[Column], row: &Value) -> io::Result<()> {
    let width = fields
        .iter()
        .map(|(heading, _)| heading.len())
        .max()
        .unwrap_or(0);
    for (heading, field) in fields {
        writeln!(
            out,
            "{heading:width$}  {}",
            text(row.get(field).unwrap_or(&Value::Null))
        )?;
    }
    Ok(())
}

fn cell(value: &Value) -> Cell {
    let alignment = if value.is_number() {
        CellAlignment::Right
    } else {
        CellAlignment::Left
    };
    Cell::new(text(value)).set_alignment(alignment)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(what: What, rows: Vec<Value>) -> String {
        let (mut out, mut tables) = (Vec::new(), Tables::new(what));
        for row in rows {
            tables.rows(&mut out, vec![row]).expect("memory");
        }
        tables.end(&mut out).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_table_aligns_numbers_and_names_nothing() {
        let row = |reason: &str, packets: u64| json!({ "reason": reason, "packets": packets, "description": "Why." });
        let text = shown(
            What::Drops,
            vec![row("no-route", 7), row("blackhole", 1234)],
        );
        let expected = "\
REASON     PACKETS  MEANING
no-route         7  Why.
blackhole     1234  Why.
";
        assert_eq!(text, expected);
        assert_eq!(shown(What::Drops, Vec::new()), "REASON  PACKETS  MEANING\n");
        let fdb = shown(
            What::Fdb,
            vec![json!({ "switch": "s1", "vlan": null, "kind": "static" })],
        );
        assert_eq!(
            fdb.lines().nth(1),
            Some("s1      -     -    -     static  -        -")
        );
    }

    #[test]
    fn json_is_one_array_however_it_comes() {
        let write = |pieces: &[&[Value]]| {
            let (mut out, mut array) = (Vec::new(), JsonRows::default());
            for piece in pieces {
                array.rows(&mut out, piece).expect("memory");
            }
            array.end(&mut out).expect("memory");
            serde_json::from_slice::<Value>(&out).expect("JSON")
        };
        assert_eq!(write(&[]), json!([]));
        assert_eq!(
            write(&[&[json!(1), json!(2)], &[json!(3)]]),
            json!([1, 2, 3])
        );
    }

    #[test]
    fn a_long_table_is_shown_in_pages() {
        let row = json!({ "reason": "r", "packets": 1, "description": "d" });
        let text = shown(What::Drops, vec![row; PAGE + 1]);
        assert_eq!(text.matches("REASON").count(), 2);
        assert_eq!(text.lines().count(), PAGE + 1 + 2);
    }
}
