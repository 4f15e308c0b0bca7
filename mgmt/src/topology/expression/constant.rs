//! Numbers and addresses as expressions and address sets write them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_net::addr::Mac;

/// How a number was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `80`
    Decimal,
    /// `0x50`
    Hexadecimal,
    /// `02:ac:10:ff:00:10`
    Mac,
    /// `192.168.0.1`
    Ipv4,
    /// `fd00::1`
    Ipv6,
}

/// A number, perhaps with a mask of the bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Constant {
    /// The number; no bit outside the mask is set.
    pub value: u128,
    /// The bits that count; `None` is all of them.
    pub mask: Option<u128>,
    /// How it was written.
    pub form: Form,
}

/// Why a text is no constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConstantError {
    /// What is wrong.
    pub message: String,
    /// What would mend it.
    pub mend: String,
}

fn wrong(message: String, mend: impl Into<String>) -> ConstantError {
    ConstantError {
        message,
        mend: mend.into(),
    }
}

impl Form {
    /// How many bits an address of this form has; `None` of a plain number.
    pub fn bits(self) -> Option<u8> {
        match self {
            Self::Decimal | Self::Hexadecimal => None,
            Self::Mac => Some(48),
            Self::Ipv4 => Some(32),
            Self::Ipv6 => Some(128),
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decimal | Self::Hexadecimal => "a number",
            Self::Mac => "a MAC address",
            Self::Ipv4 => "an IPv4 address",
            Self::Ipv6 => "an IPv6 address",
        }
    }
}

impl Constant {
    /// Reads `VALUE` or `VALUE/MASK`. The mask of an IP address may be a prefix length.
    ///
    /// # Errors
    /// What is wrong with the text, and what would mend it.
    pub fn read(text: &str) -> Result<Self, ConstantError> {
        let Some((value, mask)) = text.split_once('/') else {
            let (value, form) = number(text)?;
            return Ok(Self {
                value,
                mask: None,
                form,
            });
        };
        let (value, form) = number(value)?;
        let mask = mask_of(form, mask)?;
        let constant = Self {
            value: value & mask,
            mask: Some(mask),
            form,
        };
        if value & !mask != 0 {
            return Err(wrong(
                format!("`{text}` has bits set that its mask leaves out"),
                format!("write {constant}"),
            ));
        }
        Ok(constant)
    }

    /// How many bits are needed to hold it.
    pub fn width(&self) -> u8 {
        let used = self.mask.unwrap_or(self.value);
        self.form
            .bits()
            .unwrap_or((128 - used.leading_zeros()) as u8)
    }

    /// First and last number of so many bits that fit; `None` when the mask is no prefix.
    pub fn prefix(&self, bits: u8) -> Option<(u128, u128)> {
        let all = u128::MAX >> (128 - u32::from(bits.max(1)));
        let free = !self.mask.unwrap_or(all) & all;
        (free & free.wrapping_add(1) == 0).then_some((self.value, self.value | free))
    }
}

/// The number that a text without mask stands for.
fn number(text: &str) -> Result<(u128, Form), ConstantError> {
    let too_large = |_| {
        wrong(
            format!("`{text}` is too large"),
            "a number has at most 128 bits",
        )
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_hexdigit());
    if let Some(hex) = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .filter(|hex| digits(hex))
    {
        let value = u128::from_str_radix(hex, 16).map_err(too_large)?;
        return Ok((value, Form::Hexadecimal));
    }
    if !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit()) {
        let value = text.parse().map_err(too_large)?;
        return Ok((value, Form::Decimal));
    }
    if let Ok(mac) = text.parse::<Mac>() {
        return Ok((mac.to_u64().into(), Form::Mac));
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok((ip.to_bits().into(), Form::Ipv4));
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Ok((ip.to_bits(), Form::Ipv6));
    }
    Err(wrong(
        format!("`{text}` is neither a number nor an address"),
        "such as 80, 0x800, 10.0.0.1, 10.0.0.0/8, fd00::/8 or 02:ac:10:ff:00:10",
    ))
}

fn mask_of(form: Form, text: &str) -> Result<u128, ConstantError> {
    let (mask, written) = number(text)?;
    match (form, written) {
        (Form::Ipv4 | Form::Ipv6, Form::Decimal) => {
            let bits = u32::from(form.bits().unwrap_or(128));
            let length = u32::try_from(mask).ok().filter(|length| *length <= bits);
            let Some(length) = length else {
                return Err(wrong(
                    format!("a prefix of {} is at most {bits} long", form.name()),
                    format!("/0 to /{bits}"),
                ));
            };
            let all = u128::MAX >> (128 - bits);
            let free = all.checked_shr(length).unwrap_or(0);
            Ok(all & !free)
        }
        (Form::Decimal | Form::Hexadecimal, Form::Decimal | Form::Hexadecimal) => Ok(mask),
        _ if form == written => Ok(mask),
        _ => Err(wrong(
            format!("the mask of {} has another form", form.name()),
            match form {
                Form::Ipv4 => "such as /24 or /255.255.255.0",
                Form::Ipv6 => "such as /64 or /ffff:ffff::",
                Form::Mac => "such as /ff:ff:ff:00:00:00",
                _ => "such as /0xff",
            },
        )),
    }
}

/// As it may be written.
impl fmt::Display for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |f: &mut fmt::Formatter<'_>, number: u128| match self.form {
            Form::Decimal => write!(f, "{number}"),
            Form::Hexadecimal => write!(f, "{number:#x}"),
            Form::Mac => write!(f, "{}", Mac::from_u64(number as u64)),
            Form::Ipv4 => write!(f, "{}", Ipv4Addr::from_bits(number as u32)),
            Form::Ipv6 => write!(f, "{}", Ipv6Addr::from_bits(number)),
        };
        write(f, self.value)?;
        let Some(mask) = self.mask else {
            return Ok(());
        };
        f.write_str("/")?;
        match (self.form, self.prefix(self.width())) {
            (Form::Ipv4 | Form::Ipv6, Some(_)) => write!(f, "{}", mask.count_ones()),
            _ => write(f, mask),
        }
    }
}
