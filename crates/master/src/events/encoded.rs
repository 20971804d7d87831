//! The events of one commit, encoded once for all watchers.

use std::sync::{Arc, OnceLock};

use muster_proto::render;
use muster_types::{Commit, Event, EventsRecord, Subject};
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};

use muster_proto::tokens::ResumeToken;

/// Field 1 (`events`) of `WatchEventsResponse`, length-delimited.
const EVENTS_FIELD: u8 = 1 << 3 | 2;
/// Field 2 (`resume_token`).
const TOKEN_FIELD: u8 = 2 << 3 | 2;

/// The events of one commit as encoded fields of a `WatchEventsResponse`. Any run of them can begin
/// a response.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub commit: Commit,
    generation: u64,
    /// A loaded record, which is encoded when somebody first asks for it: a new leader has more
    /// urgent work.
    loaded: Option<Arc<EventsRecord>>,
    form: OnceLock<Form>,
}

#[derive(Debug)]
struct Form {
    bytes: Bytes,
    marks: Box<[EventSpan]>,
}

#[derive(Debug)]
struct EventSpan {
    end: u32,
    subject: u128,
}

impl Encoded {
    /// Encodes a record. `generation` goes into the tokens of the events.
    pub(crate) fn new(generation: u64, record: &EventsRecord) -> Encoded {
        let form = OnceLock::from(Form::new(generation, record));
        Encoded { commit: record.commit, generation, loaded: None, form }
    }

    /// Keeps the record of a commit to encode it later. The record is not read here: a leader loads
    /// a hundred thousand of them, and each read would be a cache miss.
    pub(crate) fn later(generation: u64, commit: Commit, record: Arc<EventsRecord>) -> Encoded {
        Encoded { commit, generation, loaded: Some(record), form: OnceLock::new() }
    }

    fn form(&self) -> &Form {
        self.form.get_or_init(|| match &self.loaded {
            Some(record) => Form::new(self.generation, record),
            None => Form { bytes: Bytes::new(), marks: Box::default() },
        })
    }

    /// The uid that each event is about, in order.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = u128> {
        self.form().marks.iter().map(|mark| mark.subject)
    }

    /// The bytes of the events after an index (`None`: all).
    pub(crate) fn after(&self, index: Option<u32>) -> Bytes {
        let Form { bytes, marks } = self.form();
        let start = match index.map(|index| marks.get(index as usize)) {
            None => 0,
            Some(Some(mark)) => mark.end as usize,
            Some(None) => bytes.len(),
        };
        bytes.slice(start..)
    }

    /// The bytes of one event.
    pub(crate) fn event(&self, index: usize) -> Bytes {
        let Form { bytes, marks } = self.form();
        let start = index.checked_sub(1).map_or(0, |before| marks[before].end as usize);
        bytes.slice(start..marks[index].end as usize)
    }
}

impl Form {
    fn new(generation: u64, record: &EventsRecord) -> Form {
        let mut bytes = BytesMut::with_capacity(record.events.len() * 160);
        let mut marks = Vec::with_capacity(record.events.len());
        for (index, event) in (0..).zip(&record.events) {
            let token = ResumeToken { generation, commit: record.commit, index };
            let message = render::event(event, token);
            bytes.put_u8(EVENTS_FIELD);
            prost::encoding::encode_varint(message.encoded_len() as u64, &mut bytes);
            message.encode_raw(&mut bytes);
            let end = u32::try_from(bytes.len()).expect("the events of a commit are far below 4 GiB");
            marks.push(EventSpan { end, subject: subject_of(event) });
        }
        Form { bytes: bytes.freeze(), marks: marks.into_boxed_slice() }
    }
}

/// The uid under which the watchers of one object are found. Uids are random, so objects of all
/// kinds share one map.
fn subject_of(event: &Event) -> u128 {
    match &event.subject {
        Subject::Driver { uid, .. } => uid.0,
        Subject::Application { uid, .. } | Subject::Executor { uid, .. } => uid.0,
        Subject::Worker { uid, .. } => uid.0,
        // Whoever watches single objects names drivers, applications or workers. No uid is this.
        Subject::Token { .. } | Subject::RoleBinding { .. } => 0,
    }
}

/// One response of a watch: runs of encoded events, then the token behind them.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Runs of encoded events; none in a bookmark.
    pub events: Vec<Bytes>,
    /// Everything up to here was sent.
    pub position: ResumeToken,
}

impl Chunk {
    /// Writes the whole `WatchEventsResponse`.
    pub(crate) fn encode(&self, buffer: &mut impl BufMut) {
        for run in &self.events {
            buffer.put_slice(run);
        }
        let token = self.position.to_string();
        buffer.put_u8(TOKEN_FIELD);
        prost::encoding::encode_varint(token.len() as u64, buffer);
        buffer.put_slice(token.as_bytes());
    }
}
