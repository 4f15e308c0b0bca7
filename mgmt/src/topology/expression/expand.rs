//! From symbols to fields: predicates and prerequisites are written out.

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::parse::{self, SymbolTest, Tree};
use super::symbols::{Meaning, SYMBOLS, Symbol};
use super::{Expression, Relation, Subject, Test, Value};

/// What each text of the table of symbols says, in fields.
static KNOWN: LazyLock<HashMap<&'static str, Expression>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    for symbol in SYMBOLS {
        let expansion = match symbol.meaning {
            Meaning::Predicate(expansion) => Some(expansion),
            Meaning::Bits { .. } => None,
        };
        for text in symbol.needs.into_iter().chain(expansion) {
            let read = || written_out(text, &|inner| written(inner));
            known.entry(text).or_insert_with(read);
        }
    }
    known
});

/// What a text of the table says, worked out anew.
fn written(text: &'static str) -> Expression {
    written_out(text, &|inner| written(inner))
}

/// What a text of the table says. A test reads all of them, so that none is wrong.
fn written_out(text: &'static str, inner: &dyn Fn(&'static str) -> Expression) -> Expression {
    match parse::tree(text, None) {
        Ok(tree) => expand_with(&tree, inner),
        Err(_) => Expression::Constant(false),
    }
}

/// Writes out everything that the symbols of a tree mean.
pub(super) fn expand(tree: &Tree) -> Expression {
    expand_with(tree, &|text| {
        KNOWN.get(text).cloned().unwrap_or_else(|| written(text))
    })
}

fn expand_with(tree: &Tree, meaning: &dyn Fn(&'static str) -> Expression) -> Expression {
    let all = |parts: &[Tree]| -> Vec<Expression> {
        let parts = parts.iter();
        parts.map(|part| expand_with(part, meaning)).collect()
    };
    match tree {
        Tree::Constant(truth) => Expression::Constant(*truth),
        Tree::All(parts) => Expression::All(all(parts)),
        Tree::Any(parts) => Expression::Any(all(parts)),
        Tree::Test(test) => expand_test(test, meaning),
    }
}

fn expand_test(test: &SymbolTest, meaning: &dyn Fn(&'static str) -> Expression) -> Expression {
    match test.symbol.meaning {
        Meaning::Predicate(text) => {
            let expansion = meaning(text);
            match wants(test) {
                Some(true) => expansion,
                Some(false) => negated(&expansion, meaning),
                None => Expression::Constant(test.relation == Relation::Equal),
            }
        }
        Meaning::Bits { of, low, .. } => {
            let own = Test {
                subject: of,
                low: low + test.low,
                bits: test.bits,
                relation: test.relation,
                values: test.values.clone(),
            };
            needing(test.symbol.needs, own, meaning)
        }
    }
}

/// What a test of a predicate asks: that it holds, or that it does not; `None` when it asks for either.
fn wants(test: &SymbolTest) -> Option<bool> {
    let mut truths = test.values.iter().map(|value| match value {
        Value::Number { value, .. } => (value & 1 == 1) == (test.relation == Relation::Equal),
        _ => false,
    });
    let first = truths.next()?;
    truths.all(|truth| truth == first).then_some(first)
}

/// A test together with what is true of packets that have its field at all.
fn needing(
    needs: Option<&'static str>,
    test: Test,
    meaning: &dyn Fn(&'static str) -> Expression,
) -> Expression {
    match needs {
        Some(needs) => Expression::All(vec![meaning(needs), Expression::Test(test)]),
        None => Expression::Test(test),
    }
}

/// What a packet needs to have a field.
fn needs_of(subject: Subject) -> Option<&'static str> {
    let whole = |symbol: &&Symbol| match symbol.meaning {
        Meaning::Bits { of, low, bits } => of == subject && low == 0 && bits == subject.bits(),
        Meaning::Predicate(_) => false,
    };
    SYMBOLS.iter().find(whole)?.needs
}

/// True exactly where the other is false; what fields need, they go on needing.
fn negated(expression: &Expression, meaning: &dyn Fn(&'static str) -> Expression) -> Expression {
    let all = |parts: &[Expression]| -> Vec<Expression> {
        let parts = parts.iter();
        parts.map(|part| negated(part, meaning)).collect()
    };
    match expression {
        Expression::Constant(truth) => Expression::Constant(!truth),
        Expression::All(parts) => Expression::Any(all(parts)),
        Expression::Any(parts) => Expression::All(all(parts)),
        Expression::Test(test) => {
            let opposite = Test {
                relation: test.relation.opposite(),
                ..test.clone()
            };
            needing(needs_of(test.subject), opposite, meaning)
        }
    }
}
