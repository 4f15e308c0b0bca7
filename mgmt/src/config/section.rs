//! A table of a TOML file, read key by key. Whatever is wrong is noted with its place and reading
//! goes on, so that one run tells everything.

use std::cell::{Cell, RefCell};
use std::ops::{Range, RangeInclusive};

use hashbrown::HashSet;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Location, Source};
use super::values::Value;
use crate::topology::nearest;

/// What reading a file has found so far.
#[derive(Default)]
pub(super) struct Findings<'d> {
    pub errors: RefCell<Vec<Diagnostic>>,
    /// Lines of further files that errors point into; they follow the sources known so far.
    pub lines: RefCell<Vec<Source>>,
    /// How many sources there were before `lines`.
    pub first_line: usize,
    /// Nouns and names whose table has errors: what is known of them is not the whole truth, so
    /// problems that follow from it are not worth telling.
    pub damaged: RefCell<HashSet<(&'static str, &'d str)>>,
    /// The same for the file as a whole.
    pub damaged_root: Cell<bool>,
}

/// A table and where it belongs.
#[derive(Clone, Copy)]
pub(super) struct Section<'d, 'f> {
    table: &'d DeTable<'d>,
    /// Where the table itself is.
    start: usize,
    end: usize,
    /// How to speak of it, for example "a switch port".
    noun: &'static str,
    /// The top-level noun and name it belongs to.
    owner: Option<(&'static str, &'d str)>,
    source: usize,
    findings: &'f Findings<'d>,
}

impl<'d, 'f> Section<'d, 'f> {
    /// The whole file.
    pub(super) fn root(
        table: &'d DeTable<'d>,
        source: usize,
        keys: &[&str],
        findings: &'f Findings<'d>,
    ) -> Self {
        let section = Self {
            table,
            start: 0,
            end: 0,
            noun: "the file",
            owner: None,
            source,
            findings,
        };
        section.refuse_unknown(keys);
        section
    }

    fn child(self, table: &'d DeTable<'d>, span: Range<usize>, noun: &'static str) -> Self {
        Self {
            table,
            start: span.start,
            end: span.end,
            noun,
            ..self
        }
    }

    /// Notes an error at a stretch of the file.
    pub(super) fn error(self, span: Range<usize>, message: String, help: Option<String>) {
        let mut error = Diagnostic::error(message).at(Location {
            source: self.source,
            span: span.into(),
        });
        error.help = help;
        self.note(error);
    }

    fn note(self, error: Diagnostic) {
        self.findings.errors.borrow_mut().push(error);
        match self.owner {
            Some(owner) => _ = self.findings.damaged.borrow_mut().insert(owner),
            None => self.findings.damaged_root.set(true),
        }
    }

    /// Notes an error in a line of another file that this table brought in.
    pub(super) fn error_in_line(self, line: Source, message: String, help: Option<String>) {
        let mut lines = self.findings.lines.borrow_mut();
        let mut error = Diagnostic::error(message).at(Location {
            source: self.findings.first_line + lines.len(),
            span: (0..line.text.len()).into(),
        });
        error.help = help;
        lines.push(line);
        self.note(error);
    }

