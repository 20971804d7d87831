//! The connections: the agent's, and pending ones that have not said hello. The newest hello makes
//! its connection the agent's; the one before it is cut, and its unread messages are void.

use std::collections::BTreeMap;
use std::io;

use muster_agent::runner_protocol::{RunnerHello, ToAgent, ToRunner, VERSION, VERSION_MIN};

use super::poll::{Poll, ReadySource};
use crate::connection::{AgentConnection, ConnectionEnd, Listener, ReadResult};

/// Most connections that have not said hello; more are turned away.
const MAX_PENDING: usize = 8;

/// The connections.
pub(super) struct AgentConnections {
    listener: Listener,
    pending: BTreeMap<u32, AgentConnection>,
    agent: Option<(u32, AgentConnection)>,
    /// Connections that are done with, until [`AgentConnections::close_ended`].
    ended: Vec<AgentConnection>,
    last_number: u32,
    is_writing_watched: bool,
}

impl AgentConnections {
    pub(super) fn new(listener: Listener, poll: &Poll) -> io::Result<AgentConnections> {
        poll.watch(&listener, ReadySource::Listener)?;
        Ok(AgentConnections {
            listener,
            pending: BTreeMap::new(),
            agent: None,
            ended: Vec::new(),
            last_number: 0,
            is_writing_watched: false,
        })
    }

    /// Accepts the connections that wait.
    pub(super) fn accept(&mut self, poll: &Poll) {
        while let Some(socket) = self.listener.accept() {
            if self.pending.len() >= MAX_PENDING {
                continue;
            }
            self.last_number = self.last_number.wrapping_add(1);
            let connection = AgentConnection::new(socket);
            if poll.watch(&connection, ReadySource::Connection(self.last_number)).is_ok() {
                self.pending.insert(self.last_number, connection);
            }
        }
    }

    /// Reads the pending connections. Returns whether one of them is the new agent, which is
    /// answered with `hello`.
    pub(super) fn read_pending(&mut self, hello: impl Fn(u32) -> RunnerHello) -> bool {
        let mut is_new = false;
        let numbers: Vec<u32> = self.pending.keys().copied().collect();
        for number in numbers {
            let Some(mut pending_conn) = self.pending.remove(&number) else { continue };
            match read_first_message(&mut pending_conn) {
                FirstMessage::Silent => {
                    self.pending.insert(number, pending_conn);
                }
                FirstMessage::Bad(refusal) => {
                    pending_conn.push(&ToAgent::Refused(refusal));
                    // It is cut whether or not it can still read the reason.
                    let _ = pending_conn.send();
                    self.ended.push(pending_conn);
                }
                FirstMessage::Gone => self.ended.push(pending_conn),
                FirstMessage::Hello(version) => {
                    pending_conn.push(&ToAgent::Hello(Box::new(hello(version))));
                    let before = self.agent.replace((number, pending_conn));
                    self.ended.extend(before.map(|(_, connection)| connection));
                    self.is_writing_watched = false;
                    is_new = true;
                }
            }
        }
        is_new
    }

    /// Reads once from the agent and takes every whole message. Returns whether there may be more.
    pub(super) fn read_agent(&mut self, mut take: impl FnMut(ToRunner)) -> ReadResult {
        let Some((_, agent)) = &mut self.agent else { return ReadResult::Nothing };
        let mut take_all = |agent: &mut AgentConnection| -> Result<(), ConnectionEnd> {
            while let Some(message) = agent.take()? {
                take(message);
            }
            Ok(())
        };
        // Messages behind the hello are not taken yet.
        let heard = take_all(agent).and_then(|()| agent.read()).and_then(|read| take_all(agent).map(|()| read));
        heard.unwrap_or_else(|broken| {
            self.cut(&broken);
            ReadResult::Nothing
        })
    }

    /// Sends messages to the agent, and what it did not take before.
    pub(super) fn send_to_agent(&mut self, messages: impl IntoIterator<Item = ToAgent>, poll: &Poll) {
        let Some((number, agent)) = &mut self.agent else { return };
        messages.into_iter().for_each(|message| agent.push(&message));
        match agent.send() {
            Ok(all) if all != self.is_writing_watched => {}
            Ok(all) => {
                self.is_writing_watched = !all;
                // If this fails, the rest is sent with the next message.
                let _ = poll.watch_writing(&*agent, *number, !all);
            }
            Err(broken) => self.cut(&broken),
        }
    }

    /// Stops reading the agent while too much waits for the journal: it would be ready all the
    /// time.
    pub(super) fn pause_agent(&self, poll: &Poll) {
        if let Some((_, agent)) = &self.agent {
            poll.forget(agent);
        }
    }

    /// Undoes [`AgentConnections::pause_agent`].
    pub(super) fn resume_agent(&mut self, poll: &Poll) {
        if let Some((number, agent)) = &self.agent {
            self.is_writing_watched = false;
            // It is watched already if it connected while its predecessor was paused.
            let _ = poll.watch(agent, ReadySource::Connection(*number));
        }
    }

    fn cut(&mut self, broken: &ConnectionEnd) {
        if let ConnectionEnd::Frame(error) = broken
            && let Some((_, agent)) = &mut self.agent
        {
            agent.push(&ToAgent::Refused(error.to_string()));
            // It is cut whether or not it can still read the reason.
            let _ = agent.send();
        }
        self.ended.extend(self.agent.take().map(|(_, connection)| connection));
    }

    /// Closes the connections that are done with. A process that is being started has a copy of
    /// their descriptors until it executes, and as long as there is one, closing ends no watch.
    pub(super) fn close_ended(&mut self, poll: &Poll) {
        self.ended.drain(..).for_each(|connection| poll.forget(&connection));
    }
}

enum FirstMessage {
    Silent,
    Gone,
    Bad(String),
    /// The version that both speak.
    Hello(u32),
}

fn read_first_message(pending_conn: &mut AgentConnection) -> FirstMessage {
    if let Err(broken) = pending_conn.read() {
        return match broken {
            ConnectionEnd::Closed | ConnectionEnd::Stuck => FirstMessage::Gone,
            ConnectionEnd::Frame(error) => FirstMessage::Bad(error.to_string()),
        };
    }
    match pending_conn.take() {
        Ok(None) => FirstMessage::Silent,
        Ok(Some(ToRunner::Hello(hello))) => {
            let version = hello.version_max.min(VERSION);
            if version < hello.version_min.max(VERSION_MIN) {
                return FirstMessage::Bad(format!("this runner speaks versions {VERSION_MIN} to {VERSION}"));
            }
            FirstMessage::Hello(version)
        }
        Ok(Some(_)) => FirstMessage::Bad("the first message must be a hello".to_owned()),
        Err(ConnectionEnd::Frame(error)) => FirstMessage::Bad(error.to_string()),
        Err(ConnectionEnd::Closed | ConnectionEnd::Stuck) => FirstMessage::Gone,
    }
}
