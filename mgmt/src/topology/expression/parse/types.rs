//! OVN's rules of what may be compared with what.

use std::ops::Range;

use super::{Given, Operand, Parser, SymbolTest, Tree, Values};
use crate::topology::expression::constant::{Constant, Form};
use crate::topology::expression::fault::Fault;
use crate::topology::expression::symbols::Meaning;
use crate::topology::expression::{Ports, Relation, Subject, Value};
use crate::topology::nearest;

impl Parser<'_, '_> {
    /// Checks a comparison.
    pub(super) fn test(
        &self,
        operand: &Operand,
        relation: Relation,
        values: Values,
    ) -> Result<Tree, Fault> {
        self.check_relation(operand, relation, &values)?;
        let checked = values.all.into_iter().map(|(given, span)| {
            let value = self.check_value(operand, given, &span)?;
            let masked = matches!(value, Value::Number { mask: Some(_), .. });
            if masked && !relation.is_equality() {
                let message = "a masked value is neither larger nor smaller";
                return Err(Fault::new(span, message).mend("use == or !="));
            }
            Ok(value)
        });
        Ok(Tree::Test(SymbolTest {
            symbol: operand.symbol,
            low: operand.low,
            bits: operand.bits,
            relation,
            values: checked.collect::<Result<_, _>>()?,
        }))
    }

    fn check_relation(
        &self,
        operand: &Operand,
        relation: Relation,
        values: &Values,
    ) -> Result<(), Fault> {
        let name = operand.symbol.name;
        let predicate = matches!(operand.symbol.meaning, Meaning::Predicate(_));
        let whole = operand.span.start.min(values.span.start)..operand.span.end;
        if !relation.is_equality() {
            let set = values.braces || matches!(values.all.as_slice(), [(Given::AddressSet(_), _)]);
            if set {
                let message = "a set is neither larger nor smaller";
                return Err(Fault::new(values.span.clone(), message).mend("use == or !="));
            }
            if operand.symbol.nominal || predicate {
                let message = format!("`{name}` is neither larger nor smaller");
                return Err(Fault::new(whole, message).mend("use =="));
            }
        }
        if !operand.symbol.nominal {
            return Ok(());
        }
        let wanted = if self.negated {
            Relation::NotEqual
        } else {
            Relation::Equal
        };
        if predicate {
            let holds = |(given, _): &(Given, _)| {
                let one = matches!(given, Given::Constant(constant) if constant.value & 1 == 1);
                one == (relation == wanted)
            };
            if !values.all.iter().all(holds) {
                let message = format!("that `{name}` does not hold cannot be asked");
                return Err(Fault::new(whole, message).mend(
                    "say what holds instead, or let a rule of higher priority take these packets",
                ));
            }
        } else if relation != wanted {
            let message = format!("`{name}` is compared for equality only");
            return Err(Fault::new(whole, message).mend(
                "say which values are meant, or let a rule of higher priority take the others",
            ));
        }
        Ok(())
    }

    fn check_value(
        &self,
        operand: &Operand,
        given: Given,
        span: &Range<usize>,
    ) -> Result<Value, Fault> {
        let fault = |message: String, mend: &str| Err(Fault::new(span.clone(), message).mend(mend));
        let name = operand.symbol.name;
        match given {
            Given::Constant(_) | Given::AddressSet(_) if operand.symbol.is_port() => fault(
                format!("`{name}` is a port and not a number"),
                "compare it with \"NAME\" or @GROUP",
            ),
            Given::Port(_) | Given::PortGroup(_) if !operand.symbol.is_port() => fault(
                format!("`{name}` is a number and not a port"),
                "compare it with a number or an address",
            ),
            Given::Constant(constant) => check_constant(operand, constant, span),
            Given::AddressSet(set) => self.check_set(operand, set, span),
            Given::Port(port) => {
                match self.ports(operand) {
                    Ports::None(why) => return fault(why.to_owned(), "remove it"),
                    Ports::Checked(check) => {
                        if let Err((message, mend)) = check(&port) {
                            return fault(message, &mend);
                        }
                    }
                }
                Ok(Value::Port(port))
            }
            Given::PortGroup(group) => {
                if let Ports::None(why) = self.ports(operand) {
                    return fault(why.to_owned(), "remove it");
                }
                let groups = self.scope.map(|scope| scope.port_groups);
                if !groups.is_some_and(|groups| groups.contains(group.as_str())) {
                    let near = nearest(&group, groups.into_iter().flatten().copied());
                    let mend = near.map_or_else(
                        || format!("declare [port_group.{group}]"),
                        |near| format!("did you mean `@{near}`?"),
                    );
                    return fault(format!("there is no port group `{group}`"), &mend);
                }
                Ok(Value::PortGroup(group))
            }
        }
    }

    fn ports(&self, operand: &Operand) -> Ports<'_> {
        let Some(scope) = self.scope else {
            return Ports::None("no ports are known here");
        };
        match operand.symbol.meaning {
            Meaning::Bits {
                of: Subject::OutPort,
                ..
            } => scope.outport,
            _ => scope.inport,
        }
    }

    fn check_set(
        &self,
        operand: &Operand,
        set: String,
        span: &Range<usize>,
    ) -> Result<Value, Fault> {
        let sets = self.scope.map(|scope| scope.address_sets);
        let Some(addresses) = sets.and_then(|sets| sets.get(&set)) else {
            let names = sets.into_iter().flatten().map(|(name, _)| name.as_str());
            let mend = nearest(&set, names).map_or_else(
                || format!("declare [address_set.{set}]"),
                |near| format!("did you mean `${near}`?"),
            );
            let message = format!("there is no address set `{set}`");
            return Err(Fault::new(span.clone(), message).mend(mend));
        };
        if let Some(first) = addresses.first() {
            check_form(operand, first.form, span)?;
        }
        Ok(Value::AddressSet(set))
    }
}

fn check_constant(
    operand: &Operand,
    constant: Constant,
    span: &Range<usize>,
) -> Result<Value, Fault> {
    if constant.form.bits().is_some() {
        check_form(operand, constant.form, span)?;
    } else if constant.width() > operand.bits {
        let message = format!(
            "{constant} has {} bits, and `{}` {}",
            constant.width(),
            operand.symbol.name,
            operand.bits
        );
        let largest = u128::MAX >> (128 - u32::from(operand.bits));
        return Err(Fault::new(span.clone(), message).mend(format!("0 to {largest}")));
    }
    Ok(Value::Number {
        value: constant.value,
        mask: constant.mask,
    })
}

/// An address is compared with the whole of a field of its kind.
fn check_form(operand: &Operand, form: Form, span: &Range<usize>) -> Result<(), Fault> {
    if form.bits() == Some(operand.bits) {
        return Ok(());
    }
    let name = operand.symbol.name;
    let message = format!(
        "{} cannot be compared with `{name}`, which has {} bits",
        form.name(),
        operand.bits
    );
    let other = match form {
        Form::Ipv4 => name.replacen("ip6", "ip4", 1),
        Form::Ipv6 => name.replacen("ip4", "ip6", 1),
        _ => name.to_owned(),
    };
    let mend = if other == name {
        "an IPv4 address has 32 bits, a MAC address 48, an IPv6 address 128".to_owned()
    } else {
        format!("did you mean `{other}`?")
    };
    Err(Fault::new(span.clone(), message).mend(mend))
}