    fn refuse_unknown(self, keys: &[&str]) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if keys.contains(&name) {
                continue;
            }
            let help = match nearest(name, keys.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", keys.join(", ")),
            };
            let message = format!("{} has no key `{name}`", self.noun);
            self.error(key.span(), message, Some(help));
        }
    }

    /// Where this table is in the file.
    pub(super) fn span(self) -> Range<usize> {
        self.start..self.end
    }

    /// Is the key there?
    pub(super) fn has(self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where the value of a key is, or else the table.
    pub(super) fn span_of(self, key: &str) -> Range<usize> {
        self.table.get(key).map_or(self.span(), Spanned::span)
    }

    fn wrong_type(self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str, example: String) {
        let is = value.get_ref().type_str();
        let message = format!("`{key}` of {} is {wanted}, not {is}", self.noun);
        self.error(value.span(), message, Some(example));
    }

    /// The tables under `key`, by name: `[key.NAME]`.
    pub(super) fn named(
        self,
        key: &'static str,
        noun: &'static str,
        keys: &'static [&'static str],
    ) -> impl Iterator<Item = (&'d str, Self)> {
        let tables = self.table.get(key).and_then(|value| {
            if let DeValue::Table(table) = value.get_ref() {
                return Some(table);
            }
            let example = format!("write [{key}.NAME]");
            self.wrong_type(key, value, "a set of named tables", example);
            None
        });
        tables
            .into_iter()
            .flatten()
            .filter_map(move |(name, value)| {
                let name: &'d str = name.get_ref().as_ref();
                let owner = self.owner.or(Some((key, name)));
                let outer = Self { owner, ..self };
                let DeValue::Table(table) = value.get_ref() else {
                    outer.wrong_type(name, value, "a table", format!("write [{key}.{name}]"));
                    return None;
                };
                let section = outer.child(table, value.span(), noun);
                section.refuse_unknown(keys);
                Some((name, section))
            })
    }

    /// The table `[key]`, if it is there.
    pub(super) fn table(
        self,
        key: &'static str,
        noun: &'static str,
        keys: &'static [&'static str],
    ) -> Option<Self> {
        let value = self.table.get(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, "a table", format!("write [{key}]"));
            return None;
        };
        let section = self.child(table, value.span(), noun);
        section.refuse_unknown(keys);
        Some(section)
    }

    /// The tables of an array `[[...key]]`.
    pub(super) fn tables(
        self,
        key: &'static str,
        noun: &'static str,
        keys: &'static [&'static str],
    ) -> impl Iterator<Item = Self> {
        let array = self.table.get(key).and_then(|value| {
            if let DeValue::Array(array) = value.get_ref() {
                return Some(array);
            }
            self.wrong_type(key, value, "a list of tables", "write [[...]]".to_owned());
            None
        });
        array
            .into_iter()
            .flat_map(|array| array.iter())
            .filter_map(move |value| {
                let DeValue::Table(table) = value.get_ref() else {
                    self.wrong_type(key, value, "a list of tables", "write [[...]]".to_owned());
                    return None;
                };
                let section = self.child(table, value.span(), noun);
                section.refuse_unknown(keys);
                Some(section)
            })
    }

    /// The one table, or the several of an array, under `key`.
    pub(super) fn one_or_more(
        self,
        key: &'static str,
        noun: &'static str,
        keys: &'static [&'static str],
    ) -> Vec<Self> {
        let value = self.table.get(key);
        if let Some(DeValue::Array(array)) = value.map(Spanned::get_ref) {
            if array.len() == 1 {
                let message = format!("`{key}` is a list of one");
                self.error(
                    self.span_of(key),
                    message,
                    Some("write it without [ ]".to_owned()),
                );
            }
            return self.tables(key, noun, keys).collect();
        }
        self.table(key, noun, keys).into_iter().collect()
    }

    /// Keys and values of the table `key` that maps names to `T`, for example `{ gw1 = 20 }`.
    pub(super) fn map<T>(
        self,
        key: &'static str,
        noun: &'static str,
        read: impl Fn(Self, &'d str) -> Option<T>,
    ) -> impl Iterator<Item = (&'d str, T)> {
        let section = self.table.get(key).and_then(|value| {
            if let DeValue::Table(table) = value.get_ref() {
                return Some(self.child(table, value.span(), noun));
            }
            self.wrong_type(
                key,
                value,
                "a table",
                format!("write {key} = {{ name = value }}"),
            );
            None
        });
        section
            .into_iter()
            .flat_map(|section| section.table.keys().map(move |k| (section, k)))
            .filter_map(move |(section, name)| {
                let name: &'d str = name.get_ref().as_ref();
                Some((name, read(section, name)?))
            })
    }

    /// A text.
    pub(super) fn text(self, key: &str) -> Option<&'d str> {
        let value = self.table.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => {
                self.wrong_type(key, value, "a string", format!("write {key} = \"...\""));
                None
            }
        }
    }

    /// A text with a meaning.
    pub(super) fn value<T: Value>(self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        self.read(key, text, self.span_of(key))
    }

    fn read<T: Value>(self, key: &str, text: &str, span: Range<usize>) -> Option<T> {
        match T::read(text) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.error(span, format!("`{key}`: {}", fault.message), fault.help);
                None
            }
        }
    }

    /// What the name of a key of this table means.
    pub(super) fn name<T: Value>(self, key: &str) -> Option<T> {
        let span = self.table.get_key_value(key).map(|(name, _)| name.span());
        self.read(key, key, span.unwrap_or_else(|| self.span()))
    }

    /// What the name of this table means.
    pub(super) fn is_named<T: Value>(self, name: &str) -> Option<T> {
        self.read(name, name, self.span())
    }

    /// A list of texts with a meaning; empty when it is left out.
    pub(super) fn list<T: Value>(self, key: &str) -> Vec<T> {
        let Some(value) = self.table.get(key) else {
            return Vec::new();
        };
        let example = || format!("write {key} = [\"...\", \"...\"]");
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(key, value, "a list of strings", example());
            return Vec::new();
        };
        let items = array.iter().filter_map(|item| {
            let DeValue::String(text) = item.get_ref() else {
                self.wrong_type(key, item, "a list of strings", example());
                return None;
            };
            self.read(key, text, item.span())
        });
        items.collect()
    }

    /// A list of numbers; `None` when it is left out.
    pub(super) fn numbers(self, key: &str, range: RangeInclusive<u64>) -> Option<Vec<u64>> {
        let value = self.table.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(
                key,
                value,
                "a list of numbers",
                format!("write {key} = [1]"),
            );
            return None;
        };
        let items = array
            .iter()
            .filter_map(|item| self.in_range(key, item, range.clone()));
        Some(items.collect())
    }

    /// A number in a range.
    pub(super) fn number<T: TryFrom<u64>>(
        self,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Option<T> {
        let value = self.table.get(key)?;
        T::try_from(self.in_range(key, value, range)?).ok()
    }

    fn in_range(
        self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let (first, last) = (range.start(), range.end());
        let DeValue::Integer(number) = value.get_ref() else {
            self.wrong_type(key, value, "a number", format!("{first} to {last}"));
            return None;
        };
        let parsed = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let inside = parsed.filter(|number| range.contains(number));
        if inside.is_none() {
            let message = format!(
                "`{key}` of {} is {first} to {last}, not {number}",
                self.noun
            );
            self.error(value.span(), message, None);
        }
        inside
    }

    /// True or false.
    pub(super) fn flag(self, key: &str, default: bool) -> bool {
        let Some(value) = self.table.get(key) else {
            return default;
        };
        match value.get_ref() {
            DeValue::Boolean(flag) => *flag,
            _ => {
                self.wrong_type(
                    key,
                    value,
                    "true or false",
                    format!("write {key} = {default}"),
                );
                default
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let message = format!("`{key}` of {} cannot be \"{text}\"", self.noun);
        let help = format!("one of {}", known.join(", "));
        self.error(self.span_of(key), message, Some(help));
        None
    }

    /// Notes that a key is missing unless it is there.
    pub(super) fn require(self, key: &str, example: &str) {
        if !self.has(key) {
            let message = format!("{} needs `{key}`", self.noun);
            self.error(self.span(), message, Some(format!("add {key} = {example}")));
        }
    }

    /// Notes each of the keys that is there although it has no meaning here.
    pub(super) fn refuse(self, keys: &[&str], why: &str) {
        for key in keys {
            if let Some((name, _)) = self.table.get_key_value(*key) {
                let message = format!("`{key}` has no meaning here: {why}");
                self.error(name.span(), message, Some(format!("remove {key}")));
            }
        }
    }
}
