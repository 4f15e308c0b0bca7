//! The text of a topology file, cut at its headers and gathered by what it declares.
//!
//! ```text
//! [switch.a]               "switch.a":  [switch.a] ... [switch.a.port.p] ...
//! [switch.a.port.p]   -->  "router.r":  [router.r] ... [[router.r.nat]] ...
//! [router.r]               "switch.b":  [switch.b] ...
//! [[router.r.nat]]
//! [switch.b]
//! ```
//!
//! When each entity's text by itself is TOML, so is the file, and it says the same: every header begins with the
//! entity's name, so no table is of two entities, and a value that went on over a cut would leave the entity it
//! began in with a header inside an array or inline table, where TOML has none. Strings of several lines could
//! hide a cut; texts with them are not cut.

use hashbrown::HashMap;

/// A chassis, switch, router, load balancer, port group or address set.
pub(super) struct Entity<'t> {
    /// How its headers begin: `switch.NAME`.
    pub name: &'t str,
    /// All that is said of it, in the order of the file.
    pub stretches: Vec<&'t str>,
}

/// What an entity can be.
const NOUNS: [&str; 6] = [
    "chassis",
    "switch",
    "router",
    "load_balancer",
    "port_group",
    "address_set",
];

/// The entities of a file, in the order in which they first appear.
pub(super) struct Entities<'t> {
    /// What comes before the first header.
    pub preamble: &'t str,
    pub all: Vec<Entity<'t>>,
    positions: HashMap<&'t str, usize>,
}

impl<'t> Entities<'t> {
    /// Cuts a text; `None` when it is written in a way that cannot be cut: there are other headers
    /// than `[NOUN.NAME...` with one of our nouns and a bare name, or strings of several lines.
    pub(super) fn of(text: &'t str) -> Option<Self> {
        if has_triple_quotes(text.as_bytes()) {
            return None;
        }
        let mut entities = Self {
            preamble: text,
            all: Vec::new(),
            positions: HashMap::new(),
        };
        let mut current: Option<(&str, usize)> = None;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let begin = at;
            at += line.len();
            let content = line.trim_start_matches([' ', '\t']);
            if !content.starts_with('[') {
                continue;
            }
            let name = owner(content)?;
            match current {
                Some((before, _)) if before == name => continue,
                Some((before, from)) => entities.push(before, text.get(from..begin)?),
                None => entities.preamble = text.get(..begin)?,
            }
            current = Some((name, begin));
        }
        if let Some((last, from)) = current {
            entities.push(last, text.get(from..)?);
        }
        Some(entities)
    }

    fn push(&mut self, name: &'t str, stretch: &'t str) {
        let position = *self.positions.entry(name).or_insert(self.all.len());
        match self.all.get_mut(position) {
            Some(entity) => entity.stretches.push(stretch),
            None => self.all.push(Entity {
                name,
                stretches: vec![stretch],
            }),
        }
    }

    /// Is there an entity whose headers begin so?
    pub(super) fn contains(&self, name: &str) -> bool {
        self.positions.contains_key(name)
    }
}

/// `switch.NAME` of a header that begins with it.
fn owner(header: &str) -> Option<&str> {
    let path = header.strip_prefix('[')?;
    let path = path.strip_prefix('[').unwrap_or(path);
    let (noun, rest) = path.split_once('.')?;
    if !NOUNS.contains(&noun) {
        return None;
    }
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = rest.bytes().take_while(bare).count();
    let ends = matches!(rest.as_bytes().get(length), Some(b'.' | b']'));
    path.get(..noun.len() + 1 + length)
        .filter(|_| length > 0 && ends)
}

/// Without a branch per byte, since it looks at all of them.
fn has_triple_quotes(text: &[u8]) -> bool {
    let (second, third) = (text.iter().skip(1), text.iter().skip(2));
    let threes = text.iter().zip(second).zip(third);
    threes.fold(false, |found, ((a, b), c)| {
        found | ((a == b) & (b == c) & ((*a == b'"') | (*a == b'\'')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Option<(&str, Vec<(&str, String)>)> {
        let entities = Entities::of(text)?;
        let all = entities.all.iter();
        let all = all.map(|entity| (entity.name, entity.stretches.concat()));
        Some((entities.preamble, all.collect()))
    }

    #[test]
    fn what_is_said_of_one_entity_comes_together() {
        let text = "# all\n[switch.a]\nkey = 1\n[switch.a.port.p]\n[router.a-b_C9]\n  [[router.a-b_C9.nat]]\n\
                    x = [\n\"y\"]\n[switch.a.port.\"q.r\"] # more\n[chassis.c]";
        let expected = [
            (
                "switch.a",
                "[switch.a]\nkey = 1\n[switch.a.port.p]\n[switch.a.port.\"q.r\"] # more\n",
            ),
            (
                "router.a-b_C9",
                "[router.a-b_C9]\n  [[router.a-b_C9.nat]]\nx = [\n\"y\"]\n",
            ),
            ("chassis.c", "[chassis.c]"),
        ];
        let expected = expected.map(|(name, text)| (name, text.to_owned()));
        assert_eq!(cut(text), Some(("# all\n", expected.to_vec())));
        assert_eq!(cut("a = 1\n"), Some(("a = 1\n", vec![])));
    }

    #[test]
    fn names_that_begin_alike_differ() {
        let (_, all) = cut("[switch.a]\n[switch.ab]\n[router.a]\n").unwrap();
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["switch.a", "switch.ab", "router.a"]);
    }

    #[test]
    fn what_could_be_misread_is_not_cut() {
        for text in [
            "[switch]\n",
            "[switch.\"a\"]\n",
            "[switch.]\n",
            "[switch.a b]\n",
            "[switch .a]\n",
            "[ switch.a]\n",
            "[switch.a",
            "[other.a]\n",
            "[switch.a]\nx = [\n[1],\n]\n",
            "[switch.a]\nx = \"\"\"\n[switch.b]\n\"\"\"\n",
            "[switch.a]\nx = '''\n'''\n",
        ] {
            assert_eq!(cut(text), None, "{text}");
        }
    }
}
