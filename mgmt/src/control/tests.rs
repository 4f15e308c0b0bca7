//! Whole conversations over a real socket with a node in memory.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::client::find_socket;
use super::protocol::{Command, Flush, MAX_REQUEST, PROTOCOL, Reply, Request};
use super::{Client, ClientError, Server, ServerError};
use crate::runtime::testing::{Bench, Scratch};
use crate::show::{Query, What};

struct Conversation {
    bench: Bench,
    server: Server,
    scratch: Scratch,
}

impl Conversation {
    fn new() -> Self {
        let scratch = Scratch::new();
        let bench = Bench::example("n1/node2.toml");
        let server = Server::bind(&scratch.path("node2.sock")).unwrap_or_else(|e| panic!("{e}"));
        server.serve(Arc::clone(&bench.state)).expect("a thread");
        Self {
            bench,
            server,
            scratch,
        }
    }

    /// Asks while the node runs; all lines of the answer but a refusal.
    fn ask(&mut self, command: Command) -> Result<Vec<Reply>, ClientError> {
        let socket = self.scratch.path("node2.sock");
        let client = std::thread::spawn(move || {
            let mut lines = Vec::new();
            Client::connect(&socket)?.ask(command, |reply| {
                lines.push(reply);
                Ok(())
            })?;
            Ok(lines)
        });
        while !client.is_finished() {
            self.bench.settle();
            self.bench.reloader.serve_waiting(&self.bench.state);
            std::thread::yield_now();
        }
        client.join().expect("the client does not panic")
    }

    /// Writes bytes and reads lines, as another program would.
    fn raw(&self, request: &[u8], replies: usize) -> Vec<Value> {
        let mut stream = UnixStream::connect(self.scratch.path("node2.sock")).expect("connected");
        stream.write_all(request).expect("sent");
        let lines = BufReader::new(stream).lines().take(replies);
        lines
            .map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"))
            .collect()
    }
}

#[test]
fn the_protocol_is_as_documented() {
    let request = Request::new(Command::Show(Query::all(What::Routes)));
    let text = serde_json::to_value(&request).expect("JSON");
    assert_eq!(
        text,
        json!({ "v": 1, "cmd": "show", "what": "routes", "filter": {} })
    );
    let line = r#"{"v":1,"cmd":"show","what":"routes","filter":{"router":"r1","dst":"10.0.0.1"},"limit":5}"#;
    let parsed = Request::parse(line).expect("a request");
    let again = Request::parse(&serde_json::to_string(&parsed).expect("JSON")).expect("a request");
    assert_eq!(parsed, again);
    let flush = Request::new(Command::Flush(Flush::Fdb {
        switch: Some("s1".to_owned()),
    }));
    let text = serde_json::to_value(&flush).expect("JSON");
    assert_eq!(
        text,
        json!({ "v": 1, "cmd": "flush", "what": "fdb", "switch": "s1" })
    );
    let trace = r#"{"v":1,"cmd":"trace","start":{"from":"port","name":"vm1"},"packet":{"dst":"10.0.0.1","ttl":3}}"#;
    assert!(matches!(
        Request::parse(trace),
        Ok(Request {
            command: Command::Trace(_),
            ..
        })
    ));
}

