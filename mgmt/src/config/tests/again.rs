//! A loader that remembers says what a loader says that has never read anything.

use proptest::prelude::*;

use super::{Files, configs, host};
use crate::config::load::load_with;
use crate::config::{Diagnostics, Loaded, Loader};

const NODE: &str = "chassis = \"gw1\"\ntopology = \"topology.toml\"\n";

const TOPOLOGY: &str = "# the network
[chassis.gw1]
encap = { type = \"geneve\", ip = \"172.16.0.1\" }
[switch.a]
key = 1
[switch.a.port.vm]
addresses = [\"02:00:00:00:00:01 10.0.0.2\"]
chassis = \"gw1\"
[switch.b.port.b-r]
type = \"router\"
router_port = \"r-b\"
[router.r]
routes_file = \"routes\"
[router.r.port.r-a]
networks = [
  \"10.0.0.1/24\",
]
[switch.a.port.a-r]
type = \"router\"
router_port = \"r-a\"
[router.r.port.r-b]
networks = [\"10.0.1.1/24\"]
[[router.r.route]]
ip_prefix = \"10.7.0.0/16\"
nexthop = \"10.0.0.2\"
[[router.r.route]]
ip_prefix = \"10.8.0.0/16\"
nexthop = \"10.0.1.2\"
";

const ROUTES: &str = "10.9.0.0/16 via 10.0.0.9\n";

/// What files may hold, each between two headers of others.
const PIECES: [&str; 27] = [
    "[switch.c]\nsubnet = \"10.3.0.0/24\"\n[switch.c.port.p]\naddresses = [\"dynamic\"]\n",
    "[switch.a.port.q]\naddresses = [\"02:00:00:00:00:03 10.0.0.4\"]\n",
    "  [switch.\"a\".port.q]\nkey = 9\n",
    "[switch]\n",
    "[switch.a]\nmac_age = 5\n",
    "[switch.a.port]\n",
    "port.z.key = 7\n",
    "mac_limit = 3\n",
    "[router.r.port.r-b]\nnetworks = [\"10.5.0.1/24\"]\n",
    "[[router.r.nat]]\ntype = \"snat\"\nlogical_ip = \"10.0.0.0/8\"\nexternal_ip = \"10.0.1.1\"\n",
    "[[switch.a]]\n",
    "exclude_ips = [\n",
    "]\n",
    "exclude_ips = [\n[\"10.0.0.9\"]]\n",
    "x = \"\"\"\n",
    "# \"\"\"\n",
    "'''\n",
    "[chassis.gw2]\nencap = { type = \"geneve\", ip = \"172.16.0.2\" }\n",
    "nonsense\n",
    "# a comment\n\n",
    "# \u{1}\n",
    "[other]\n",
    "default_acl_drop = true\n",
    "[address_set.s]\naddresses = [\"10.0.0.1\"]\n",
    "[port_group.g]\nports = [\"vm\"]\n[[port_group.g.acl]]\ndirection = \"to-lport\"\npriority = 1\nmatch = 'ip4'\naction = \"drop\"\n",
    "[[switch.a.acl]]\ndirection = \"to-lport\"\npriority = 1\nmatch = 'outport == @g && ip4.src == $s'\naction = \"drop\"\n",
    "[port_group]\n",
];

#[derive(Clone, Debug)]
enum Edit {
    Remove(usize),
    Move(usize, usize),
    Repeat(usize, usize),
    Insert(usize, usize),
    Routes(&'static str),
    Original,
}

fn edit() -> impl Strategy<Value = Edit> {
    let line = 0..40_usize;
    prop_oneof![
        3 => line.clone().prop_map(Edit::Remove),
        3 => (line.clone(), line.clone()).prop_map(|(from, to)| Edit::Move(from, to)),
        1 => (line.clone(), line.clone()).prop_map(|(from, to)| Edit::Repeat(from, to)),
        6 => (line, 0..PIECES.len()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        2 => prop::sample::select(vec![
            "", ROUTES, "10.9.0.0/16 via 10.0.1.9\n", "blackhole 10.9.0.0/16\n", "wrong\n",
        ]).prop_map(Edit::Routes),
        4 => Just(Edit::Original),
    ]
}

/// Lines move with what belongs to them: most edits shall leave a file that is right.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match blocks.last_mut() {
            Some(block) if !line.trim_start().starts_with('[') => block.push_str(line),
            _ => blocks.push(line.to_owned()),
        }
    }
    blocks
}

fn apply(edit: &Edit, files: &Files, text: &mut String) {
    let mut blocks = blocks(text);
    let count = blocks.len();
    match *edit {
        Edit::Remove(at) if at < count => _ = blocks.remove(at),
        Edit::Move(from, to) if from < count => {
            let block = blocks.remove(from);
            blocks.insert(to % count, block);
        }
        Edit::Repeat(from, to) if from < count => {
            let block = blocks[from].clone();
            blocks.insert(to % count, block);
        }
        Edit::Insert(at, piece) => blocks.insert(at % (count + 1), PIECES[piece].to_owned()),
        Edit::Routes(routes) => files.write("routes", routes),
        Edit::Original => {
            files.write("routes", ROUTES);
            blocks = vec![TOPOLOGY.to_owned()];
        }
        _ => {}
    }
    *text = blocks.concat();
    files.write("topology.toml", &*text);
}

fn files() -> Files {
    Files::new(&[
        ("node.toml", NODE),
        ("topology.toml", TOPOLOGY),
        ("routes", ROUTES),
    ])
}

fn whole(files: &Files) -> Result<Loaded, Diagnostics> {
    load_with(None, &files.0.join("node.toml"), &host())
}

fn again(loader: &mut Loader, files: &Files) -> Result<Loaded, Diagnostics> {
    loader.load_on(&files.0.join("node.toml"), &host())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_was_read_before_makes_no_difference(edits in prop::collection::vec(edit(), 1..12)) {
        let (files, mut loader) = (files(), Loader::default());
        let mut text = TOPOLOGY.to_owned();
        for edit in &edits {
            apply(edit, &files, &mut text);
            prop_assert_eq!(again(&mut loader, &files), whole(&files), "{}", text);
        }
    }

    #[test]
    fn texts_are_read_in_parts_as_they_are_as_a_whole(
        pieces in prop::collection::vec((0..PIECES.len(), any::<bool>()), 0..8),
    ) {
        // Without the rest of a network, so that strange pieces come next to each other.
        let header = |again: bool| if again { "[switch.a.port.w]\n" } else { "[switch.d]\n" };
        let text: String = pieces.iter().map(|(at, a)| [header(*a), PIECES[*at]].concat()).collect();
        let files = files();
        files.write("topology.toml", &text);
        prop_assert_eq!(again(&mut Loader::default(), &files), whole(&files));
    }
}

#[test]
fn a_sound_file_is_not_read_as_a_whole() {
    use crate::config::memo::Memo;
    let mut memo = Memo::default();
    let files = files();
    for text in [
        TOPOLOGY,
        &TOPOLOGY.replace("key = 1", "key = 2"),
        &TOPOLOGY.replace("[switch.a]\nkey = 1\n", ""),
        &TOPOLOGY.replace(
            "[switch.b.port.b-r]\ntype = \"router\"\nrouter_port = \"r-b\"\n",
            "",
        ),
        "",
    ] {
        assert!(memo.read(text, &files.0), "{text}");
    }
    assert_eq!(memo.topology(), &crate::topology::Topology::default());
    for network in ["n1", "n2", "n3"] {
        let directory = configs().join(network);
        let text = std::fs::read_to_string(directory.join("topology.toml")).unwrap();
        assert!(memo.read(&text, &directory), "{network}");
    }
}

#[test]
fn changed_routes_are_read() {
    let (files, mut loader) = (files(), Loader::default());
    let mut last = || {
        let loaded = again(&mut loader, &files).unwrap_or_else(|errors| panic!("{errors}"));
        let routes = &loaded.topology.routers["r"].routes;
        routes.last().map(|route| route.prefix.to_string())
    };
    assert_eq!(last().as_deref(), Some("10.9.0.0/16"));
    files.write("routes", "10.6.0.0/16 via 10.0.0.9\n");
    assert_eq!(last().as_deref(), Some("10.6.0.0/16"));
    files.write("routes", "");
    assert_eq!(last().as_deref(), Some("10.8.0.0/16"));
}

#[test]
fn one_loader_reads_the_same_text_in_several_directories() {
    let mut loader = Loader::default();
    for prefix in ["10.5.0.0/16", "10.6.0.0/16"] {
        let files = files();
        files.write("routes", format!("{prefix} via 10.0.0.9\n"));
        let loaded = again(&mut loader, &files).unwrap_or_else(|errors| panic!("{errors}"));
        let route = loaded.topology.routers["r"].routes.last().cloned();
        assert_eq!(
            route.map(|route| route.prefix.to_string()).as_deref(),
            Some(prefix)
        );
    }
}