#[test]
fn requests_that_cannot_be_read_are_refused_in_words() {
    let refusal = |line: &str| match Request::parse(line) {
        Err(Reply::Error { message, help }) => (message, help),
        other => panic!("{line}: {other:?}"),
    };
    let (message, help) = refusal(&format!(r#"{{"v":{},"cmd":"fly"}}"#, PROTOCOL + 1));
    assert_eq!(
        message,
        "the client speaks protocol 2, this sluiced speaks 1"
    );
    assert!(help.is_some());
    assert!(
        refusal(r#"{"cmd":"reload"}"#)
            .0
            .contains("no protocol version")
    );
    assert!(
        refusal(r#"{"v":1,"cmd":"fly"}"#)
            .0
            .contains("unknown variant `fly`")
    );
    assert!(
        refusal(r#"{"v":1,"cmd":"show","what":"routes","filter":{"colour":1}}"#)
            .0
            .contains("colour")
    );
    assert!(refusal("hello").0.starts_with("the request cannot be read"));
}

#[test]
fn a_conversation_has_several_requests_and_survives_bad_ones() {
    let conversation = Conversation::new();
    let version = r#"{"v":1,"cmd":"show","what":"version"}"#;
    let requests = format!("{version}\nnonsense\n{version}\n");
    let lines = conversation.raw(requests.as_bytes(), 5);
    let kinds: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect();
    assert_eq!(kinds, ["rows", "done", "error", "rows", "done"]);
    assert_eq!(lines[0]["rows"][0]["chassis"], "node2");
}

#[test]
fn a_request_without_end_is_cut_off() {
    let conversation = Conversation::new();
    let endless = vec![b'x'; MAX_REQUEST + 1];
    let lines = conversation.raw(&endless, 2);
    assert_eq!(lines.len(), 1, "then the connection ends");
    assert_eq!(
        lines[0]["message"],
        format!("a request has at most {MAX_REQUEST} bytes")
    );
}

#[test]
fn show_reload_check_flush_and_metrics_are_answered() {
    let mut conversation = Conversation::new();
    let lines = conversation
        .ask(Command::Show(Query::all(What::Switches)))
        .expect("rows");
    assert!(
        matches!(&lines[..], [Reply::Rows { rows }, Reply::Done { note: None }] if rows.len() == 3),
        "{lines:?}"
    );
    for command in [Command::Reload, Command::Check { config: None }] {
        let lines = conversation.ask(command).expect("a report");
        let [Reply::Value { value }, Reply::Done { .. }] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!(
            (&value["errors"], &value["changes"]),
            (&Value::Null, &json!([]))
        );
    }
    let note = |lines: Vec<Reply>| match &lines[..] {
        [Reply::Done { note: Some(note) }] => note.clone(),
        other => panic!("{other:?}"),
    };
    let neighbors = Flush::Neighbors {
        port: Some("router1-ls1".to_owned()),
        ip: None,
    };
    assert_eq!(
        note(
            conversation
                .ask(Command::Flush(neighbors))
                .expect("flushed")
        ),
        "0 neighbors forgotten"
    );
    let macs = Flush::Fdb {
        switch: Some("ls1".to_owned()),
    };
    assert_eq!(
        note(conversation.ask(Command::Flush(macs)).expect("flushed")),
        "0 MACs forgotten"
    );
    let lines = conversation.ask(Command::Metrics).expect("text");
    assert!(matches!(&lines[0], Reply::Text { text } if text.contains("sluice_drops_total")));
}

#[test]
fn refusals_carry_their_mend() {
    let mut conversation = Conversation::new();
    let refused =
        |result: Result<Vec<Reply>, ClientError>| result.expect_err("refused").to_string();
    let flush = Flush::Neighbors {
        port: Some("nobody".to_owned()),
        ip: None,
    };
    assert_eq!(
        refused(conversation.ask(Command::Flush(flush))),
        "no router of this node has a port `nobody`\nhelp: `sluicectl show ports` lists them"
    );
    let query = Query {
        limit: None,
        ..Query::all(What::Version)
    };
    let query = Query {
        filter: crate::show::Filter {
            all: true,
            ..Default::default()
        },
        ..query
    };
    assert_eq!(
        refused(conversation.ask(Command::Show(query))),
        "`show version` has no filter --all, nor any other"
    );
}

#[test]
fn the_socket_is_private_and_goes_with_its_server() {
    let conversation = Conversation::new();
    let path = conversation.scratch.path("node2.sock");
    let mode = std::fs::metadata(&path)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(Server::bind(&path), Err(ServerError::InUse(_))));
    drop(conversation.server);
    assert!(!path.exists());
}

#[test]
fn a_dead_socket_is_replaced_and_a_file_is_not() {
    let scratch = Scratch::new();
    let path = scratch.path("a.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    assert!(path.exists(), "as after kill -9");
    let error = Client::connect(&path)
        .expect_err("nobody there")
        .to_string();
    assert!(
        error.contains("has ended without removing its socket"),
        "{error}"
    );
    drop(Server::bind(&path).expect("replaced"));
    let file = scratch.write("b.sock", "precious");
    assert!(matches!(
        Server::bind(&file),
        Err(ServerError::NotASocket(_))
    ));
    assert_eq!(
        std::fs::read_to_string(file).expect("untouched"),
        "precious"
    );
}

#[test]
fn the_only_socket_is_found() {
    let scratch = Scratch::new();
    let directory = scratch.path("run");
    let find = |directory: &Path| find_socket(directory).map_err(|error| error.to_string());
    assert!(
        find(&directory)
            .expect_err("no directory")
            .starts_with("no sluiced runs here")
    );
    std::fs::create_dir(&directory).expect("made");
    assert!(find(&directory).is_err());
    std::fs::write(directory.join("gw1.sock"), "").expect("made");
    std::fs::write(directory.join("gw1.pid"), "").expect("made");
    assert_eq!(find(&directory), Ok(directory.join("gw1.sock")));
    std::fs::write(directory.join("gw2.sock"), "").expect("made");
    let error = find(&directory).expect_err("two");
    assert!(
        error.contains("gw1.sock") && error.contains("gw2.sock") && error.contains("--socket"),
        "{error}"
    );
}
